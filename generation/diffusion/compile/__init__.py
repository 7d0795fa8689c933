"""Compiles a model while it serves requests, and swaps the compiled version in.

Only `generation.diffusion` imports it.
"""
