"""A vote from the click to the commit, as members see it."""

import asyncio
from pathlib import Path
from typing import Any

import discord
import pytest

from bot.chat import texts
from storage.vote import Rating
from tests.support.discord.world import Real, image_ids, text_of, undo_id, vote_ids, world

GOOD, BAD = Rating.GOOD, Rating.BAD
AS_USERS_HAVE_IT = Real.OXEN | Real.WORKER_PROCESS


def answer(message: discord.Message) -> str:
    """What the person's last press did, and that only they read it."""
    assert message.flags.ephemeral

    return text_of(message).splitlines()[-1]


def marks(message: discord.Message) -> str:
    """The votes that a ballot shows."""
    return text_of(message).splitlines()[-2]


async def test_a_press_becomes_a_row_with_the_voters_id(tmp_path: Path) -> None:
    async with world(tmp_path, AS_USERS_HAVE_IT) as w:
        message = await w.imagine(w.alice, "a fox in the snow", seed=7)

        said = answer(await w.vote(w.bob, message, 2, GOOD))
        await w.committed()

        assert said == "👍 recorded for image 2."
        [row] = w.rows()
        image_id = image_ids(message)[1]
        assert list(row)[:3] == ["prompt", "path", "rating"]
        assert row["prompt"] == "a fox in the snow"
        assert row["rating"] == "good"
        assert row["voter_id"] == str(w.bob.id)
        assert row["image_id"] == image_id
        assert row["slot"] == "2"
        posted = await message.attachments[1].read()
        assert w.pictures() == {row["path"]: posted}


async def test_every_image_shown_has_a_generations_row(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        message = await w.imagine(w.alice, "a fox", seed=7, steps=3, guidance=4.5)
        await w.committed()

        rows = w.generations()
        assert [row["image_id"] for row in rows] == image_ids(message)
        assert [row["seed"] for row in rows] == ["7", "8", "9", "10"]
        assert {row["steps"] for row in rows} == {"3"}
        assert {float(row["guidance_scale"]) for row in rows} == {4.5}
        assert {row["backend"] for row in rows} == {"placeholder"}


async def test_the_same_button_again_changes_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        message = await w.imagine(w.alice, "a fox")
        await w.vote(w.bob, message, 1, GOOD)

        said = answer(await w.vote(w.bob, message, 1, GOOD))
        await w.committed()

        assert "already recorded" in said
        assert len(w.rows()) == 1


async def test_the_other_button_replaces(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        message = await w.imagine(w.alice, "a fox")
        await w.vote(w.bob, message, 1, GOOD)
        await w.committed()

        said = answer(await w.vote(w.bob, message, 1, BAD))
        await w.committed()

        assert said == "👎 recorded for image 1, instead of your 👍."
        assert list(w.ratings().values()) == ["bad"]


async def test_undo_removes_the_row_and_the_unwanted_image(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        message = await w.imagine(w.alice, "a fox")
        ballot = await w.vote(w.bob, message, 1, GOOD)
        await w.committed()

        await w.bob.click(ballot, custom_id=undo_id(image_ids(message)[0], GOOD))
        await w.committed()

        assert "is removed" in answer(w.private(w.bob)[-1])
        assert w.rows() == []
        assert w.pictures() == {}


async def test_a_vote_after_an_undo_counts_again(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        message = await w.imagine(w.alice, "a fox")
        ballot = await w.vote(w.bob, message, 1, GOOD)
        await w.committed()
        await w.bob.click(ballot, custom_id=undo_id(image_ids(message)[0], GOOD))
        await w.committed()

        await w.vote(w.bob, message, 1, BAD)
        await w.committed()

        [row] = w.rows()
        assert row["rating"] == "bad"
        assert list(w.pictures()) == [row["path"]]


async def test_two_people_vote_on_one_image(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        message = await w.imagine(w.alice, "a fox")

        await w.vote(w.alice, message, 3, BAD)
        await w.vote(w.bob, message, 3, GOOD)
        await w.committed()

        image = image_ids(message)[2]
        assert w.ratings() == {(image, str(w.alice.id)): "bad", (image, str(w.bob.id)): "good"}


async def test_buttons_work_after_a_restart(tmp_path: Path) -> None:
    async with world(tmp_path, AS_USERS_HAVE_IT) as w:
        message = await w.imagine(w.alice, "a fox")
        await w.vote(w.bob, message, 1, GOOD)
        await w.restart()

        said = answer(await w.vote(w.bob, message, 1, BAD))
        await w.committed()

        assert said == "👎 recorded for image 1, instead of your 👍."
        assert list(w.ratings().values()) == ["bad"]


async def test_the_public_message_does_not_change_when_people_vote(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        message = await w.imagine(w.alice, "a fox")
        before = len(w.env.http_requests)

        await w.vote(w.bob, message, 1, GOOD)

        await w.vote(w.bob, message, 1, BAD)

        assert [r.method for r in w.env.http_requests[before:]] == ["POST", "POST", "PATCH"]
        assert not any(str(message.id) in r.path for r in w.env.http_requests[before:])


async def test_discord_py_builds_no_view_of_the_message_for_a_vote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = []
    build = discord.ui.LayoutView.from_message

    def noted(message: discord.Message, **options: Any) -> Any:
        built.append(message)
        return build(message, **options)

    monkeypatch.setattr(discord.ui.LayoutView, "from_message", noted)
    async with world(tmp_path) as w:
        message = await w.imagine(w.alice, "a fox")

        said = answer(await w.vote(w.bob, message, 1, GOOD))

    assert said == "👍 recorded for image 1."
    assert built == []


async def test_a_button_of_a_removed_image_says_so(tmp_path: Path) -> None:
    async with world(tmp_path, keep_unvoted_days=1e-9) as w:
        message = await w.imagine(w.alice, "a fox")
        await w.committed()
        await w.parts.store.drop_unvoted()

        said = answer(await w.vote(w.bob, message, 1, GOOD))
        await w.committed()

        assert "was removed" in said
        assert w.rows() == []
        assert len(w.generations()) == 4


@pytest.mark.parametrize(
    ("custom_id", "sentence"),
    [
        ("oxherd1:vote:short", texts.not_ours()),
        ("oxherd9:vote:" + "A" * 22 + ":good", texts.not_ours()),
        ("oxherd1:vote:" + "A" * 22 + ":good", texts.button_gone()),
    ],
    ids=["truncated", "a different version", "not on the message"],
)
async def test_a_forged_button_gets_a_sentence(
    tmp_path: Path, custom_id: str, sentence: str
) -> None:
    async with world(tmp_path) as w:
        message = await w.imagine(w.alice, "a fox")

        await w.press(w.bob, message, custom_id)

        assert answer(w.private(w.bob)[-1]) == sentence
        await w.committed()
        assert w.rows() == []


async def test_a_vote_in_a_channel_the_bot_no_longer_sees_counts(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        message = await w.imagine(w.alice, "a fox")
        await w.hide_channel()
        assert w.client.get_channel(w.channel.id) is None

        await w.press(w.bob, message, vote_ids(message)[1, GOOD])
        said = answer(w.private(w.bob)[-1])
        await w.committed()

        assert said == "👍 recorded for image 1."
        assert len(w.rows()) == 1


async def test_many_people_at_once_lose_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        message = await w.imagine(w.alice, "a fox")
        crowd = []
        for number in range(25):
            crowd.append(w.member(f"member {number}"))
            await asyncio.sleep(0)  # that a simulated member takes time is not the bot's fault

        ids = vote_ids(message)
        presses = [
            (member, slot, GOOD if (number + slot) % 3 else BAD)
            for number, member in enumerate(crowd)
            for slot in (1, 2, 3, 4)
        ]

        await w.press_all([(m, message, ids[slot, rating]) for m, slot, rating in presses])
        await w.committed()

        for member in crowd:
            [ballot] = w.private(member)
            assert "recorded for image" in answer(ballot)
            assert marks(ballot) == " · ".join(
                f"{slot} {texts.emoji(rating)}" for m, slot, rating in presses if m is member
            )
            await asyncio.sleep(0)

        images = image_ids(message)
        assert w.ratings() == {
            (images[slot - 1], str(member.id)): str(rating) for member, slot, rating in presses
        }


async def test_one_person_hammering_two_buttons_ends_in_one_row(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        message = await w.imagine(w.alice, "a fox")
        ids = vote_ids(message)

        await w.press_all([(w.bob, message, ids[1, rating]) for rating in (GOOD, BAD) * 20])
        await w.committed()

        [row] = w.rows()
        [ballot] = w.private(w.bob)
        assert marks(ballot) == f"1 {texts.emoji(Rating(row['rating']))} · 2 – · 3 – · 4 –"
