"""Reads the dataset at one commit, for what is made of it: exports, quality and reports.

Works on the bot's own dataset while the bot runs, and on any copy. It imports the rooms below it.
"""
