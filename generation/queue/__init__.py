"""The asyncio side: who is served when, by which worker, and how long it takes.

`bot` imports it; it imports `worker` and never a model library.
"""
