"""What operators type in a shell: the commands, and the socket by which they ask the running bot.

`bot.app` and the demo serve that socket and may import this package; it imports neither.
"""
