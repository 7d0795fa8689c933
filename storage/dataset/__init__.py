"""The versioned dataset: what its files hold, and the writer process that commits to it.

`remote`, the store and `bot` import it; it imports `journal`, `processes` and plain values.
"""
