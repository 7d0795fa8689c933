"""How members, images and servers stand: the bot's door to it."""

# Nothing is imported here: each caller names the module it needs.
