"""Looks at every image before anybody sees it, and withholds what is unsafe.

`worker` imports the screen; the classifiers are opened by name, in worker processes only.
"""
