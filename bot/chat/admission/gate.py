"""Which servers are served, and who may ask for images and vote there, now."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import discord

from bot.chat import texts
from bot.chat.admission import sentences
from bot.chat.admission.pace import Pace
from generation.request import ImageRequest
from storage.acts import ServerRules
from storage.people import Notice
from storage.store import VoteStore


class Barred(Exception):
    """The member may not do this here, now. The message is what they read."""


class NoticeDue(Exception):
    """The person has to be shown something first: the text to agree to, or the guidelines.

    request: what they asked for, if it was a request. press: the custom id of what is to be pressed
    for them then, unless that is what they have pressed.
    """

    def __init__(self, notice: Notice) -> None:
        super().__init__("the person has to be shown something first")
        self.notice = notice
        self.request: ImageRequest | None = None
        self.press: str | None = None


class Gate:
    """Refuses what moderators do not want, before it is queued or recorded.

    A ban is not checked for votes here, but where they are recorded.
    """

    def __init__(
        self,
        store: VoteStore,
        *,
        guilds: Collection[int] = (),
        requests_per_minute: int,
        doubtful_everywhere: bool = True,
    ) -> None:
        """guilds: the servers that are served; empty for the one that the bot joined first.
        doubtful_everywhere: whether images that the classifier finds doubtful may be shown in
        channels without an age restriction.
        """
        self._store = store
        self._guilds = guilds
        self._requests_per_minute = requests_per_minute
        self._doubtful_everywhere = doubtful_everywhere
        self._requests = Pace()
        self._votes = Pace()

    def serves(self, guild_id: int | None, *, among: Collection[discord.Guild]) -> bool:
        """Whether the server is one of those that are served. among: those that the bot is in."""
        if self._guilds:
            return guild_id in self._guilds

        return bool(among) and guild_id == min(among, key=_joined_at).id

    def shows_doubtful(self, channel: object) -> bool:
        """Whether images that the classifier finds doubtful may be shown in this channel, as
        spoilers. One that the bot does not see counts as one without an age restriction."""
        is_restricted = getattr(channel, "is_nsfw", None)

        return self._doubtful_everywhere or (is_restricted is not None and is_restricted())

    async def admit_request(self, interaction: discord.Interaction[Any], *, waiting: int) -> None:
        """Raises Barred for a member who may not ask here, NoticeDue, and StorageError.

        waiting: how many requests of the server wait or run.
        """
        member, guild_id = interaction.user, interaction.guild_id
        moderation = self._store.moderation
        rules = await self._check_asking(interaction)
        if rules.paused:
            raise Barred(texts.paused())

        await self._check_notice(interaction, voting=False)
        if rules.waiting is not None and waiting >= rules.waiting:
            raise Barred(texts.server_line_full(rules.waiting))

        self._check_pace(member)
        for limit, lasts, refusal in (
            (rules.requests_per_hour, timedelta(hours=1), texts.asked_enough_in_an_hour),
            (rules.requests_per_day, timedelta(days=1), texts.asked_enough_in_a_day),
        ):
            if limit is not None and (
                await moderation.asked_within(lasts, member.id, guild_id) >= limit
            ):
                raise Barred(refusal(limit))

    async def admit_show(self, interaction: discord.Interaction[Any]) -> None:
        """Raises Barred for a member who may not post images here, and StorageError. It counts as a
        request within a minute."""
        await self._check_asking(interaction)
        self._check_pace(interaction.user)

    async def _check_asking(self, interaction: discord.Interaction[Any]) -> ServerRules:
        """The rules of the server, if they let the member ask here. Raises Barred."""
        member, guild_id = interaction.user, interaction.guild_id
        if (ban := await self._store.moderation.ban_of(member.id, guild_id)) is not None:
            raise Barred(texts.banned(ban))

        rules = await self._store.moderation.rules(guild_id)
        _check_age(member, rules)
        if not _has_one_of(rules.asking_roles, member):
            raise Barred(sentences.asking_needs_role(rules.asking_roles))

        if not _is_in_one_of(rules.asking_channels, interaction):
            raise Barred(sentences.asking_elsewhere(rules.asking_channels))

        return rules

    def _check_pace(self, member: discord.User | discord.Member) -> None:
        wait_s = self._requests.wait_s(member.id, per_minute=self._requests_per_minute)
        if wait_s:
            raise Barred(texts.too_fast(wait_s))

    async def admit_vote(self, interaction: discord.Interaction[Any]) -> None:
        """Raises Barred for a member who may not vote here, NoticeDue, and StorageError."""
        member = interaction.user
        rules = await self._store.moderation.rules(interaction.guild_id)
        _check_age(member, rules)
        if not _has_one_of(rules.voting_roles, member):
            raise Barred(sentences.voting_needs_role(rules.voting_roles))

        if not _is_in_one_of(rules.voting_channels, interaction):
            raise Barred(sentences.voting_elsewhere(rules.voting_channels))

        await self._check_notice(interaction, voting=True)
        if rules.votes_per_minute is not None:
            wait_s = self._votes.wait_s(member.id, per_minute=rules.votes_per_minute)
            if wait_s:
                raise Barred(texts.too_fast(wait_s))

    async def _check_notice(self, interaction: discord.Interaction[Any], *, voting: bool) -> None:
        notice = await self._store.notice_due(
            interaction.user.id, interaction.guild_id, voting=voting
        )
        if notice is not None:
            raise NoticeDue(notice)


def _check_age(member: discord.User | discord.Member, rules: ServerRules) -> None:
    now = discord.utils.utcnow()
    if rules.account_days is not None and now - member.created_at < timedelta(rules.account_days):
        raise Barred(texts.account_too_new(rules.account_days))

    joined_at = member.joined_at if isinstance(member, discord.Member) else None
    if (
        rules.member_days is not None
        and joined_at is not None
        and now - joined_at < timedelta(rules.member_days)
    ):
        raise Barred(texts.member_too_new(rules.member_days))


def _has_one_of(roles: Sequence[int], member: discord.User | discord.Member) -> bool:
    """Whether the member has one of the roles; everybody has one of none."""
    own = member.roles if isinstance(member, discord.Member) else []

    return not roles or any(role.id in roles for role in own)


def _is_in_one_of(channels: Sequence[int], interaction: discord.Interaction[Any]) -> bool:
    """Whether it comes from one of the channels, or from a thread there; always if there are
    none."""
    parent_id = getattr(interaction.channel, "parent_id", None)

    return not channels or interaction.channel_id in channels or parent_id in channels


def _joined_at(guild: discord.Guild) -> tuple[datetime, int]:
    """When the bot joined; the same order after each start."""
    joined_at = None if guild.me is None else guild.me.joined_at

    return joined_at or datetime.max.replace(tzinfo=UTC), guild.id
