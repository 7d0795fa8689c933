"""Makes images in processes of their own, and keeps the people who wait informed.

`Executor` is the door; `request` and `errors` hold the values that cross it. Nothing here knows
Discord or the dataset, and importing this package imports no model library.
"""
