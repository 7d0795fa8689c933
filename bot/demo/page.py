"""The demo's page, kept live: simcord publishes it only when a member acts, one at a time.

The only file that touches what simcord keeps private; tests/test_demo_in_browser.py holds it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simcord import Env
    from simcord.preview import Preview

# What the bot does by itself, such as progress, is on the page after this long.
REFRESH_EVERY_S = 0.25
LOOK_AGAIN_AFTER_S = 2.0


class LivePage:
    """Members' presses, publications and restarts of the bot take turns.

    simcord refuses what overlaps, and a page that is refused cannot be used any more.
    """

    def __init__(self, env: "Env", preview: "Preview") -> None:
        self._env = env
        self._preview = preview
        self._turn = asyncio.Lock()
        self._seen = 0  # what the page shows of what has happened
        self._look_again_at: float | None = None
        self._act: Callable[..., Awaitable[dict[str, Any]]] = preview._action
        preview._action = self._in_turn  # type: ignore[method-assign]  # there is no hook for it

    @property
    def url(self) -> str:
        """The page's address; whoever has it may use the page."""
        return self._preview.url

    @classmethod
    @asynccontextmanager
    async def open(cls, env: "Env", preview: "Preview") -> AsyncIterator["LivePage"]:
        """Serve the page while the context lasts. Raises simcord's SetupError."""
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
        """Members may press while the context lasts; what they press before or after waits."""
        await self._preview.refresh()
        self._turn.release()
        try:
            yield
        finally:
            await self._turn.acquire()

    async def _in_turn(self, context_id: str | None, body: Mapping[str, Any]) -> dict[str, Any]:
        async with self._turn:
            page = self._preview._pages.get(context_id or "")
            if page is not None and "published_revision" in body:
                # The page changes by itself while people use it, and the bot restarts: a press
                # counts all the same. That its button is still there is checked.
                body = {
                    **body,
                    "published_revision": page.revision,
                    "bot_generation": self._env._generation,
                }

            receipt = await self._act(context_id, body)
            # Acting has published the page; doing so again at once would take the buttons from
            # under people's fingers. A little later it is done, for what came in between.
            self._seen = len(self._env.backend.transcript)
            self._look_again_at = time.perf_counter() + LOOK_AGAIN_AFTER_S

            return receipt

    async def _keep_fresh(self) -> None:
        from simcord import SetupError

        while True:
            await asyncio.sleep(REFRESH_EVERY_S)
            changes = len(self._env.backend.transcript)
            late = self._look_again_at is not None and time.perf_counter() >= self._look_again_at
            if changes != self._seen or late:
                async with self._turn:
                    with suppress(SetupError):  # the bot is busy; the next look will do
                        await self._preview.refresh()
                        self._seen, self._look_again_at = changes, None
