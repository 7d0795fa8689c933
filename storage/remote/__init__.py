"""The Oxen server: pushing the dataset to it, and continuing a dataset that is there.

The store, `offline` and `bot` import it; it imports the rooms below it.
"""
