"""Images that need votes, one after another: the bot's door to /rate."""

# Nothing is imported here: each caller names the module it needs.
