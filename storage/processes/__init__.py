"""Blocking work off the event loop: on a thread, or in a process that can be killed.

The rooms above it in `storage` import it; it imports only plain values.
"""
