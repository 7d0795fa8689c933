"""The demo's page, kept up to date: simcord publishes it only when a member acts.

The only module that uses private parts of simcord; tests/test_demo_in_browser.py covers it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from simcord import Env
    from simcord.preview import Preview

# What the bot does by itself, such as showing progress, reaches the page after this time.
REFRESH_EVERY_S = 0.25
REFRESH_AFTER_A_PRESS_S = 2.0

# Discord shows a gallery in two columns on a phone too, small images in it as large as others, and
# attached images above the buttons. On simcord's page there is one column on a phone, images are
# not enlarged, and the buttons come first.
STYLE = """
.component-gallery:has(> figure:nth-child(2)) { grid-template-columns: repeat(2, 1fr); }
.component-gallery .media-lightbox-trigger { width: 100%; }
.channel-message:has(> .message-attachments) { display: flex; flex-direction: column; }
.channel-message > .message-components { order: 1; }
"""


class LivePage:
    """The page. Members' presses, refreshes and restarts of the bot take turns on it.

    simcord refuses calls that overlap, and a page with a refused call cannot be used any more.
    """

    def __init__(self, env: "Env", preview: "Preview") -> None:
        self._env = env
        self._preview = preview
        self._turn = asyncio.Lock()
        self._seen = 0  # how many events the page shows
        self._refresh_at: float | None = None
        self._act: Callable[..., Awaitable[dict[str, Any]]] = preview._action
        preview._action = self._in_turn  # type: ignore[method-assign]  # simcord has no hook for it

    @property
    def url(self) -> str:
        """The page's address. Anybody who has it can use the page."""
        return self._preview.url

    @classmethod
    @asynccontextmanager
    async def open(cls, env: "Env", preview: "Preview") -> AsyncIterator["LivePage"]:
        """Serve the page while the context lasts. Raises simcord's SetupError."""
        _as_discord_looks(preview)
        async with preview:
            page = cls(env, preview)
            await page._turn.acquire()
            keeping = asyncio.create_task(page._keep_fresh(), name="demo page")
            try:
                yield page
            finally:
                keeping.cancel()
                await asyncio.gather(keeping, return_exceptions=True)

    @asynccontextmanager
    async def in_use(self) -> AsyncIterator[None]:
        """Let members press while the context lasts. Presses before and after it wait."""
        await self._preview.refresh()
        self._turn.release()
        try:
            yield
        finally:
            await self._turn.acquire()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Let something act in the simulated Discord that does not come from the page."""
        async with self._turn:
            yield

    async def _in_turn(self, context_id: str | None, body: Mapping[str, Any]) -> dict[str, Any]:
        async with self._turn:
            page = self._preview._pages.get(context_id or "")
            if page is not None and "published_revision" in body:
                # The page may have been refreshed, or the bot restarted, since the member looked:
                # the press counts all the same. simcord checks that its button still exists.
                body = {
                    **body,
                    "published_revision": page.revision,
                    "bot_generation": self._env._generation,
                }

            receipt = await self._act(context_id, body)
            # The press has published the page. A refresh at once would move the buttons under
            # the pointer, so what happens meanwhile is shown a little later.
            self._seen = len(self._env.backend.transcript)
            self._refresh_at = time.perf_counter() + REFRESH_AFTER_A_PRESS_S

            return receipt

    async def _keep_fresh(self) -> None:
        from simcord import SetupError

        while True:
            await asyncio.sleep(REFRESH_EVERY_S)
            changes = len(self._env.backend.transcript)
            late = self._refresh_at is not None and time.perf_counter() >= self._refresh_at
            if changes != self._seen or late:
                async with self._turn:
                    with suppress(SetupError):  # the bot is busy: refresh at the next turn
                        await self._preview.refresh()
                        self._seen, self._refresh_at = changes, None


def _as_discord_looks(preview: "Preview") -> None:
    """Add to the style sheet of a page that is not served yet; the page takes no other styles."""
    server = preview._server
    as_it_is = server._static

    async def static(request: web.Request) -> web.Response:
        response: web.Response = await as_it_is(request)
        if request.path == "/preview.css":
            response.text = f"{response.text}{STYLE}"

        return response

    server._static = static  # type: ignore[method-assign]  # simcord has no hook for it
