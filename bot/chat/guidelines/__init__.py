"""The guidelines of a server: what is good and what is bad there, in words and two images."""

# Nothing is imported here: each caller names the module it needs.
