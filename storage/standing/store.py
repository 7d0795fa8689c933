"""Members' and servers' figures, and the weekly posts: the bot's door to them.

Figures are read by a connection and a thread of their own, so no vote waits for them.
"""

import sqlite3
import time
from collections.abc import Callable, Hashable, Sequence
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from storage.dataset.changes import open_for_reading
from storage.errors import JournalError
from storage.journal.queries import Journal
from storage.journal.rating.showings import Showings
from storage.journal.standing import images, members, server
from storage.journal.standing.figures import (
    MemberFigures,
    Place,
    RankedImage,
    ServerFigures,
    Trust,
)
from storage.journal.thread import JournalThread
from storage.processes.thread import OneThread

if TYPE_CHECKING:
    from storage.estimate.live import LiveEstimate

T = TypeVar("T")

# Reading all votes of a server takes a while, and everybody may ask.
_KEPT_FOR_S = 60.0
_MOST_KEPT = 1_000

# The first time, all images of the server are noted: in pieces, between votes.
_NOTED_AT_ONCE = 500


class StandingStore:
    """Everything is of one server: none learns anything of another. Methods may raise a
    JournalError."""

    def __init__(
        self,
        path: Path,
        *,
        thread: OneThread,
        journal: JournalThread,
        raters: int,
        clock: Callable[[], datetime],
    ) -> None:
        """raters: how many votes an image should have."""
        self._path = path
        self._thread = thread
        self._journal = journal
        self._raters = raters
        self._clock = clock
        self._kept: dict[Hashable, tuple[float, Any]] = {}
        self._estimates: dict[int, LiveEstimate] = {}  # by server; the thread's alone

    async def member(self, guild_id: int, member_id: int) -> MemberFigures:
        """One member."""
        today = self._clock().date()

        return await self._read(
            lambda journal: members.figures_of(
                journal, guild_id, member_id, trust=self._trust(journal, guild_id), today=today
            )
        )

    async def leaderboard(self, guild_id: int, *, within: timedelta) -> list[Place]:
        """All members whose votes count, the first place first; at most a minute old."""
        since = self._clock() - within

        return await self._recent(
            ("leaderboard", guild_id, within),
            lambda journal: members.leaderboard(
                journal, guild_id, since, trust=self._trust(journal, guild_id)
            ),
        )

    async def best_images(
        self, guild_id: int, *, within: timedelta, limit: int
    ) -> list[RankedImage]:
        """The best images that were posted in that time, the best first; at most a minute old."""
        since = self._clock() - within

        return await self._recent(
            ("images", guild_id, within, limit),
            lambda journal: images.best_since(journal, guild_id, since, limit=limit),
        )

    async def server(self, guild_id: int, *, days: int) -> ServerFigures:
        """The whole server, and its last days one by one; at most a minute old."""
        today = self._clock().date()

        return await self._recent(
            ("server", guild_id, days),
            lambda journal: server.figures(
                journal,
                guild_id,
                trust=self._trust(journal, guild_id),
                raters=self._raters,
                days=days,
                today=today,
            ),
        )

    async def weekly_channels(self) -> dict[int, int]:
        """The channel for the weekly post, by server."""
        return await self._journal.run(lambda journal: journal.weekly_posts.channels())

    async def begin_weekly_post(self, guild_id: int, day: date) -> int | None:
        """Note a try to post that of this day; which try it is. None: it is done."""
        return await self._journal.run(lambda journal: journal.weekly_posts.begin(guild_id, day))

    async def finish_weekly_post(self, guild_id: int, day: date) -> None:
        """Note that the post of this day is done, or left out."""
        await self._journal.run(lambda journal: journal.weekly_posts.finish(guild_id, day))

    async def note_certain(self, guild_id: int) -> None:
        """Note in the journal which labels are certain by now: /rate goes by that."""

        def turned(journal: sqlite3.Connection) -> list[tuple[str, bool]]:
            self._trust(journal, guild_id)

            return self._estimates[guild_id].turned()

        found = await self._read(turned)
        for start in range(0, len(found), _NOTED_AT_ONCE):
            some = found[start : start + _NOTED_AT_ONCE]
            await self._journal.run(partial(_note_certain, turned=some))

        await self._thread.run(lambda: self._estimates[guild_id].told(found))

    def _trust(self, journal: sqlite3.Connection, guild_id: int) -> Trust:
        from storage.estimate.live import LiveEstimate

        if guild_id not in self._estimates:
            self._estimates[guild_id] = LiveEstimate(guild_id)

        return self._estimates[guild_id].follow(journal)

    async def _recent(self, key: Hashable, query: Callable[[sqlite3.Connection], T]) -> T:
        kept = self._kept.get(key)
        if kept is not None and time.monotonic() - kept[0] < _KEPT_FOR_S:
            found: T = kept[1]
            return found

        found = await self._read(query)
        self._kept.pop(key, None)
        self._kept[key] = time.monotonic(), found  # at the end: the first is the oldest
        if len(self._kept) > _MOST_KEPT:
            del self._kept[next(iter(self._kept))]

        return found

    async def _read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        def read() -> T:
            try:
                with open_for_reading(self._path) as connection:
                    return query(connection)
            except sqlite3.OperationalError as exc:
                raise JournalError.failed(self._path, reason=str(exc)) from exc

        return await self._thread.run(read)


def _note_certain(journal: Journal, turned: Sequence[tuple[str, bool]]) -> None:
    Showings(journal.connection).note_certain(turned)
