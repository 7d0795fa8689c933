"""How members, images and servers stand: `/me`, `/top`, `/leaderboard`, the weekly post."""

# Nothing is imported here: each caller names the module it needs.
