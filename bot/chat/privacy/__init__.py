"""What members learn of what is kept of them, and how they take it back.

`command.py` has `/privacy`, `buttons.py` the buttons under it.
"""
