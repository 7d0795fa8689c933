"""The ballot: the one private message that shows a member their votes on a set."""

import asyncio
import gc
from datetime import timedelta
from pathlib import Path

import discord
import pytest

from bot.chat import ballots, messages
from bot.chat.custom_ids import ReasonsId
from storage.vote import REASONS, Rating
from tests.support.discord.on_stub import ALICE, PATIENCE_S, on_stub
from tests.support.discord.world import (
    World,
    buttons,
    image_ids,
    offered_on,
    text_of,
    undo_id,
    vote_ids,
    world,
)

GOOD, BAD = Rating.GOOD, Rating.BAD


def lines(message: discord.Message) -> list[str]:
    """The prompt, the votes, and what the last press did."""
    assert message.flags.ephemeral

    return text_of(message).splitlines()


def undo_buttons(message: discord.Message) -> list[str]:
    return [custom_id for custom_id in buttons(message) if ":undo:" in custom_id]


async def undo(
    w: World, ballot: discord.Message, slot: int, rating: Rating, ids: list[str]
) -> None:
    """Press Undo on the ballot as it was when it was looked at."""
    await w.press(w.bob, ballot, undo_id(ids[slot - 1], rating))


async def test_twelve_presses_are_one_private_message_that_is_always_true(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        message = await w.imagine(w.alice, "a fox")
        voted: dict[int, Rating] = {}

        for press in range(12):
            slot, rating = 1 + press % 4, GOOD if press % 3 else BAD
            ballot = await w.vote(w.bob, message, slot, rating)
            voted[slot] = rating

            faces = {GOOD: "👍", BAD: "👎"}
            shown = " · ".join(f"{n} {faces[voted[n]] if n in voted else '–'}" for n in range(1, 5))
            assert lines(ballot)[:2] == ["**a fox**", shown]
            assert f"image {slot}" in lines(ballot)[2]
            assert undo_buttons(ballot) == [
                undo_id(image_id, voted[n])
                for n, image_id in enumerate(image_ids(message), start=1)
                if n in voted
            ]

        assert len(w.private(w.bob)) == 1
        assert w.private(w.alice) == []


async def test_presses_at_the_same_moment_make_one_message_with_the_last_state(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        message = await w.imagine(w.alice, "a fox")
        ids = vote_ids(message)

        for rating in (GOOD, BAD):
            await w.press_all([(w.bob, message, ids[slot, rating]) for slot in (1, 2, 3, 4)] * 3)

            [ballot] = w.private(w.bob)
            face = "👍" if rating is GOOD else "👎"
            assert lines(ballot)[1] == f"1 {face} · 2 {face} · 3 {face} · 4 {face}"


async def test_presses_that_meet_on_the_way_to_discord_make_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On real sockets, so that a press arrives while the answer to another is under way."""
    async with on_stub(tmp_path, monkeypatch) as bot:
        asked = await bot.ask()
        message = await asyncio.wait_for(asyncio.shield(asked.posted), PATIENCE_S)
        good = [vote for vote in message.buttons if vote.endswith(":good")]

        presses = [await bot.stub.press(ALICE, message, vote) for vote in good * 3]
        async with asyncio.timeout(PATIENCE_S):
            read = [await press.answered for press in presses]

        [ballot] = {message.id: message for message in read}.values()
        assert ballot.content.splitlines()[1] == "1 👍 · 2 👍 · 3 👍 · 4 👍"
        assert bot.stub.unknown == []
        assert bot.stub.late == 0


async def test_every_set_and_every_member_has_a_ballot(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        fox, owl = await w.imagine(w.alice, "a fox"), await w.imagine(w.alice, "an owl")

        await w.vote(w.bob, fox, 1, GOOD)
        await w.vote(w.bob, owl, 2, BAD)
        await w.vote(w.alice, fox, 3, BAD)
        await w.vote(w.bob, fox, 4, GOOD)

        assert [lines(ballot)[:2] for ballot in w.private(w.bob)] == [
            ["**a fox**", "1 👍 · 2 – · 3 – · 4 👍"],
            ["**an owl**", "1 – · 2 👎 · 3 – · 4 –"],
        ]
        assert lines(w.private(w.alice)[0])[1] == "1 – · 2 – · 3 👎 · 4 –"


async def test_undo_brings_back_the_vote_before_and_then_none(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        message = await w.imagine(w.alice, "a fox")
        ids = image_ids(message)
        await w.vote(w.bob, message, 1, GOOD)
        ballot = await w.vote(w.bob, message, 1, BAD)

        await undo(w, ballot, 1, BAD, ids)
        await w.committed()

        [ballot] = w.private(w.bob)
        assert lines(ballot)[1:] == [
            "1 👍 · 2 – · 3 – · 4 –",
            "Your 👎 for image 1 is taken back; your 👍 counts again.",
        ]
        assert list(w.ratings().values()) == ["good"]

        await undo(w, ballot, 1, GOOD, ids)
        await w.committed()

        [ballot] = w.private(w.bob)
        assert lines(ballot)[1] == "1 – · 2 – · 3 – · 4 –"
        assert undo_buttons(ballot) == []
        assert w.ratings() == {}


async def test_undo_pressed_twice_takes_back_one_vote(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        message = await w.imagine(w.alice, "a fox")
        await w.vote(w.bob, message, 1, GOOD)
        ballot = await w.vote(w.bob, message, 1, BAD)

        again = (w.bob, ballot, undo_id(image_ids(message)[0], BAD))
        await w.press_all([again, again])
        await w.committed()

        [ballot] = w.private(w.bob)
        assert lines(ballot)[1:] == [
            "1 👍 · 2 – · 3 – · 4 –",
            "That vote for image 1 was no longer there, so nothing changed; your 👍 counts.",
        ]
        assert list(w.ratings().values()) == ["good"]


async def test_a_new_ballot_when_the_token_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path) as w:
        message = await w.imagine(w.alice, "a fox")
        await w.vote(w.bob, message, 1, GOOD)
        monkeypatch.setattr(messages, "TOKEN_LIFE", timedelta(seconds=-1))

        await w.vote(w.bob, message, 2, GOOD)

        assert [lines(ballot)[1] for ballot in w.private(w.bob)] == [
            "1 👍 · 2 – · 3 – · 4 –",
            "1 👍 · 2 👍 · 3 – · 4 –",
        ]


async def test_ballots_whose_token_is_over_are_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path) as w:
        message = await w.imagine(w.alice, "a fox")
        kept = w.client.context.show_ballot.__self__._kept  # type: ignore[attr-defined]
        await w.vote(w.bob, message, 1, GOOD)
        await w.vote(w.member("carol"), message, 1, GOOD)
        assert len(kept) == 2
        monkeypatch.setattr(messages, "TOKEN_LIFE", timedelta(seconds=-1))

        await w.vote(w.alice, message, 1, GOOD)

        assert [voter_id for voter_id, _ in kept] == [w.alice.id]


async def test_a_ballot_that_nobody_is_editing_is_not_searched_for_garbage(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        message = await w.imagine(w.alice, "a fox")
        kept = w.client.context.show_ballot.__self__._kept  # type: ignore[attr-defined]
        sheets = w.client.context.show_ballot.__self__._sheets  # type: ignore[attr-defined]
        await w.vote(w.bob, message, 1, GOOD)
        await w.vote(w.bob, message, 2, GOOD)

        gc.collect()

        assert len(kept) == 1
        assert not any(gc.is_tracked(part) for item in kept.items() for part in item)
        assert sheets == {}


async def test_a_new_ballot_when_discord_refuses_the_edit(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        message = await w.imagine(w.alice, "a fox")
        first = await w.vote(w.bob, message, 1, GOOD)
        w.env.backend.delete_message(w.channel.id, first.id)

        await w.vote(w.bob, message, 2, GOOD)
        await w.vote(w.bob, message, 3, GOOD)

        [ballot] = w.private(w.bob)
        assert lines(ballot)[1] == "1 👍 · 2 👍 · 3 👍 · 4 –"


async def test_a_press_on_an_old_ballot_says_what_is_recorded_now(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        message = await w.imagine(w.alice, "a fox")
        old = await w.vote(w.bob, message, 1, GOOD)
        await w.restart()
        await w.vote(w.bob, message, 1, BAD)
        assert len(w.private(w.bob)) == 2

        await undo(w, old, 1, GOOD, image_ids(message))
        await w.committed()

        [ballot] = w.private(w.bob)  # the other one could not be true any more
        assert ballot.id == old.id
        assert lines(ballot)[1:] == [
            "1 👎 · 2 – · 3 – · 4 –",
            "That vote for image 1 was no longer there, so nothing changed; your 👎 counts.",
        ]
        assert list(w.ratings().values()) == ["bad"]

        await w.vote(w.bob, message, 2, GOOD)

        [ballot] = w.private(w.bob)
        assert lines(ballot)[1] == "1 👎 · 2 👍 · 3 – · 4 –"


async def test_only_so_many_ballots_are_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ballots, "MOST", 1)
    async with world(tmp_path) as w:
        message = await w.imagine(w.alice, "a fox")
        await w.vote(w.bob, message, 1, GOOD)
        await w.vote(w.alice, message, 1, GOOD)

        await w.vote(w.bob, message, 2, GOOD)

        assert len(w.private(w.bob)) == 2
        assert len(w.private(w.alice)) == 1


async def test_a_forgotten_members_ballot_shows_no_vote(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        message = await w.imagine(w.alice, "a fox")
        ballot = await w.vote(w.bob, message, 1, GOOD)
        await w.parts.store.forget(w.bob.id, requests=False)

        await undo(w, ballot, 1, GOOD, image_ids(message))

        [ballot] = w.private(w.bob)
        assert lines(ballot)[1:] == [
            "1 – · 2 – · 3 – · 4 –",
            "You have no vote on image 1, so there is nothing to undo.",
        ]


async def explain(w: World, ballot: discord.Message, custom_id: str, *reasons: str) -> None:
    await w.bob.select(ballot, list(reasons), custom_id=custom_id)


async def test_reasons_become_a_column_and_may_be_taken_back(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        message = await w.imagine(w.alice, "a fox")
        ids = image_ids(message)
        await w.vote(w.bob, message, 2, GOOD)
        ballot = await w.vote(w.bob, message, 1, BAD)
        why = str(ReasonsId(ids[0], BAD))
        assert list(offered_on(ballot)) == list(REASONS[BAD])
        await w.committed()
        assert {row["reasons"] for row in w.rows()} == {"not given"}

        await explain(w, ballot, why, "ugly", "artefact")
        await w.committed()

        [ballot] = w.private(w.bob)
        assert lines(ballot)[1:] == [
            "1 👎 · 2 👍 · 3 – · 4 –",
            "Why 👎 for image 1: artefact, ugly.",
        ]
        assert [reason for reason, picked in offered_on(ballot).items() if picked] == [
            "artefact",
            "ugly",
        ]
        assert {row["slot"]: row["reasons"] for row in w.rows()} == {
            "1": "artefact;ugly",
            "2": "not given",
        }

        await explain(w, ballot, why)
        await w.committed()

        [ballot] = w.private(w.bob)
        assert lines(ballot)[2] == "Why 👎 for image 1: no reason given."
        assert {row["reasons"] for row in w.rows()} == {"not given"}


async def test_another_vote_needs_other_reasons_and_undo_brings_the_first_back(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        message = await w.imagine(w.alice, "a fox")
        ids = image_ids(message)
        first = await w.vote(w.bob, message, 1, GOOD)
        await explain(w, first, str(ReasonsId(ids[0], GOOD)), "beautiful")

        ballot = await w.vote(w.bob, message, 1, BAD)
        await w.committed()
        [row] = w.rows()
        assert (row["rating"], row["reasons"]) == ("bad", "not given")
        assert list(offered_on(ballot)) == list(REASONS[BAD])

        await undo(w, ballot, 1, BAD, ids)
        await w.committed()

        [row] = w.rows()
        assert (row["rating"], row["reasons"]) == ("good", "beautiful")


async def test_reasons_for_a_vote_that_is_no_more_change_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        message = await w.imagine(w.alice, "a fox")
        old = await w.vote(w.bob, message, 1, GOOD)
        await w.restart()
        await w.vote(w.bob, message, 1, BAD)

        await explain(w, old, str(ReasonsId(image_ids(message)[0], GOOD)), "beautiful")
        await w.committed()

        [ballot] = w.private(w.bob)
        assert lines(ballot)[2].startswith("That vote for image 1 was no longer there")
        [row] = w.rows()
        assert (row["rating"], row["reasons"]) == ("bad", "not given")
