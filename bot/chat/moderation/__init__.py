"""What moderators do on Discord: the command group `/oxherd` and its answers."""

# Nothing is imported here: each caller names the module it needs.
