"""The bot in a simulated Discord in the local browser.

Only the command line imports it; it may import everything in `bot`.
"""
