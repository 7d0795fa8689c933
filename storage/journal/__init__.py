"""The journal: one SQLite file, and the bytes of images that nobody voted on yet.

The rooms above it in `storage` import it, `bot` does not; it imports only plain values.
"""
