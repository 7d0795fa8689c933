"""Compiles a model beside the requests, and swaps the compiled version in.

Only `generation.diffusion` imports it.
"""
