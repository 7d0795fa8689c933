"""/me, /top and /leaderboard. Only who asks reads the answer."""

from collections.abc import Sequence
from datetime import timedelta

import discord
from discord import app_commands

from bot.chat.context import Interaction
from bot.chat.responses import answered, in_time, say_privately, show_privately
from bot.chat.standing import gallery, sentences
from storage.journal.standing.figures import Place, RankedImage

WEEK = timedelta(days=7)
_LEADERBOARD_OF = timedelta(days=30)
_PLACES = 10

CANDIDATES = 50
"""Images that are looked at: some are in channels that not everybody may see."""

_ASKED_AT_ONCE = 100  # members that Discord looks up in one go


@app_commands.guild_only()
@app_commands.command(description="Your votes, and which of your images others like")
async def me(interaction: Interaction) -> None:
    """Tells a member how their votes and images stand."""
    async with answered(interaction):
        assert interaction.guild_id is not None  # Discord offers it in servers only
        store = interaction.client.context.store
        figures = await in_time(
            interaction, store.standing.member(interaction.guild_id, interaction.user.id)
        )
        seen = _seen(interaction, figures.liked)
        shown = await in_time(interaction, gallery.pictures(store, seen))
        await show_privately(
            interaction,
            gallery.view(
                sentences.member(figures), shown, interaction.guild_id, title=sentences.liked()
            ),
            files=gallery.files(shown),
        )


@app_commands.guild_only()
@app_commands.command(description="The best images of the week")
async def top(interaction: Interaction) -> None:
    """Shows the best images of the channels that the member may see."""
    async with answered(interaction):
        assert interaction.guild_id is not None
        store = interaction.client.context.store
        best = await in_time(
            interaction,
            store.standing.best_images(interaction.guild_id, within=WEEK, limit=CANDIDATES),
        )
        seen = _seen(interaction, best)[: gallery.MOST]
        shown = await in_time(interaction, gallery.pictures(store, seen))
        if not shown:
            await say_privately(interaction, sentences.no_top())
            return

        view = gallery.view(sentences.top(), shown, interaction.guild_id)
        await show_privately(interaction, view, files=gallery.files(shown))


@app_commands.guild_only()
@app_commands.command(description="Whose votes count most")
async def leaderboard(interaction: Interaction) -> None:
    """Shows the members whose votes of the last 30 days count most."""
    async with answered(interaction):
        assert interaction.guild_id is not None
        standing = interaction.client.context.store.standing
        places = await in_time(
            interaction, standing.leaderboard(interaction.guild_id, within=_LEADERBOARD_OF)
        )
        try:
            here = await in_time(interaction, _members_of(interaction, places))
        except TimeoutError:
            await say_privately(interaction, sentences.members_not_known())
            return

        first = here[:_PLACES]
        own = [
            (number, place)
            for number, place in enumerate(here, start=1)
            if place.member_id == interaction.user.id and place not in first
        ]
        said = sentences.leaderboard(first, own=own[0] if own else None)
        await say_privately(interaction, said if here else sentences.nobody_yet())


def _seen(interaction: Interaction, images: Sequence[RankedImage]) -> list[RankedImage]:
    """Those that the member may see, here."""
    guild, reader, here = interaction.guild, interaction.user, interaction.channel
    if guild is None or not isinstance(reader, discord.Member):
        return []

    shown_in = here if isinstance(here, gallery.Channel) else None

    return [
        image for image in images if gallery.may_see(guild, image, reader=reader, shown_in=shown_in)
    ]


async def _members_of(interaction: Interaction, places: list[Place]) -> list[Place]:
    """The places of those who are in the server still. Of those behind the ones that are shown,
    nobody asks: only their number matters.

    The bot keeps no list of members. Raises TimeoutError.
    """
    assert interaction.guild is not None
    here: list[Place] = []
    asked = 0
    while len(here) < _PLACES and asked < len(places):
        some = {place.member_id: place for place in places[asked : asked + _ASKED_AT_ONCE]}
        found = await interaction.guild.query_members(
            user_ids=list(some), limit=_ASKED_AT_ONCE, cache=False
        )
        known = {member.id for member in found}
        here += [place for member_id, place in some.items() if member_id in known]
        asked += len(some)

    return here + places[asked:]
