"""What moderators type in a shell: the commands, and how they ask the running bot.

The composition root and the demo may import it; it imports neither.
"""
