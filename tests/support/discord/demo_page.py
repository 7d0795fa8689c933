"""The demo as a person uses it: the real command, in a real browser."""

import asyncio
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, Locator, Page, async_playwright, expect

CHROMIUM = shutil.which("chromium")

# Chromium must not look for its maker's servers: the machine may have no network.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_S = (
    900  # only a limit: beside a load of 8, a worker of low priority loads torch in minutes
)
PATIENCE_MS = 1000 * PATIENCE_S
READY = """() => simcordPreview.ready
    && simcordPreview.viewerId === document.getElementById("viewer-picker").value"""


SHOWN = """text => ({
    once: new Promise(resolve => new MutationObserver(() => {
        const messages = [...document.querySelectorAll("article.channel-message")];
        if (messages.some(message => message.textContent.includes(text))) resolve();
    }).observe(document.body, {subtree: true, childList: true, characterData: true})),
})"""

# An element is seen whole if it is the topmost one near each of its four corners.
WHOLE = """message => {
    const seen = element => {
        const box = element.getBoundingClientRect();
        return [box.left + 3, box.right - 3].every(x => [box.top + 3, box.bottom - 3].every(
            y => element.contains(document.elementFromPoint(x, y))));
    };
    const images = [...message.querySelectorAll(".component-gallery img")];
    const buttons = [...message.querySelectorAll(".component-row button")];
    return Object.fromEntries([
        ...images.map((image, number) => [`image ${number + 1}`, seen(image)]),
        ...buttons.map(button => [button.textContent.trim(), seen(button)]),
    ]);
}"""


class Demo:
    """`oxherd demo`, running."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.process = process
        self.url = url

    async def restart_bot(self) -> None:
        """What `r` and Enter in the terminal do."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"r\n")
        await self.process.stdin.drain()
        await self.line(r"The bot was restarted")

    async def line(self, pattern: str) -> re.Match[str]:
        """The next printed line that matches."""
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            while text := (await self.process.stdout.readline()).decode():
                if match := re.search(pattern, text):
                    return match

        raise AssertionError(f"the demo ended without saying {pattern!r}")


@asynccontextmanager
async def running_demo(
    data: Path, *options: str, module: str = "bot", **environment: str
) -> AsyncIterator[Demo]:
    """The demo on a free port; stopped with SIGTERM, which must leave exit status 0."""
    command = ("demo", "--no-open", "--port", "0", "--data", str(data), *options)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *command),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
    )
    try:
        demo = Demo(process, "")
        demo.url = (await demo.line(r"(http://127\.0\.0\.1:\d+/\S+)"))[1]
        yield demo
    finally:
        if process.returncode is None:
            process.terminate()

        async with asyncio.timeout(PATIENCE_S):
            status = await process.wait()

    assert status == 0


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """Debian's chromium, headless."""
    async with async_playwright() as playwright:
        expect.set_options(timeout=PATIENCE_MS)
        started = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield started
        finally:
            await started.close()


class Member:
    """Somebody with the page open."""

    def __init__(self, page: Page) -> None:
        self.page = page

    @classmethod
    async def open(cls, browser: Browser, url: str, name: str) -> "Member":
        """Open the page and be that member."""
        page = await browser.new_page(viewport={"width": 1100, "height": 1300})
        page.set_default_timeout(PATIENCE_MS)
        await page.goto(url)
        await page.wait_for_function(READY)  # before that, the page does not hear a choice
        await page.get_by_label("Viewing as").select_option(label=name)
        await page.wait_for_function(READY)  # a new member begins with an empty line

        return cls(page)

    async def imagine(self, prompt: str) -> None:
        """Type /imagine, fill in the prompt, send."""
        composer = self.page.locator("#channel-composer-input")
        await composer.click()
        await composer.press_sequentially("/imagine")
        await expect(self.page.locator(".command-entry", has_text="/imagine")).to_be_visible()
        await self.page.keyboard.press("Enter")
        option = self.page.get_by_label("prompt, required")
        await option.fill(prompt)
        await option.press("Enter")

    async def command(self, path: str) -> None:
        """Type a command that needs no options, and send it."""
        await self.page.locator("#channel-composer-input").press_sequentially(f"/{path}")
        await self.page.locator(".command-entry", has_text=f"/{path}").first.click()
        await self.page.locator("#send-message").click()

    def message(self, text: str) -> Locator:
        """The newest message that shows the text."""
        return self.page.locator("article.channel-message", has_text=text).last

    def images(self, prompt: str) -> Locator:
        """The newest message that shows images of the prompt."""
        gallery = self.page.locator(".component-gallery")

        return self.page.locator("article.channel-message", has_text=prompt, has=gallery).last

    async def sees_images(self, message: Locator) -> None:
        """Wait until four images are there and the page has laid itself out around them."""
        images = message.locator("img")
        await expect(images).to_have_count(4)
        for number in range(4):  # the page adds an image first and fetches it afterwards
            await expect(images.nth(number)).to_have_attribute("src", re.compile("^blob:"))

        await images.evaluate_all("all => Promise.all(all.map(i => i.decode()))")

    def button(self, message: Locator, emoji: str, slot: int) -> Locator:
        """👍 or 👎 of one image."""
        return message.locator("button", has_text=re.compile(rf"{emoji}\s*{slot}\b"))

    async def on_one_screen(self, message: Locator, *, width: int, height: int) -> dict[str, bool]:
        """By what they are, whether the images and the vote buttons of a message can be seen whole
        at once, with the message's last button at the lower edge of a screen of this size."""
        await self.page.set_viewport_size({"width": width, "height": height})
        await self.page.evaluate("() => new Promise(done => setTimeout(done, 500))")  # lays out
        await message.get_by_role("button", name="Details").scroll_into_view_if_needed()
        found: dict[str, bool] = await message.evaluate(WHOLE)

        return found

    async def press(self, button: Locator) -> None:
        """Move the focus to the button and press Enter.

        A mouse may miss it: when the page is scrolled to its end, it hides its line about new
        messages and moves once more, perhaps between the mouse's down and up.
        """
        await button.press("Enter")

    @asynccontextmanager
    async def glimpses(self, text: str) -> AsyncIterator[None]:
        """Look out for the text in all messages from now on; it may be gone when the block ends."""
        shown = await self.page.evaluate_handle(SHOWN, text)
        yield
        async with asyncio.timeout(PATIENCE_S):
            await self.page.evaluate("shown => shown.once", shown)

    async def sees(self, text: str) -> None:
        """Wait until the text stands on the page."""
        await expect(self.page.get_by_text(text).last).to_be_visible()
