"""Takes the documentation's pictures of the demo.

python -m tests.support.discord.demo_picture docs
python -m tests.support.discord.demo_picture docs --story

The story's picture takes as long as the story; it prints how long that was, in seconds.
"""

import asyncio
import sys
import tempfile
import time
from io import BytesIO
from pathlib import Path

from PIL import Image

from tests.support.discord.demo_page import Member, browser, running_demo

PROMPT = "a carrot for my rabbit"


async def take(folder: Path) -> None:
    """Ask, vote, and picture the page with the whole message on it; then on two screens."""
    with tempfile.TemporaryDirectory() as data:
        async with running_demo(Path(data)) as demo, browser() as chromium:
            alice = await Member.open(chromium, demo.url, "alice")
            await alice.imagine(PROMPT)
            message = alice.images(PROMPT)
            await alice.sees_images(message)
            for name, width, height in (("desktop", 1280, 900), ("phone", 390, 844)):
                await alice.on_one_screen(message, width=width, height=height)
                await _picture(alice, folder / f"one-screen-{name}.png", of=1)

            await alice.press(alice.button(message, "👍", 4))
            await alice.sees("👍 recorded for image 4.")
            await alice.page.set_viewport_size({"width": 1300, "height": 1200})
            await asyncio.sleep(3)  # the page lays itself out anew
            await _picture(alice, folder / "demo.png", of=2)


async def take_story(folder: Path) -> None:
    """The end of the story: the arena's result, and images before and after."""
    with tempfile.TemporaryDirectory() as data:
        began = time.monotonic()
        async with running_demo(Path(data), "--story") as demo, browser() as chromium:
            alice = await Member.open(chromium, demo.url, "alice")
            await alice.sees("Before and after")
            sys.stdout.write(f"{time.monotonic() - began:.0f}\n")
            await alice.page.set_viewport_size({"width": 1300, "height": 2000})
            await asyncio.sleep(3)
            latest = alice.page.get_by_text("jump to latest")
            if await latest.is_visible():
                await latest.click()

            end = alice.message("Before and after")
            await end.evaluate("message => message.scrollIntoView({block: 'end'})")
            await asyncio.sleep(3)
            await _picture(alice, folder / "story.png", of=2)


async def _picture(member: Member, target: Path, *, of: int) -> None:
    """What the member sees, with an `of`-th of the width and of the height."""
    await member.page.mouse.move(5, 5)
    image = Image.open(BytesIO(await member.page.screenshot())).convert("RGB")
    small = image.resize((image.width // of, image.height // of), Image.Resampling.LANCZOS)
    small.quantize(256).save(target, optimize=True)


if __name__ == "__main__":
    asyncio.run((take_story if "--story" in sys.argv else take)(Path(sys.argv[1])))
