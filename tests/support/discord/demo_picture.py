"""Takes the README's picture of the demo.

python -m tests.support.discord.demo_picture docs/demo.png
"""

import asyncio
import sys
import tempfile
from io import BytesIO
from pathlib import Path

from PIL import Image

from tests.support.discord.demo_page import Member, browser, running_demo

PROMPT = "a strawberry for my friend"


async def take(target: Path) -> None:
    """Ask, vote, and picture the page with the whole message on it."""
    with tempfile.TemporaryDirectory() as folder:
        async with running_demo(Path(folder)) as demo, browser() as chromium:
            alice = await Member.open(chromium, demo.url, "alice")
            await alice.imagine(PROMPT)
            message = alice.message(PROMPT)
            await alice.sees_images(message)
            await alice.press(alice.button(message, "👍", 4))
            await alice.sees("👍 recorded for image 4.")
            await alice.page.set_viewport_size({"width": 1300, "height": 1400})
            await asyncio.sleep(3)  # the page lays itself out anew
            await alice.page.mouse.move(5, 5)
            picture = await alice.page.screenshot()

    image = Image.open(BytesIO(picture)).convert("RGB")
    image.resize((650, 700), Image.Resampling.LANCZOS).save(target, optimize=True)


if __name__ == "__main__":
    asyncio.run(take(Path(sys.argv[1])))
