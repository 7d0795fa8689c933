"""What members meet on Discord: the command, its messages and buttons, and their answers.

The composition root, the command line and the demo may import it; it imports none of them.
"""
