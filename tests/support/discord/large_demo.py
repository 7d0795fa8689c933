"""`oxherd demo` with images of 512 px, as most models make them.

python -m tests.support.discord.large_demo demo --placeholder
"""

from bot.__main__ import main
from generation import emoji

if __name__ == "__main__":
    emoji.SIDE_PX = 512
    main()
