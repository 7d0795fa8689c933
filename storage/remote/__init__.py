"""The Oxen server: pushing to it, and continuing a dataset that is there.

Only the store imports it; it imports `dataset`, `journal` and `processes`.
"""
