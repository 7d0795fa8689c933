"""Work that must not block the event loop: a process that can be killed, and a thread.

Everything in `storage` may import it; it imports only the errors of `storage`.
"""
