"""Writes the dataset in the formats of trainers, and verifies what was written.

The command line imports it; it imports `reading` and the rooms below.
"""
