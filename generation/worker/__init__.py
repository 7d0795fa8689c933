"""The worker process: one device, the models loaded on it, and what it says to the queue.

`queue` starts it; it opens backends by name, so that only the process imports a model library.
"""
