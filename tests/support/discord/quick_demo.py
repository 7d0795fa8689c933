"""`oxherd demo` that draws in two steps, for tests that do not look at the progress.

SIDE_PX=512 python -m tests.support.discord.quick_demo demo --placeholder
"""

import os

from bot.__main__ import main
from generation import emoji

if __name__ == "__main__":
    emoji.STEPS = 2
    emoji.SIDE_PX = int(os.environ.get("SIDE_PX", emoji.SIDE_PX))
    main()
