"""Processes that make something for the bot: how they are started, talked to and killed.

Imports no model library.
"""
