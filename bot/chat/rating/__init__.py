"""/rate: images that need votes, one after another in one private message."""

# Nothing is imported here: each caller names the module it needs.
