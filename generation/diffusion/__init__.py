"""Makes images with diffusers: our own denoising loop, and the stock pipelines.

Only worker processes import it: torch, diffusers and transformers are imported here.
"""
