"""What a setting alone turns on: it makes a pipeline faster, and its images others.

Only `generation.diffusion` imports it.
"""
