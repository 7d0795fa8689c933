"""Images that moderators remove: from the dataset, from the message, and back again."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from bot.cli import control, control_server
from storage.acts import Order
from storage.dataset.memory import MemoryRepository
from storage.folder import DataFolder
from storage.vote import Rating, VoteKind
from tests.support.discord.world import (
    Real,
    buttons,
    image_ids,
    seen,
    set_button,
    text_of,
    vote_ids,
    world,
)
from tests.support.storage.data import NOON, dataset
from tests.support.storage.desk import Desk

GOOD, BAD = Rating.GOOD, Rating.BAD
ALICE, BOB, MODERATOR = 1, 2, 3
SERVER = 20  # of the desk's requests
ORDER = Order(guild_id=SERVER, moderator_id=MODERATOR, reason="not allowed")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with Desk.open(DataFolder(tmp_path), MemoryRepository) as desk:
        yield desk


@pytest.mark.parametrize("subject", ["set-0-1", "set-0"], ids=["an image", "a whole set"])
def test_a_removal_and_a_restoring_are_a_commit_each_and_leave_the_same_bytes(
    desk: Desk, subject: str
) -> None:
    for image_id in desk.show("set-0")[:3]:
        desk.vote(image_id, ALICE, GOOD)
        desk.vote(image_id, BOB, BAD)
    desk.settle()
    before, commits = desk.files(), len(desk.repository.log(100))

    desk.note(lambda journal: journal.moderation.remove(subject, ORDER, now=NOON))
    desk.settle()
    removed = dataset(desk.files())
    desk.note(lambda journal: journal.moderation.restore(subject, ORDER, now=NOON))
    desk.settle()

    gone = {"set-0-1"} if subject == "set-0-1" else {f"set-0-{slot}" for slot in (1, 2, 3, 4)}
    assert removed.problems == ()
    assert not gone & removed.shown
    assert not gone & removed.images
    assert not gone & {image for image, _ in removed.ratings}
    assert desk.files() == before
    subjects = [commit.message.splitlines()[0] for commit in desk.repository.log(100)]
    assert len(subjects) == commits + 2
    assert subjects[1].startswith("1 removal; ")
    assert subjects[1].endswith("4 images removed" if subject == "set-0" else "1 image removed")
    assert subjects[0].startswith("1 restoring; ")


def test_a_removed_image_takes_no_votes_and_is_not_deleted_by_age(desk: Desk) -> None:
    image_id, *_ = desk.show("set-0")
    desk.note(lambda journal: journal.moderation.remove(image_id, ORDER, now=NOON))

    refused = desk.vote(image_id, ALICE, GOOD)
    later = NOON + timedelta(days=400)
    dropped = desk.note(lambda journal: journal.drop_unvoted(before=later, now=later))
    desk.note(lambda journal: journal.moderation.restore(image_id, ORDER, now=NOON))

    assert refused.kind is VoteKind.TAKEN_OUT_IMAGE
    assert image_id not in dropped
    assert desk.vote(image_id, ALICE, GOOD).kind is VoteKind.RECORDED


def test_nobody_removes_images_of_a_different_server(desk: Desk) -> None:
    image_id, *_ = desk.show("set-0")
    elsewhere = Order(guild_id=SERVER + 1, moderator_id=MODERATOR)
    operator = Order(guild_id=None, moderator_id=None)

    assert desk.note(lambda j: j.moderation.remove(image_id, elsewhere, now=NOON)) is None
    act = desk.note(lambda journal: journal.moderation.remove("set-0", operator, now=NOON))

    assert act is not None
    assert (act.guild_id, act.images) == (SERVER, 4)
    assert desk.note(lambda journal: journal.moderation.remove("set-0", ORDER, now=NOON)) is None


def test_what_only_the_remote_has_waits_for_its_bytes_after_a_restoring(desk: Desk) -> None:
    image_id, *_ = desk.show("set-0")
    desk.vote(image_id, ALICE, GOOD)
    desk.settle()
    desk.note(lambda j: j.connection.execute("UPDATE images SET remote_only = 1"))

    desk.note(lambda journal: journal.moderation.remove(image_id, ORDER, now=NOON))
    desk.settle()
    desk.spool.discard([image_id])
    desk.note(lambda journal: journal.moderation.restore(image_id, ORDER, now=NOON))
    desk.settle()

    assert dataset(desk.files()).problems == ()
    assert dataset(desk.files()).ratings == {}
    assert desk.note(lambda journal: journal.missing.summary()).image_ids == (image_id,)


async def test_a_moderator_removes_one_image_from_the_message_and_the_dataset(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, Real.OXEN) as w:
        mod = w.moderator()
        message = await w.imagine(w.alice, "a fox")
        second = image_ids(message)[1]
        for slot in (1, 2):
            await w.vote(w.bob, message, slot, GOOD)
        await w.committed()
        before, pressed = w.pictures(), vote_ids(message)[2, GOOD]

        form = await mod.context_menu(w.channel, "Remove from dataset", message)
        await mod.submit_modal(form, {"what": [second], "why": "unsafe"})
        await w.committed()
        left = w.last_message()
        refused = await w.press(w.bob, left, pressed)
        rows, pictures, shown = w.rows(), w.pictures(), w.generations()
        await mod.slash(w.channel, "oxherd restore", id=second)
        await w.committed()

        assert [attachment.filename for attachment in left.attachments] == [
            f"{image_id}.png" for image_id in image_ids(message) if image_id != second
        ]
        assert {slot for slot, _ in vote_ids(left)} == {1, 2, 3}
        assert "no longer has that button" in text_of(seen(refused).message)
        assert second not in {row["image_id"] for row in (*rows, *shown)}
        assert len(pictures) == 1
        assert w.pictures() == before
        assert len(w.last_message().attachments) == 4


async def test_a_removed_set_leaves_no_images_and_no_buttons(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        mod = w.moderator()
        message = await w.imagine(w.alice, "a fox")
        await w.vote(w.bob, message, 1, GOOD)
        again = set_button(message, "again")
        set_id = again.rpartition(":")[2]

        said = await mod.slash(w.channel, "oxherd remove", id=set_id, reason="a rule")
        await w.committed()

        assert "4 images removed" in text_of(seen(said).message)
        assert text_of(w.last_message()) == "Moderators have removed these images."
        assert buttons(w.last_message()) == []
        assert w.last_message().attachments == []
        assert w.rows() == w.generations() == []
        assert w.pictures() == {}


async def test_the_operator_removes_and_restores_in_the_shell(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        message = await w.imagine(w.alice, "a fox")
        removal = control.Removal(subject=image_ids(message)[0], reason="a complaint")
        parts = (w.settings, w.parts.store, w.parts.executor, w.client)

        async with control_server.served(*parts):
            removed = await control.remove(tmp_path, removal)
            twice = await control.remove(tmp_path, removal)
            restored = await control.restore(tmp_path, removal)

        assert removed.startswith("1 image removed")
        assert "or it is removed already" in twice
        assert restored.startswith("1 image brought back")


async def test_other_messages_have_nothing_to_remove(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        mod = w.moderator()
        message = await w.alice.send(w.channel, "hello")

        said = await mod.context_menu(w.channel, "Remove from dataset", message)

        assert "shows no images of mine" in text_of(seen(said).message)
