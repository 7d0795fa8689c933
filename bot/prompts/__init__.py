"""The door: what a person types becomes a request here, cleaned and checked once.

Everything else in `bot` may import it; it imports only the settings' errors.
"""
