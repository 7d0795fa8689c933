"""/show brings an older request of the server into the channel, with buttons that work."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import discord
import pytest

from bot.chat.custom_ids import SetId
from bot.chat.sets import sentences
from storage.folder import DataFolder
from storage.vote import Rating
from tests.support.discord.servers import other_server, serve_both
from tests.support.discord.world import (
    World,
    image_ids,
    seen,
    set_button,
    text_of,
    vote_ids,
    world,
)


async def show(w: World, member: Any, subject: str) -> discord.Message:
    """What the member who asks sees then."""
    return seen(await member.slash(w.channel, "show", id=subject)).message


def set_of(message: discord.Message) -> str:
    return SetId.parse(set_button(message, "details")).set_id


@pytest.mark.parametrize("by", ["set", "image"])
async def test_an_older_request_is_shown_to_all_with_buttons_that_work(
    tmp_path: Path, by: str
) -> None:
    async with world(tmp_path) as w:
        original = await w.imagine(w.alice, "a fox")
        await w.vote(w.alice, original, 2, Rating.GOOD)
        await w.committed()  # so that one image is in the dataset, and the others in the spool
        subject = set_of(original) if by == "set" else image_ids(original)[2]

        shown = await show(w, w.bob, subject)
        await w.vote(w.bob, shown, 1, Rating.GOOD)
        await w.committed()

        assert not shown.flags.ephemeral
        assert shown.id != original.id
        assert "a fox" in text_of(shown)
        assert w.alice.mention in text_of(shown)
        assert image_ids(shown) == image_ids(original)
        assert len(shown.attachments) == 4
        assert {(row["image_id"], row["voter_id"]) for row in w.rows()} == {
            (image_ids(original)[1], str(w.alice.id)),
            (image_ids(original)[0], str(w.bob.id)),
        }


async def test_it_is_shown_after_a_restart_too(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        original = await w.imagine(w.alice, "a fox")
        await w.restart()

        shown = await show(w, w.bob, set_of(original))
        answer = await w.bob.click(shown, custom_id=set_button(shown, "again"))
        await w.posted()

        assert not seen(answer).ephemeral
        assert len(w.last_message().attachments) == 4


@pytest.mark.parametrize("subject", ["nothing", "A" * 22, "%", "'; DROP TABLE sets; --"])
async def test_an_id_that_nobody_has_is_said_so(tmp_path: Path, subject: str) -> None:
    async with world(tmp_path) as w:
        await w.imagine(w.alice, "a fox")
        said = await show(w, w.bob, subject)

        assert said.flags.ephemeral
        assert text_of(said) == sentences.nothing_to_show()


async def test_a_request_of_a_different_server_is_unknown(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        other = other_server(w)
        await serve_both(w, other)
        secret = await w.imagine(w.alice, "a secret fox")

        for subject in (set_of(secret), image_ids(secret)[0]):
            said = seen(await other.member.slash(other.channel, "show", id=subject))

            assert said.ephemeral
            assert text_of(said.message) == sentences.nothing_to_show()


async def test_what_is_removed_later_leaves_the_copies_and_comes_back(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        original = await w.imagine(w.alice, "a fox")
        copies = [await show(w, w.bob, set_of(original)) for _ in range(2)]
        await copies[0].delete()
        mod = w.moderator()
        gone = image_ids(original)[1]

        answer = await mod.slash(w.channel, "oxherd remove", id=gone, reason="a test")
        left = [image_ids(await again(w, each)) for each in (original, copies[1])]
        await mod.slash(w.channel, "oxherd remove", id=set_of(original), reason="a test")
        nothing = [await again(w, each) for each in (original, copies[1])]
        refused = await show(w, w.bob, set_of(original))
        await mod.slash(w.channel, "oxherd restore", id=set_of(original))
        back = [image_ids(await again(w, each)) for each in (original, copies[1])]

        assert "could not" not in text_of(seen(answer).message)
        assert left == [[each for each in image_ids(original) if each != gone]] * 2
        assert [each.attachments for each in nothing] == [[], []]
        assert text_of(refused) == sentences.nothing_left_to_show()
        assert back == [image_ids(original)] * 2


async def again(w: World, message: discord.Message) -> discord.Message:
    """The message as it is now."""
    room = w.client.get_channel(message.channel.id)
    assert isinstance(room, discord.TextChannel)

    return await room.fetch_message(message.id)


async def test_only_what_moderators_left_is_shown(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        original = await w.imagine(w.alice, "a fox")
        gone = image_ids(original)[0]
        await w.moderator().slash(w.channel, "oxherd remove", id=gone, reason="a test")

        shown = await show(w, w.bob, set_of(original))

        assert image_ids(shown) == image_ids(original)[1:]
        assert [slot for slot, rating in vote_ids(shown) if rating is Rating.GOOD] == [1, 2, 3]
        assert len(shown.attachments) == 3


async def test_withheld_images_are_not_shown_and_counted(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        original = await w.imagine(w.alice, "a fox")
        kept_back = image_ids(original)[3]
        with closing(sqlite3.connect(DataFolder(tmp_path).journal)) as journal, journal:
            journal.execute(
                "UPDATE images SET withheld = 'classifier' WHERE image_id = ?", (kept_back,)
            )

        shown = await show(w, w.bob, set_of(original))

        assert image_ids(shown) == image_ids(original)[:3]
        assert "1 image of this request was withheld." in text_of(shown)


async def test_what_is_forgotten_is_unknown_and_leaves_no_trace_of_its_copies(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        original = await w.imagine(w.alice, "a fox")
        await show(w, w.bob, set_of(original))
        await w.parts.store.forget(w.alice.id, requests=True)

        said = await show(w, w.bob, set_of(original))

        assert text_of(said) == sentences.nothing_to_show()
        assert await w.parts.store.copies(set_of(original)) == []


async def test_who_is_forgotten_without_their_requests_is_not_named(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        original = await w.imagine(w.alice, "a fox")
        await w.parts.store.forget(w.alice.id, requests=False)

        shown = await show(w, w.bob, set_of(original))

        assert "a fox" in text_of(shown)
        assert "<@" not in text_of(shown)


async def test_images_whose_files_are_gone_are_said_so(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        original = await w.imagine(w.alice, "a fox")
        for file in DataFolder(tmp_path).spool.glob("*.png"):
            file.unlink()

        said = await show(w, w.bob, set_of(original))

        assert said.flags.ephemeral
        assert text_of(said) == sentences.nothing_left_to_show()


async def test_who_may_not_ask_may_not_show_and_it_counts_as_a_request(tmp_path: Path) -> None:
    async with world(tmp_path, max_requests_per_minute=2) as w:
        original = await w.imagine(w.alice, "a fox")
        mod = w.moderator()
        await mod.slash(w.channel, "oxherd ban", member=w.bob, reason="a test")

        banned = await show(w, w.bob, set_of(original))
        await show(w, w.alice, set_of(original))
        hasty = await show(w, w.alice, set_of(original))

        assert "have banned you" in text_of(banned)
        assert "That was too fast" in text_of(hasty)
        assert hasty.flags.ephemeral


async def test_doubtful_images_are_not_brought_where_they_may_not_be(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        original = await w.imagine(w.alice, "a fox")
        with closing(sqlite3.connect(DataFolder(tmp_path).journal)) as journal, journal:
            journal.execute(
                "UPDATE images SET doubtful = 1 WHERE image_id = ?", (image_ids(original)[0],)
            )

        everywhere = await show(w, w.bob, set_of(original))
        w.parts.requests.gate._doubtful_everywhere = False
        somewhere = await show(w, w.bob, set_of(original))

        assert image_ids(everywhere) == image_ids(original)
        assert image_ids(somewhere) == image_ids(original)[1:]
