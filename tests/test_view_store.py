"""discord.py 2.7.1 forgets dynamic buttons of every message in two situations; ours meet neither.

A view that mixes a dynamic item with a plain one and times out, or one that is sent again without
its dynamic items, unregisters the items' class. So: dynamic items only, no time-out, a fresh view
each time. These tests also hold the promise that a message costs the bot no memory.
"""

from pathlib import Path
from typing import Any

import discord
from discord import ui

from bot.chat import views
from bot.chat.arena.buttons import PairButton
from bot.chat.buttons import GuidelinesButton, ReasonsSelect, SetButton, UndoButton, VoteButton
from bot.chat.moderation.alarms import AlarmButton
from bot.chat.moderation.reports import ReviewButton
from bot.chat.privacy.buttons import PrivacyButton, first_view
from bot.chat.privacy.notices import AgreeButton
from bot.chat.rating.buttons import RateButton, RatedPairButton, ShownButton
from bot.chat.sets.vary import VarySelect
from generation.request import ImageRequest
from storage.vote import (
    REASONS,
    Ballot,
    Mark,
    NewImage,
    Rating,
    SetState,
    StoredImage,
    StoredSet,
)
from tests.support.discord.world import world

OURS = {
    VoteButton,
    UndoButton,
    ReasonsSelect,
    SetButton,
    VarySelect,
    PrivacyButton,
    AgreeButton,
    GuidelinesButton,
    ReviewButton,
    AlarmButton,
    RateButton,
    ShownButton,
    PairButton,
    RatedPairButton,
}
AN_ID = "A" * 22


def a_stored_set(accepted: views.AcceptedRequest) -> StoredSet:
    image = StoredImage(
        image_id=AN_ID,
        slot=1,
        seed=1,
        sha256="0" * 64,
        withheld=None,
        taken_out=False,
        doubtful=False,
    )

    return StoredSet(
        set_id=accepted.set_id,
        requester_id=1,
        guild_id=1,
        channel_id=1,
        interaction_id=1,
        request=accepted.request.to_json(),
        state=SetState.POSTED,
        message_id=1,
        provenance={},
        tries=1,
        images=[image],
    )


def all_views() -> list[Any]:
    image = NewImage(image_id=AN_ID, slot=1, seed=1, sha256="0" * 64, png=b"")
    accepted = views.AcceptedRequest(
        set_id=AN_ID,
        requester_id=1,
        request=ImageRequest(prompt="a fox", seeds=(1, 2, 3, 4), model="model"),
    )
    a_ballot = Ballot(
        set_id=AN_ID,
        voter_id=1,
        request=accepted.request.to_json(),
        marks=[Mark(image_id=AN_ID, slot=1, rating=Rating.GOOD, reasons=["beautiful"])],
        offered=REASONS,
        has_guidelines=True,
        as_of=1,
    )

    return [
        views.result(accepted, [image] * 4, note="Image 2 was withheld."),
        views.progress(accepted, "Starting…"),
        views.ended(accepted, "Cancelled."),
        views.ballot(a_ballot, slot=1),
        views.under_text(VarySelect.of(a_stored_set(accepted))),
        first_view(),
        views.boxed(ui.ActionRow[Any](AgreeButton(1, 1, "typed"))),
    ]


async def test_every_view_is_dynamic_only_and_lives_for_ever() -> None:
    for view in all_views():
        pressable = [item for item in view.walk_children() if item.is_dispatchable()]

        assert view.timeout is None
        assert pressable
        assert all(isinstance(item, ui.DynamicItem) for item in pressable)


async def test_a_view_is_made_afresh_each_time() -> None:
    first, second = all_views(), all_views()

    assert not {id(view) for view in first} & {id(view) for view in second}


async def test_messages_cost_the_bot_no_memory(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        message = await w.imagine(w.alice, "a fox")
        for slot in (1, 2, 3, 4):
            await w.vote(w.bob, message, slot, Rating.GOOD)

        store = w.client._connection._view_store
        assert set(store._dynamic_items.values()) == OURS
        assert store._views == {}
        assert store._synced_message_views == {}
        assert w.client._connection._messages is None
        assert list(w.client.cached_messages) == []


async def test_the_rule_is_still_needed(tmp_path: Path) -> None:
    """When discord.py mends it, this fails, and the rule can go."""
    async with world(tmp_path) as w:
        store = w.client._connection._view_store
        view = ui.View(timeout=None)
        view.add_item(UndoButton(AN_ID, Rating.GOOD))
        room = w.client.get_channel(w.channel.id)
        assert isinstance(room, discord.TextChannel)
        message = await room.send("x", view=view)

        view.clear_items()
        view.add_item(ui.Button(label="closed", custom_id="closed"))
        await message.edit(view=view)

        assert UndoButton not in store._dynamic_items.values()
