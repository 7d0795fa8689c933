"""What moderators did and set, and what they are told, as the journal stores it."""

# Nothing is imported here: each caller names the module it needs.
