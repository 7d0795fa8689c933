"""What the journal says about members, images and servers: read by a connection of its own."""

# Nothing is imported here: each caller names the module it needs.
