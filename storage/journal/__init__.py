"""The journal: one SQLite file, and the bytes of images that nobody voted on yet.

Everything in `storage` may import it; it imports only the values and errors of `storage`.
"""
