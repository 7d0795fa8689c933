"""Makes images in separate processes, and reports their progress.

Callers use `queue.executor`; `request` and `errors` hold the values that pass through it. Nothing
here knows Discord or the dataset, and importing this package imports no model library.
"""
