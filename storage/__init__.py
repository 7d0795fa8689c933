"""Keeps votes: a journal on local disk first, a versioned Oxen dataset a moment later.

Each room knows only those below it: the store, `remote`, `dataset`, `journal`, `processes`, and
plain values (`vote`, `errors`, `folder`, `clock`).
"""
