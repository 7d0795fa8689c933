"""The door: what a person types becomes a request here, cleaned and checked once.

Everything else in `bot` may import it. It imports only `generation.request` and the settings'
errors.
"""
