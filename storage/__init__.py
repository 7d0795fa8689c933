"""Keeps votes: a journal on local disk first, a versioned Oxen dataset a moment later."""
