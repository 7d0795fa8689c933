"""A person who is forgotten is nowhere on this host, and everybody else's votes stay."""

import random
import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from bot.cli import control
from bot.cli.control_server import served
from storage import offline
from storage.acts import Order
from storage.dataset.memory import MemoryRepository
from storage.errors import RequestForgotten
from storage.folder import DataFolder
from storage.journal.file import JournalFile
from storage.journal.forgetting import purge
from storage.journal.queries import Journal
from storage.journal.shards import ShardSizes
from storage.people import Forgotten
from storage.store import VoteStore
from storage.vote import NewSet, Rating, SetState, VoteKind
from tests.support.discord.world import world
from tests.support.storage.data import (
    NOON,
    PROVENANCE,
    Clock,
    a_request,
    a_set,
    dataset,
    four_images,
)
from tests.support.storage.desk import Desk, Station
from tests.support.storage.traces import traces
from tests.test_store import PATIENCE_S, WEEK, show

PERSON, OTHER = 987_654_321_012_345_678, 7
SECRET = "a fox that nobody is to know of"
SMALL = ShardSizes(train_rows=3, shown_rows=5, images=2)


def secret_set(set_id: str) -> NewSet:
    return NewSet(
        set_id=set_id,
        requester_id=PERSON,
        guild_id=20,
        channel_id=30,
        interaction_id=40,
        request=a_request(SECRET),
    )


class TwoPeople:
    """Two requests, one of them the person's, with votes of both people on both."""

    def __init__(self, root: Path) -> None:
        self.repository = MemoryRepository()
        self.desk = Desk.open(DataFolder(root), lambda: self.repository, shard_sizes=SMALL)

    def fill(self, desk: Desk) -> None:
        desk.show("others")
        desk.show_set(secret_set("theirs"))
        for image in ("others-1", "others-2", "theirs-1", "theirs-2"):
            desk.vote(image, PERSON, Rating.GOOD)

        for image in ("others-1", "theirs-1", "theirs-3"):
            desk.vote(image, OTHER, Rating.BAD)

        desk.vote("others-3", PERSON, Rating.BAD)
        desk.vote("others-3", PERSON, None)


@pytest.fixture
def two(tmp_path: Path) -> TwoPeople:
    return TwoPeople(tmp_path)


@pytest.fixture
def desk(two: TwoPeople) -> Iterator[Desk]:
    with two.desk as desk:
        two.fill(desk)
        yield desk


def insert(journal: Journal, *, row: str) -> None:
    journal.connection.execute(f"INSERT INTO {row}")


def forget(desk: Desk, *, requests: bool) -> Forgotten:
    forgotten = desk.note(lambda journal: journal.forget(PERSON, requests=requests, now=NOON))
    desk.spool.discard(forgotten.images)

    return forgotten


def test_the_votes_leave_with_one_commit_and_the_others_stay(two: TwoPeople, desk: Desk) -> None:
    desk.settle()
    before = len(two.repository.log(1000))

    forgotten = forget(desk, requests=False)
    desk.settle(limit=2)

    assert (forgotten.votes, forgotten.requests) == (4, 0)
    assert len(two.repository.log(1000)) == before + 1
    assert "5 votes forgotten" in two.repository.log(1)[0].message
    found = dataset(two.repository.files)
    assert found.problems == ()
    assert set(found.ratings) == {("others-1", OTHER), ("theirs-1", OTHER), ("theirs-3", OTHER)}
    assert len(found.shown) == 8
    assert desk.spool.read("others-2") is not None  # it waits for votes again
    assert SECRET in found.prompts


def test_with_the_requests_go_their_images_and_all_votes_on_them(
    two: TwoPeople, desk: Desk
) -> None:
    desk.settle()

    forgotten = forget(desk, requests=True)
    desk.settle()

    assert (forgotten.votes, forgotten.requests) == (6, 1)
    found = dataset(two.repository.files)
    assert found.problems == ()
    assert set(found.ratings) == {("others-1", OTHER)}
    assert found.shown == {f"others-{slot}" for slot in (1, 2, 3, 4)}
    assert not any(image_id.startswith("theirs") for image_id in desk.spool.ids())
    assert desk.note(lambda journal: journal.find_set("theirs")) is None
    assert desk.vote("theirs-1", OTHER, Rating.GOOD).kind is VoteKind.REMOVED_IMAGE


@pytest.mark.parametrize("station", Station)
def test_a_writer_that_is_killed_anywhere_takes_them_out_all_the_same(
    two: TwoPeople, desk: Desk, station: Station
) -> None:
    desk.commit(limit=3)  # some is in the dataset, some is not
    forget(desk, requests=True)

    desk.commit_until(station, limit=2)
    desk.settle(limit=2)

    found = dataset(two.repository.files)
    assert found.problems == ()
    assert set(found.ratings) == {("others-1", OTHER)}


def test_a_dataset_from_before_is_brought_up_to_the_journal(two: TwoPeople, desk: Desk) -> None:
    desk.settle()
    old = dict(two.repository.files)
    forget(desk, requests=True)
    desk.settle()

    two.repository.files = old  # somebody restores the dataset alone
    desk.restart_writer()
    desk.note(lambda journal: journal.progress.restart())
    desk.settle()

    assert set(dataset(two.repository.files).ratings) == {("others-1", OTHER)}


def test_the_snapshot_goes_until_it_is_written_anew(two: TwoPeople, desk: Desk) -> None:
    desk.settle()
    desk.writer().snapshot()
    assert "train.csv" in two.repository.files

    forget(desk, requests=False)
    desk.settle()

    assert "train.csv" not in two.repository.files
    desk.writer().snapshot()
    assert str(PERSON).encode() not in two.repository.files["train.csv"]


def test_no_byte_of_them_is_left_on_this_host(tmp_path: Path) -> None:
    """The journal is large enough for SQLite to move rows about."""
    repository = MemoryRepository()
    folder = DataFolder(tmp_path / "data")
    randomness = random.Random(1)
    with Desk.open(folder, lambda: repository) as desk:
        for number in range(120):
            new = secret_set if number % 10 == 0 else a_set
            set_id = f"set-{randomness.getrandbits(40):010x}"
            desk.show_set(new(set_id))
            for voter in (PERSON, *randomness.sample(range(100), 12)):
                desk.vote(f"{set_id}-{randomness.randint(1, 4)}", voter, Rating.GOOD)

    assert traces(folder.root, user_id=PERSON, prompt=SECRET)

    offline.forget(folder.root, PERSON, requests=True)

    assert traces(folder.root, user_id=PERSON, prompt=SECRET) == []


def test_a_journal_that_was_killed_before_it_was_clean_is_cleaned_at_the_next_start(
    tmp_path: Path,
) -> None:
    two = TwoPeople(tmp_path)
    with two.desk as desk:
        two.fill(desk)
        forget(desk, requests=True)  # the desk's file is not scrubbed, as if killed now
        copied = tmp_path / "killed"
        copied.mkdir()
        for name in ("journal.sqlite3", "journal.sqlite3-wal"):
            (copied / name).write_bytes((tmp_path / name).read_bytes())

    assert traces(copied, user_id=PERSON, prompt=SECRET)

    with JournalFile.open(copied / "journal.sqlite3"):
        assert traces(copied, user_id=PERSON, prompt=SECRET) == []


def test_every_column_that_may_name_a_person_is_forgotten(desk: Desk) -> None:
    """A new one fails this: `forget` has to take it out, too, and /privacy's file to have it."""

    def columns(journal: Journal) -> set[str]:
        return {
            f"{table}.{column}"
            for (table,) in journal.connection.execute(
                "SELECT name FROM sqlite_schema WHERE type = 'table'"
            ).fetchall()
            for _, column, kind, *_ in journal.connection.execute(f"PRAGMA table_info({table})")
            if kind == "INTEGER" and column.endswith("_id")
        }

    of_people = {
        "sets.requester_id",
        "votes.voter_id",
        "acts.moderator_id",
        "acts.member_id",
        "bans.member_id",
        "people.user_id",
        "consents.user_id",
        "guidelines_read.user_id",
        "alarms.author_id",
        "exposures.rater_id",
        "ballots.voter_id",
        "arenas.moderator_id",
        "arena_pairs.asker_id",
        "arena_votes.voter_id",
        "arena_showings.rater_id",
    }
    of_other_things = {
        "sets.guild_id",
        "sets.channel_id",
        "sets.message_id",
        "sets.interaction_id",
        "acts.act_id",
        "acts.guild_id",
        "rules.guild_id",
        "bans.guild_id",
        "servers.guild_id",
        "consent_texts.guild_id",
        "consents.guild_id",
        "guidelines.guild_id",
        "alarms.alarm_id",
        "alarms.guild_id",
        "guidelines_read.guild_id",
        "copies.channel_id",
        "copies.message_id",
        "exposures.exposure_id",
        "weekly_posts.guild_id",
        "arenas.guild_id",
        "arenas.channel_id",
        "arenas.result_id",
        "arena_pairs.message_id",
    }
    assert desk.note(columns) == of_people | of_other_things


def test_a_hash_stands_for_them_that_only_this_journal_can_compute(tmp_path: Path) -> None:
    def hashed(root: Path, user_id: int) -> int:
        with JournalFile.open(root / "journal.sqlite3") as file, file.transaction():
            return Journal(file.connection).people.hashed_id(user_id)

    first = hashed(tmp_path / "first", PERSON)
    assert first == hashed(tmp_path / "first", PERSON)
    assert first < 0
    assert first != hashed(tmp_path / "first", OTHER)
    assert first != hashed(tmp_path / "second", PERSON)


async def test_images_that_come_too_late_are_not_kept(tmp_path: Path) -> None:
    async with VoteStore.open(tmp_path, repository=MemoryRepository(), keep_unvoted=WEEK) as store:
        await store.add_request(secret_set("late"))
        await store.forget(PERSON, requests=True)

        with pytest.raises(RequestForgotten):
            await store.add_images("late", four_images("late"), provenance=PROVENANCE)

        await store.set_state("late", SetState.FAILED)
        assert await store.find_set("late") is None
        assert await store.spooled("late-1") is None


async def test_a_running_store_forgets_at_once_and_then_commits(tmp_path: Path) -> None:
    repository = MemoryRepository()
    async with VoteStore.open(tmp_path, repository=repository, keep_unvoted=WEEK) as store:
        image_id, *_ = await show(store)
        await store.add_request(secret_set("theirs"))
        for voter in (PERSON, OTHER):
            await store.vote(image_id, voter, Rating.GOOD)

        data = await store.data_of(PERSON)
        assert [request["request"]["prompt"] for request in data["requests"]] == [SECRET]
        assert [(vote["image_id"], vote["rating"]) for vote in data["votes"]] == [
            (image_id, "good")
        ]

        await store.forget(PERSON, requests=True)

        assert traces(tmp_path, user_id=PERSON, prompt=SECRET) == []
        assert await store.settle(PATIENCE_S)
        assert dataset(repository.files).ratings == {(image_id, OTHER): Rating.GOOD}
        data = await store.data_of(PERSON)
        assert (data["requests"], data["votes"], data["pseudonym"]) == ([], [], None)

        assert (await store.vote(image_id, PERSON, Rating.BAD)).kind is VoteKind.RECORDED


def test_sqlite_alone_would_leave_bytes(tmp_path: Path) -> None:
    """What `scrub_if_unclean` is for."""
    two = TwoPeople(tmp_path)
    with two.desk as desk:
        two.fill(desk)
        forget(desk, requests=True)
        with sqlite3.connect(tmp_path / "journal.sqlite3") as other:
            other.execute("PRAGMA wal_checkpoint(PASSIVE)")

        assert traces(tmp_path, user_id=PERSON, prompt=SECRET)


async def test_the_command_asks_the_running_bot_which_cancels_what_they_wait_for(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, placeholder_step_seconds=10) as w:
        async with served(w.settings, w.parts.store, w.parts.executor, w.client):
            await w.ask(w.alice, SECRET)
            forgotten = await control.forget(tmp_path, w.alice.id, requests=True)
            await w.posted()

        assert (forgotten.votes, forgotten.requests) == (0, 1)
        assert traces(tmp_path, user_id=w.alice.id, prompt=SECRET) == []
        assert await w.parts.store.unfinished_sets() == []


def test_a_ban_cannot_be_escaped_by_being_forgotten(two: TwoPeople, desk: Desk) -> None:
    order = Order(guild_id=20, moderator_id=OTHER, reason=f"<@{PERSON}> spams")
    desk.note(lambda journal: journal.moderation.ban(PERSON, order, until=None, now=NOON))
    forget(desk, requests=True)

    outcome = desk.vote("others-1", PERSON, Rating.GOOD)
    assert outcome.kind is VoteKind.BANNED_VOTER
    assert outcome.ban is not None
    assert str(PERSON) not in outcome.ban.reason
    assert desk.vote("others-1", OTHER, Rating.GOOD).kind is VoteKind.REPLACED

    assert desk.note(lambda journal: journal.moderation.unban(PERSON, order, now=NOON)) is not None
    assert desk.vote("others-1", PERSON, Rating.GOOD).kind is VoteKind.RECORDED


ALARM = (
    "alarms (kind, image_id, oldest, since, raised_at) VALUES ('new', 'theirs-1', 1, '', '2026')"
)


def test_what_is_left_can_be_purged_whatever_refers_to_it(two: TwoPeople, desk: Desk) -> None:
    order = Order(guild_id=20, moderator_id=OTHER, reason="no")
    desk.note(lambda journal: journal.moderation.remove("theirs-1", order, now=NOON))
    for row in ("reports VALUES ('theirs', 'open')", ALARM):
        desk.note(partial(insert, row=row))

    forget(desk, requests=True)
    desk.settle()

    desk.note(lambda journal: purge(journal.connection))

    left = desk.note(
        lambda journal: [
            journal.connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("sets", "images", "votes")
        ]
    )
    assert left == [1, 4, 1]
    desk.note(lambda journal: journal.progress.restart())
    desk.settle()
    assert set(dataset(two.repository.files).ratings) == {("others-1", OTHER)}


async def test_requests_without_votes_and_closed_ones_go_after_their_time(tmp_path: Path) -> None:
    repository, clock = MemoryRepository(), Clock()
    async with VoteStore.open(
        tmp_path,
        repository=repository,
        keep_unvoted=WEEK,
        keep_requests=2 * WEEK,
        keep_closed=WEEK,
        clock=clock,
    ) as store:
        for set_id in ("voted", "unvoted"):
            await show(store, set_id, prompt=f"a fox, {set_id}")

        await store.vote("voted-1", OTHER, Rating.GOOD)
        await store.add_request(secret_set("closed"))
        await store.set_state("closed", SetState.CANCELLED)
        await store.add_request(secret_set("waiting"))

        clock.forward(WEEK + timedelta(seconds=1))
        await store.erase_old()
        assert await store.find_set("closed") is None
        assert await store.find_set("unvoted") is not None

        clock.forward(WEEK)
        await store.erase_old()
        assert await store.settle(PATIENCE_S)
        assert await store.find_set("unvoted") is None
        assert [stored.set_id for stored in await store.unfinished_sets()] == ["waiting"]

    found = dataset(repository.files)
    assert found.shown == {f"voted-{slot}" for slot in (1, 2, 3, 4)}
    assert found.problems == ()
    assert traces(tmp_path, user_id=PERSON, prompt="a fox, unvoted") == [
        "journal.sqlite3: id as a number"  # of the request that waits
    ]
