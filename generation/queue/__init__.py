"""The asyncio side: whose request is served next, by which worker, and when it is finished.

`bot` imports it; it imports `worker` and never a model library.
"""
