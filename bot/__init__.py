"""Speaks Discord: the command line, the client, the demo."""
