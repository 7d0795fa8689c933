"""The versioned dataset: what is in it, and the writer process that makes it follow the journal.

`remote` and the store import it; it imports `journal` and `processes`.
"""
