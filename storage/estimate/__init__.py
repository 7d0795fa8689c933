"""What each image probably is, and how reliable each voter is: of any votes, and of a live journal.

It imports numpy, so the bot imports it only when figures are first asked for, on their thread.
"""

# Nothing is imported here: each caller names the module it needs.
