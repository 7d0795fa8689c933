"""A report: pages to look at, in one folder that opens from the disk.

The command line imports it; it imports `quality`, `reading` and the rooms below.
"""
