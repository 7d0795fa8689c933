"""What moderators do to votes, members and images: the bot's door to it."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from storage.acts import (
    Act,
    ActKind,
    Alarm,
    AlarmLimits,
    Ban,
    GoldImage,
    Guidelines,
    Order,
    Report,
    ServerRules,
)
from storage.dataset.committer import Committer
from storage.journal.moderation.acts import Moderation
from storage.journal.thread import JournalThread
from storage.people import ConsentText
from storage.vote import Rating

T = TypeVar("T")
MaybeAct = TypeVar("MaybeAct", Act, Act | None)


class ModerationStore:
    """The moderators' part of the open store. Every act is in the journal when its method returns,
    and in the dataset a moment later, in one commit. Methods may raise a JournalError."""

    def __init__(
        self, journal: JournalThread, committer: Committer, *, clock: Callable[[], datetime]
    ) -> None:
        self._journal = journal
        self._committer = committer
        self._clock = clock
        self._rules: dict[int, ServerRules] = {}
        self._guidelines: dict[int, Guidelines | None] = {}
        self._consent_texts: dict[int, ConsentText | None] = {}

    async def ban(self, member_id: int, order: Order, *, lasts: timedelta | None) -> Act:
        """Keep the member from asking and voting, and set their votes aside; None: for good."""
        now = self._clock()
        until = None if lasts is None else now + lasts

        return await self._act(
            lambda moderation: moderation.ban(member_id, order, until=until, now=now)
        )

    async def unban(self, member_id: int, order: Order) -> Act | None:
        """End the ban and bring its votes back; None if there is no ban."""
        return await self._act(
            lambda moderation: moderation.unban(member_id, order, now=self._clock())
        )

    async def discard_votes(self, member_id: int, order: Order) -> Act:
        """Set aside all votes that the member gave until now; they may give new ones."""
        return await self._act(
            lambda moderation: moderation.discard_votes(member_id, order, now=self._clock())
        )

    async def restore_votes(self, member_id: int, order: Order) -> Act:
        """Bring back the votes that were discarded."""
        return await self._act(
            lambda moderation: moderation.restore_votes(member_id, order, now=self._clock())
        )

    async def mark_gold(self, image_id: str, rating: Rating | None, order: Order) -> Act | None:
        """Mark the right rating of an image, or that it is not gold any more (None). None if the
        server has no such image to show, or nothing changes."""
        return await self._act(
            lambda moderation: moderation.mark_gold(image_id, rating, order, now=self._clock())
        )

    async def gold(self, guild_id: int, *, limit: int) -> list[GoldImage]:
        """The gold images of the server, those first on which most votes are wrong."""
        return await self._run(lambda moderation: moderation.gold(guild_id, limit=limit))

    async def remove(self, subject: str, order: Order) -> Act | None:
        """Take an image, or all images of a set, out of the dataset; their bytes stay in the spool.

        None if the server has none with this id that is in.
        """
        return await self._act(
            lambda moderation: moderation.remove(subject, order, now=self._clock())
        )

    async def restore(self, subject: str, order: Order) -> Act | None:
        """Bring removed images back; None if the server has none with this id."""
        return await self._act(
            lambda moderation: moderation.restore(subject, order, now=self._clock())
        )

    async def rules(self, guild_id: int | None) -> ServerRules:
        """What moderators have set for the server. Only the first look goes to the journal."""
        if guild_id is None:
            return ServerRules()

        if guild_id not in self._rules:
            self._rules[guild_id] = await self._run(lambda moderation: moderation.rules(guild_id))

        return self._rules[guild_id]

    async def set_rules(self, kind: ActKind, rules: ServerRules, order: Order) -> Act:
        """Set them anew, as an act of this kind."""
        assert order.guild_id is not None
        act = await self._run(
            lambda moderation: moderation.set_rules(kind, rules, order, now=self._clock())
        )
        self._rules[order.guild_id] = rules

        return act

    async def guidelines(self, guild_id: int | None) -> Guidelines | None:
        """The server's guidelines; None if it has none. Only the first look goes to the journal."""
        if guild_id is None:
            return None

        if guild_id not in self._guidelines:
            self._guidelines[guild_id] = await self._run(
                lambda moderation: moderation.guidelines.of(guild_id)
            )

        return self._guidelines[guild_id]

    async def set_guidelines(
        self, text: str, order: Order, *, good: str | None, bad: str | None, again: bool
    ) -> Guidelines | None:
        """Replace them; an empty text: there are none. good, bad: ids of examples. again: they are
        shown to those who were shown them before, too."""
        assert order.guild_id is not None
        await self._run(
            lambda moderation: moderation.set_guidelines(
                text, order, good=good, bad=bad, again=again, now=self._clock()
            )
        )
        self._guidelines.pop(order.guild_id, None)

        return await self.guidelines(order.guild_id)

    async def is_shown(self, image_id: str, guild_id: int) -> bool:
        """Whether the server has this image, and its members can see it."""
        return await self._run(lambda moderation: moderation.is_shown(image_id, guild_id))

    async def consent_text(self, guild_id: int | None) -> ConsentText | None:
        """What people of the server have to agree to; None for nothing. Only the first look goes to
        the journal."""
        if guild_id is None:
            return None

        if guild_id not in self._consent_texts:
            self._consent_texts[guild_id] = await self._journal.run(
                lambda journal: journal.consents.text(guild_id)
            )

        return self._consent_texts[guild_id]

    async def set_consent_text(self, text: str, order: Order) -> int:
        """Set it, and name it in the dataset's card; its version. An empty one: nobody is asked any
        more."""
        assert order.guild_id is not None
        version = await self._run(
            lambda moderation: moderation.set_consent_text(text, order, now=self._clock())
        )
        self._consent_texts.pop(order.guild_id, None)
        async with self._committer.paused():
            pass  # a new writer writes the card

        return version

    async def cancelled(
        self, order: Order, *, member_id: int | None = None, set_id: str | None = None
    ) -> Act:
        """Record that a member's requests were cancelled, or one request."""
        return await self._run(
            lambda moderation: moderation.cancelled(member_id, set_id, order, now=self._clock())
        )

    async def raise_alarms(self, limits: AlarmLimits = AlarmLimits()) -> list[Alarm]:  # noqa: B008 - it is frozen
        """The alarms that the moderators' channel does not have, and new ones."""
        return await self._run(
            lambda moderation: moderation.brigades.raise_alarms(limits, now=self._clock())
        )

    async def mark_alarm_told(self, alarm: Alarm) -> None:
        """Record that the moderators' channel has it."""
        await self._run(lambda moderation: moderation.brigades.mark_told(alarm))

    async def set_alarm_aside(self, alarm_id: int, order: Order) -> Act | None:
        """Set aside the votes of an alarm's accounts; None if nothing is left to."""
        return await self._act(
            lambda moderation: moderation.set_alarm_aside(alarm_id, order, now=self._clock())
        )

    async def report(self, set_id: str) -> Report:
        """Record that a member reported the request; what it was before, or that it is new."""
        return await self._run(lambda moderation: moderation.report(set_id))

    async def take_back_report(self, set_id: str) -> None:
        """The moderators were not told, so it can be reported again."""
        await self._run(lambda moderation: moderation.take_back_report(set_id))

    async def decide(
        self, kind: ActKind, set_id: str, order: Order, *, member_id: int | None = None
    ) -> Act:
        """Record what moderators decided on a report, on the request or its author."""
        return await self._run(
            lambda moderation: moderation.decide(kind, set_id, member_id, order, now=self._clock())
        )

    async def asked_within(self, time: timedelta, member_id: int, guild_id: int | None) -> int:
        """How many requests of the member were accepted in the server in the last `time`."""
        since = self._clock() - time

        return await self._run(
            lambda moderation: moderation.asked_since(since, member_id, guild_id)
        )

    async def ban_of(self, member_id: int, guild_id: int | None) -> Ban | None:
        """The member's ban in this server, if there is one now."""
        return await self._run(
            lambda moderation: moderation.ban_of(member_id, guild_id, now=self._clock())
        )

    async def untold(self, *, limit: int, but_of: Collection[int | None] = ()) -> list[Act]:
        """The oldest acts that moderators were not told, but those of these servers."""
        return await self._run(lambda moderation: moderation.untold(limit=limit, but_of=but_of))

    async def mark_told(self, acts: Sequence[Act]) -> None:
        """Record that moderators were told these acts, or that there is nowhere to tell them."""
        await self._run(lambda moderation: moderation.mark_told(acts))

    async def _act(self, operation: Callable[[Moderation], MaybeAct]) -> MaybeAct:
        """Do something that changes the dataset, if there is anything to change."""
        act = await self._run(operation)
        if act is not None:
            self._committer.wake()

        return act

    async def _run(self, operation: Callable[[Moderation], T]) -> T:
        return await self._journal.run(lambda journal: operation(journal.moderation))
