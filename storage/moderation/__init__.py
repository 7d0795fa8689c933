"""What moderators do to votes, members and images: the bot's door to it."""

# Nothing is imported here: each caller names the module it needs.
