"""`oxherd demo --story` with few and rough images.

python -m tests.support.discord.short_story demo --story
"""

from bot.__main__ import main
from bot.demo import story
from generation import emoji

if __name__ == "__main__":
    emoji.STEPS = 1
    story.SETS, story.PAIRS, story.SHOWN = 55, 1, 1
    story.TUNE = ("--steps", "1", "--fidelity", "none")
    main()
