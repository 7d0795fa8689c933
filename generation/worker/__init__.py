"""The worker process: one device, the models loaded on it, and its messages to the queue.

`queue` starts it. It imports backends by name, so that only the process imports a model library.
"""
