"""Moderators stop members and take their votes out; every such act can be taken back."""

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.chat import moderators
from storage import store as store_module
from storage.acts import Order
from storage.dataset.committer import ACT_S_PER_VOTE
from storage.dataset.memory import MemoryRepository
from storage.dataset.oxen import OxenRepository, OxenSettings
from storage.dataset.writer import Writer
from storage.folder import DataFolder
from storage.journal.queries import Journal
from storage.processes.inline import InlineProcess
from storage.vote import Rating, VoteKind
from tests.support.discord.world import (
    image_ids,
    seen,
    set_button,
    text_of,
    undo_id,
    world,
)
from tests.support.storage.data import (
    NOON,
    PROVENANCE,
    a_set,
    dataset,
    files_below,
    four_images,
)
from tests.support.storage.desk import Desk

GOOD, BAD = Rating.GOOD, Rating.BAD
BANNED, OTHER, MODERATOR = 1, 2, 3
SERVER = 20  # of the desk's requests
ORDER = Order(guild_id=SERVER, moderator_id=MODERATOR, reason="a brigade")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with Desk.open(DataFolder(tmp_path), MemoryRepository) as desk:
        yield desk


def history(desk: Desk) -> list[str]:
    """The commits' subjects, newest first."""
    return [commit.message.splitlines()[0] for commit in desk.repository.log(100)]


def vote_on(desk: Desk, sets: int) -> int:
    """One member votes on every image of so many sets, another on some; how many votes the one
    has."""

    def fill(journal: Journal) -> None:
        for number in range(sets):
            images = four_images(f"set-{number}")
            desk.spool.put({image.image_id: image.png for image in images})
            journal.add_request(a_set(f"set-{number}"), now=NOON)
            journal.add_images(f"set-{number}", images, provenance=PROVENANCE, now=NOON)
            journal.mark_posted(f"set-{number}", message_id=1, now=NOON)
            for image in images:
                journal.vote(image.image_id, BANNED, GOOD if image.slot % 3 else BAD, now=NOON)
                if image.slot % 2:
                    journal.vote(image.image_id, OTHER, BAD, now=NOON)

    desk.note(fill)

    return 4 * sets


@pytest.mark.parametrize(
    "sets", [3, pytest.param(2_500, marks=pytest.mark.long)], ids=["12 votes", "10,000 votes"]
)
def test_a_ban_and_its_end_are_a_commit_each_and_leave_the_same_bytes(
    desk: Desk, sets: int
) -> None:
    votes = vote_on(desk, sets)
    desk.settle()
    before, commits = desk.files(), len(desk.repository.log(100_000))

    desk.note(lambda journal: journal.moderation.ban(BANNED, ORDER, until=None, now=NOON))
    desk.settle()
    banned = dataset(desk.files())
    desk.note(lambda journal: journal.moderation.unban(BANNED, ORDER, now=NOON))
    desk.settle()

    assert {voter for _, voter in banned.ratings} == {OTHER}
    assert banned.problems == ()
    assert desk.files() == before
    assert len(desk.repository.log(100_000)) == commits + 2
    back, gone, *_ = history(desk)
    assert gone == f"1 ban; {votes} votes set aside"
    assert back.startswith(f"1 unban; {votes} votes: ")


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_a_ban_of_ten_thousand_votes_in_a_real_dataset_leaves_the_same_bytes(
    tmp_path: Path,
) -> None:
    folder = DataFolder(tmp_path)
    oxen = OxenSettings(path=folder.dataset, config_dir=folder.oxen_config, journal_id="0")
    with Desk.open(folder, lambda: OxenRepository.open(oxen)) as desk:
        votes = vote_on(desk, 2_500)
        desk.settle()
        before, commits = files_below(folder.dataset), len(desk.repository.log(100_000))

        desk.note(lambda journal: journal.moderation.ban(BANNED, ORDER, until=None, now=NOON))
        desk.settle()
        banned = files_below(folder.dataset)
        desk.note(lambda journal: journal.moderation.unban(BANNED, ORDER, now=NOON))
        desk.settle()

        assert votes == 10_000
        assert len(banned) == len(before) - votes // 2  # the others have a vote of somebody else
        assert files_below(folder.dataset) == before
        assert len(desk.repository.log(100_000)) == commits + 2


def test_a_banned_member_cannot_vote_until_the_ban_is_over(desk: Desk) -> None:
    first, second, *_ = desk.show("set-0")
    desk.vote(first, BANNED, GOOD)
    until = NOON + timedelta(hours=1)
    desk.note(lambda journal: journal.moderation.ban(BANNED, ORDER, until=until, now=NOON))

    refused = desk.vote(second, BANNED, GOOD)
    later = desk.note(lambda journal: journal.vote(second, BANNED, GOOD, now=until))
    ended = desk.note(lambda journal: journal.moderation.end_bans(now=until))
    desk.settle()

    assert refused.kind is VoteKind.BANNED_VOTER
    assert refused.ban is not None
    assert (refused.ban.until, refused.ban.reason) == (until, "a brigade")
    assert later.kind is VoteKind.RECORDED
    assert [act.votes for act in ended] == [1]
    assert set(dataset(desk.files()).ratings) == {(first, BANNED), (second, BANNED)}


def test_a_ban_holds_in_its_own_server(desk: Desk) -> None:
    image_id, *_ = desk.show("set-0")
    desk.vote(image_id, BANNED, GOOD)
    elsewhere = Order(guild_id=SERVER + 1, moderator_id=MODERATOR, reason="")

    act = desk.note(lambda journal: journal.moderation.ban(BANNED, elsewhere, until=None, now=NOON))

    assert act.votes == 0
    assert desk.vote(image_id, BANNED, BAD).kind is VoteKind.REPLACED


def test_discarded_votes_stay_out_through_a_ban_until_they_are_restored(desk: Desk) -> None:
    vote_on(desk, 1)
    desk.settle()
    before = desk.files()

    desk.note(lambda journal: journal.moderation.ban(BANNED, ORDER, until=None, now=NOON))
    desk.note(lambda journal: journal.moderation.discard_votes(BANNED, ORDER, now=NOON))
    desk.note(lambda journal: journal.moderation.unban(BANNED, ORDER, now=NOON))
    desk.settle()
    discarded = dataset(desk.files()).ratings
    desk.note(lambda journal: journal.moderation.restore_votes(BANNED, ORDER, now=NOON))
    desk.settle()

    assert {voter for _, voter in discarded} == {OTHER}
    assert desk.files() == before


def test_a_vote_after_a_discard_counts(desk: Desk) -> None:
    image_id, *_ = desk.show("set-0")
    desk.vote(image_id, BANNED, GOOD)
    desk.note(lambda journal: journal.moderation.discard_votes(BANNED, ORDER, now=NOON))

    again = desk.vote(image_id, BANNED, GOOD)
    desk.settle()

    assert again.kind is VoteKind.RECORDED
    assert dataset(desk.files()).ratings == {(image_id, BANNED): GOOD}


def test_images_of_set_aside_votes_are_not_deleted_by_age(desk: Desk) -> None:
    vote_on(desk, 1)
    desk.settle()
    before = desk.files()
    desk.note(lambda journal: journal.moderation.ban(BANNED, ORDER, until=None, now=NOON))
    desk.settle()

    much_later = NOON + timedelta(days=400)
    dropped = desk.note(lambda journal: journal.drop_unvoted(before=much_later, now=much_later))
    desk.note(lambda journal: journal.moderation.unban(BANNED, ORDER, now=much_later))
    desk.settle()

    assert dropped == []
    assert desk.files() == before


async def test_a_ban_stops_requests_and_votes_at_once_and_an_unban_lets_them_in(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        mod = w.moderator()
        message = await w.imagine(w.alice, "a fox")
        ballot = await w.vote(w.bob, message, 1, GOOD)

        await mod.slash(w.channel, "oxherd ban", member=w.bob, reason="spam *here*", hours=2)
        refused_vote = await w.vote(w.bob, message, 2, GOOD)
        refusals = [
            await w.bob.click(ballot, custom_id=undo_id(image_ids(message)[0], GOOD)),
            await w.ask(w.bob, "a crow"),
            await w.bob.click(message, custom_id=set_button(message, "again")),
        ]
        await w.committed()
        rows = w.rows()
        answer = await mod.slash(w.channel, "oxherd unban", member=w.bob)
        await w.imagine(w.bob, "a crow")
        await w.committed()

        for refusal in [refused_vote, *(seen(each).message for each in refusals)]:
            said = text_of(refusal)
            assert "have banned you from asking and voting until <t:" in said
            assert r"spam \*here\*" in said
        assert rows == []
        assert "1 vote brought back" in text_of(seen(answer).message)
        assert [row["voter_id"] for row in w.rows()] == [str(w.bob.id)]


async def test_the_commit_of_a_large_act_may_take_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed_s = []

    class Watched(InlineProcess[Writer]):
        """Notes how long each commit may take."""

        def call(self, method: Any, *args: Any, **kwargs: Any) -> Any:
            if method is Writer.commit_pending:
                allowed_s.append(self.timeout_s)

            return super().call(method, *args, **kwargs)

    def start(writer: Writer, *, close: Callable[[], None]) -> InlineProcess[Writer]:
        process = Watched(writer, close=close)
        process.timeout_s = 60.0
        return process

    monkeypatch.setattr(store_module, "InlineProcess", start)
    async with world(tmp_path) as w:
        message = await w.imagine(w.alice, "a fox")
        for slot in (1, 2, 3):
            await w.vote(w.bob, message, slot, GOOD)
        await w.committed()
        usual_s = set(allowed_s)
        allowed_s.clear()

        await w.moderator().slash(w.channel, "oxherd ban", member=w.bob, reason="spam")
        await w.committed()

        assert usual_s == {60.0}
        assert max(allowed_s) == 60 + 3 * ACT_S_PER_VOTE


async def test_a_ban_cancels_what_waits_and_runs(tmp_path: Path) -> None:
    async with world(tmp_path, placeholder_step_seconds=0.5, default_steps=100) as w:
        mod = w.moderator()
        running = await w.ask(w.bob, "a fox")
        waiting = await w.ask(w.bob, "a crow")

        banned = await mod.slash(w.channel, "oxherd ban", member=w.bob, reason="spam")
        await w.posted()

        assert "2 requests cancelled" in text_of(seen(banned).message)
        assert all("Cancelled" in text_of(seen(each).message) for each in (running, waiting))


async def test_members_do_not_see_the_moderators_commands(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        mod = w.moderator()

        assert "oxherd ban" in mod.available_commands(w.channel)
        offered = w.alice.available_commands(w.channel)
        assert "imagine" in offered
        assert not [name for name in offered if name.startswith("oxherd")]


async def test_the_moderators_channel_gets_each_act_once(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        channel = w.guild.create_text_channel("moderators")
        settings = w.settings.model_copy(update={"moderators_channel": channel.id})
        mod = w.moderator()
        for command in ("ban", "unban", "discard-votes", "restore-votes"):
            await mod.slash(w.channel, f"oxherd {command}", member=w.bob, reason="<@1> a test")

        for _ in range(2):
            await moderators.tell_news(settings, w.parts.store, w.client)
        await w.restart()
        await moderators.tell_news(settings, w.parts.store, w.client)

        told = "\n".join(message.content for message in channel.history()).splitlines()
        kinds = ("ban", "unban", "discarding of votes", "restoring of votes")
        assert len(told) == 4
        for kind, line in zip(kinds, told, strict=True):
            assert f"**{kind}** · <@{w.bob.id}> (`{w.bob.id}`) · " in line
            assert f" · by <@{mod.id}> (`{mod.id}`) · " in line
            assert r"\<\@1\> a test" in line


@pytest.mark.long
def test_a_ban_of_ten_thousand_votes_blocks_the_journal_for_less_than_a_second(
    desk: Desk,
) -> None:
    vote_on(desk, 2_500)

    began_s = time.process_time()
    desk.note(lambda journal: journal.moderation.ban(BANNED, ORDER, until=None, now=NOON))

    assert time.process_time() - began_s < 1
