"""Arenas: blind comparisons of models, as the journal stores them.

`arenas.py` has what moderators and the bot itself do, `votes.py` what members do.
"""

# Nothing is imported here: each caller names the module it needs.
