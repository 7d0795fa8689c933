"""The bot's door to /rate: what a rater is shown, and what they answer.

An answer and the choice of the next image are one operation of the journal.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from random import Random, SystemRandom

from storage.acts import Ban
from storage.dataset.committer import Committer
from storage.journal.queries import Journal
from storage.journal.rating.answers import answer
from storage.journal.rating.showings import Aims, Search, Showings
from storage.journal.thread import JournalThread
from storage.vote import Answer, AnsweredBefore, Shown, VoteKind, VoteOutcome, log_press


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """An image to show now, with its bytes."""

    shown: Shown
    png: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What a rater gets.

    outcome: of the vote that they gave, if they did. next: None if no image needs their vote, and
    for somebody who was not let go on: `outcome` or `ban` say why.
    """

    outcome: VoteOutcome | AnsweredBefore | None = None
    ban: Ban | None = None
    next: Picture | None = None


@dataclass(frozen=True, slots=True)
class _Rater:
    """Who rates, where, and whether they may be shown doubtful images there."""

    rater_id: int
    guild_id: int | None
    doubtful: bool


class RatingStore:
    """The raters' part of the open store. What a returned call recorded is durable. Methods may
    raise a StorageError."""

    def __init__(
        self,
        journal: JournalThread,
        committer: Committer,
        *,
        image: Callable[[str], Awaitable[bytes | None]],
        note_certain: Callable[[int], Awaitable[None]],
        aims: Aims,
        clock: Callable[[], datetime],
        chance: Random | None = None,
    ) -> None:
        """image: the bytes of an image by its id; None if they are not on this host. note_certain:
        notes in the journal which labels of a server are certain."""
        self._journal = journal
        self._committer = committer
        self._image = image
        self._note_certain = note_certain
        self._aims = aims
        self._clock = clock
        self._chance = chance or SystemRandom()
        self._rated: set[int] = set()

    async def begin(self, rater_id: int, guild_id: int | None, *, doubtful: bool = True) -> Turn:
        """What the rater is shown first: the image that they have not answered yet, if any.

        doubtful: whether that may be an image that the classifier finds doubtful.
        """
        rater = _Rater(rater_id, guild_id, doubtful)

        def begin(journal: Journal) -> tuple[Ban | None, Shown | Search | None]:
            ban = journal.moderation.ban_of(rater_id, guild_id, now=self._clock())

            return ban, None if ban else self._next(journal, rater)

        ban, found = await self._journal.run(begin)

        return Turn(ban=ban, next=await self._picture(found, rater))

    async def answer(
        self,
        exposure_id: int,
        rater_id: int,
        given: Answer,
        *,
        guild_id: int | None,
        doubtful: bool = True,
    ) -> Turn:
        """Record the answer, and choose what is shown next. After a press on what was answered
        before, or on what this person was not shown, that is nothing."""
        rater = _Rater(rater_id, guild_id, doubtful)

        def answered(
            journal: Journal,
        ) -> tuple[VoteOutcome | AnsweredBefore | None, Shown | Search | None]:
            outcome = answer(
                journal, exposure_id, rater_id, given, guild_id=guild_id, now=self._clock()
            )
            goes_on = not (
                isinstance(outcome, AnsweredBefore)
                or (outcome and outcome.kind in (VoteKind.UNKNOWN_IMAGE, VoteKind.BANNED_VOTER))
            )

            return outcome, self._next(journal, rater) if goes_on else None

        outcome, found = await self._journal.run(answered)
        if not isinstance(outcome, AnsweredBefore):
            self._committer.wake()

        if isinstance(outcome, VoteOutcome):
            log_press(outcome.seq, f"set {outcome.set_id}, image {outcome.slot}: {outcome.kind}")

        return Turn(outcome=outcome, next=await self._picture(found, rater))

    async def shown_set(self, exposure_id: int, rater_id: int) -> str | None:
        """The id of the set of what this person was shown; None if they were not shown it."""

        def find(journal: Journal) -> str | None:
            return Showings(journal.connection).set_of(exposure_id, rater_id)

        return await self._journal.run(find)

    async def note_certain(self) -> None:
        """Note which labels are certain by now, of the servers where people rate."""
        while self._rated:
            await self._note_certain(self._rated.pop())

    def _next(
        self,
        journal: Journal,
        rater: _Rater,
        search: Search = Search(),  # noqa: B008 - it is frozen
    ) -> Shown | Search | None:
        return Showings(journal.connection).next(
            rater.rater_id,
            rater.guild_id,
            doubtful=rater.doubtful,
            aims=self._aims,
            chance=self._chance,
            now=self._clock(),
            search=search,
        )

    async def _picture(self, found: Shown | Search | None, rater: _Rater) -> Picture | None:
        """What was found, with its bytes. A long search is continued; an image without bytes is
        closed, and a different one is looked for."""
        if rater.guild_id is not None:
            self._rated.add(rater.guild_id)

        while found is not None:
            if isinstance(found, Shown):
                png = await self._image(found.image_id)
                if png is not None:
                    return Picture(shown=found, png=png)

            before = found

            def go_on(journal: Journal, before: Shown | Search = before) -> Shown | Search | None:
                if isinstance(before, Search):
                    return self._next(journal, rater, before)

                Showings(journal.connection).close(before.exposure_id, Answer.LOST, seconds=None)

                return self._next(journal, rater)

            found = await self._journal.run(go_on)

        return None
