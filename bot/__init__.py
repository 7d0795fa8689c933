"""The bot on Discord, its command line and its demo. `generation` and `storage` do not know it."""
