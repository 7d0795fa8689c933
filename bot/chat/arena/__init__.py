"""The arena: members compare images of two models and nobody knows which made which.

Moderators open one with `/oxherd arena`. `keeper.py` makes the images in the background, posts the
pairs one after the other, and the result at the end.
"""

# Nothing is imported here: each caller names the module it needs.
