"""What members meet on Discord: the command /imagine, messages, buttons and answers.

`bot.app`, the command line and the demo may import it; it imports none of them.
"""
