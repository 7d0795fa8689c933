"""Checks every image before anybody sees it, and withholds the unsafe ones.

`worker` imports the screen, which imports a classifier by name, in worker processes only.
"""
