"""Votes in arenas go the way of all votes: commits, bans, removals, forgetting, other hosts."""

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from storage.acts import ActKind, Order, ServerRules
from storage.dataset.memory import MemoryRepository
from storage.folder import DataFolder
from storage.journal.arena import votes
from storage.journal.arena.arenas import Arenas
from storage.journal.arena.values import (
    ArenaState,
    Judgement,
    NewArena,
    NewPair,
    PairVote,
    PairVoteKind,
)
from storage.journal.queries import Journal
from storage.journal.shards import ShardSizes
from storage.remote.rebuild import adopt
from storage.remote.repository import Fetched
from storage.vote import Choice, NewImage, Rating, ShownIn
from tests.support.storage.data import NOON, PROVENANCE, a_request, four_images
from tests.support.storage.desk import Desk, Station

GUILD, PERSON, OTHER, ASKER = 20, 987_654_321_012_345_678, 7, 123_456_789_012_345_678
SMALL = ShardSizes(train_rows=3, shown_rows=3, images=2)
ORDER = Order(guild_id=GUILD, moderator_id=1)
NEW = NewArena(
    arena_id="arena-1",
    guild_id=GUILD,
    channel_id=30,
    moderator_id=1,
    models=("red", "green"),
    plan={"seed": 1},
    asks=False,
    pairs=3,
    votes=2,
)


def a_pair(number: int) -> NewPair:
    """Red is left in even pairs."""
    left, right = ("red", "green") if number % 2 == 0 else ("green", "red")

    return NewPair(
        pair_id=f"pair-{number}",
        left_set=f"left-{number}",
        right_set=f"right-{number}",
        left=a_request(f"a fox number {number}", seeds=[number]),
        right=a_request(f"a fox number {number}", seeds=[number + 100]),
        left_model=left,
        right_model=right,
        asker_id=ASKER if number == 2 else 0,
    )


class ArenaDesk:
    """A desk with an open arena of three pairs, whose images are made."""

    def __init__(self, desk: Desk, repository: MemoryRepository) -> None:
        self.desk = desk
        self.repository = repository

    def open(self) -> None:
        def open(journal: Journal) -> None:
            assert Arenas(journal).open(NEW, [a_pair(n) for n in range(3)], ORDER, now=NOON)

        self.desk.note(open)
        while side := self.desk.note(lambda journal: Arenas(journal).next_side(NEW.models)):
            self.add_image(side.set_id)

    def add_image(self, set_id: str) -> NewImage:
        image = replace(four_images(set_id)[0], seed=int(set_id.rpartition("-")[2]))
        self.desk.spool.put({image.image_id: image.png})
        self.desk.note(
            lambda journal: journal.add_images(set_id, [image], provenance=PROVENANCE, now=NOON)
        )

        return image

    def vote(self, number: int, voter: int, choice: Choice, *, rated: bool = False) -> PairVote:
        return self.desk.note(
            lambda journal: votes.vote(
                journal,
                f"pair-{number}",
                voter,
                choice,
                guild_id=GUILD,
                shown_in=ShownIn.RATE if rated else ShownIn.POST,
                now=NOON,
            )
        )

    def all_vote(self) -> None:
        for number, voter, choice in (
            (0, PERSON, Choice.LEFT),
            (0, OTHER, Choice.RIGHT),
            (1, PERSON, Choice.TIE),
            (1, OTHER, Choice.LEFT),
            (2, OTHER, Choice.RIGHT),
        ):
            assert self.vote(number, voter, choice).kind is PairVoteKind.RECORDED

    def close(self) -> None:
        def close(journal: Journal) -> None:
            arenas = Arenas(journal)
            arena = arenas.of_server(GUILD)
            assert arena is not None
            assert arenas.close(arena, ORDER, stopped=False, now=NOON) is not None

        self.desk.note(close)

    def rows(self, table: str = "arena") -> list[dict[str, str]]:
        return [
            row
            for path, content in sorted(self.repository.files.items())
            if path.startswith(f"{table}/")
            for row in csv.DictReader(io.StringIO(content.decode(), newline=""))
        ]

    def choices(self) -> dict[tuple[str, int], str]:
        rows = self.rows()
        found = {(row["pair_id"], int(row["voter_id"])): row["choice"] for row in rows}
        assert len(found) == len(rows)

        return found

    def images(self) -> set[str]:
        return {Path(path).stem for path in self.repository.files if path.endswith(".png")}


ALL = {
    ("pair-0", PERSON): "left",
    ("pair-0", OTHER): "right",
    ("pair-1", PERSON): "tie",
    ("pair-1", OTHER): "left",
    ("pair-2", OTHER): "right",
}


@pytest.fixture
def a(tmp_path: Path) -> Iterator[ArenaDesk]:
    repository = MemoryRepository()
    with Desk.open(DataFolder(tmp_path), lambda: repository, shard_sizes=SMALL) as desk:
        found = ArenaDesk(desk, repository)
        found.open()
        yield found


def test_arenas_take_turns_and_each_turn_changes_the_model_once(tmp_path: Path) -> None:
    with Desk.open(DataFolder(tmp_path), MemoryRepository) as desk:
        found = ArenaDesk(desk, MemoryRepository())
        later = replace(NEW, arena_id="arena-2", guild_id=GUILD + 1)
        other = replace(a_pair(0), pair_id="pair-x", left_set="left-99", right_set="right-99")

        def open_both(journal: Journal) -> None:
            Arenas(journal).open(NEW, [a_pair(number) for number in range(16)], ORDER, now=NOON)
            Arenas(journal).open(later, [other], ORDER, now=NOON + timedelta(hours=1))

        desk.note(open_both)
        made = []
        while side := desk.note(lambda journal: Arenas(journal).next_side(NEW.models)):
            made.append(side.set_id)
            found.add_image(side.set_id)

    numbers = [int(set_id.rpartition("-")[2]) for set_id in made]
    by_red = [
        (set_id.startswith("left")) == (n % 2 == 0) for set_id, n in zip(made, numbers, strict=True)
    ]
    assert numbers.index(99) == 16
    assert sorted(numbers[:16]) == sorted([*range(8)] * 2)
    assert by_red[:16] == [False] * 8 + [True] * 8


@pytest.mark.parametrize("station", Station)
def test_a_writer_that_is_killed_anywhere_commits_every_vote_once(
    a: ArenaDesk, station: Station
) -> None:
    a.all_vote()
    a.desk.commit_until(station, limit=2)
    a.desk.settle(limit=2)
    a.close()
    a.desk.commit_until(station)
    a.desk.settle()

    assert a.choices() == ALL
    assert a.images() == {f"{side}-{n}-1" for side in ("left", "right") for n in range(3)}
    assert {row["image_id"] for row in a.rows("generations")} == a.images()
    models = {(row["pair_id"], row["model_left"], row["model_right"]) for row in a.rows()}
    assert models == {
        ("pair-0", "red", "green"),
        ("pair-1", "green", "red"),
        ("pair-2", "red", "green"),
    }


def test_a_vote_can_be_changed_until_the_arena_is_closed(a: ArenaDesk) -> None:
    a.vote(0, PERSON, Choice.LEFT)
    changed = a.vote(0, PERSON, Choice.RIGHT)
    same = a.vote(0, PERSON, Choice.RIGHT)
    a.close()
    late = a.vote(0, PERSON, Choice.LEFT)
    a.desk.settle()

    assert (changed.kind, same.kind) == (PairVoteKind.REPLACED, PairVoteKind.UNCHANGED)
    assert (late.kind, late.choice) == (PairVoteKind.CLOSED, Choice.RIGHT)
    assert a.choices() == {("pair-0", PERSON): "right"}


@pytest.mark.parametrize(
    ("answers", "right", "counts"), [(8, 3, False), (8, 4, True), (7, 0, True)]
)
def test_who_answers_most_gold_images_wrong_has_no_say(
    a: ArenaDesk, answers: int, right: int, counts: bool
) -> None:
    images = [image for n in range(2) for image in a.desk.show(f"gold-{n}")][:answers]

    def answer(journal: Journal) -> None:
        for number, image in enumerate(images):
            assert journal.moderation.mark_gold(image, Rating.GOOD, ORDER, now=NOON) is not None
            rating = Rating.GOOD if number < right else Rating.BAD
            journal.vote(image, PERSON, rating, guild_id=GUILD, now=NOON)

    a.desk.note(answer)
    a.all_vote()
    a.close()
    a.desk.settle()

    def state(journal: Journal) -> ArenaState:
        (arena,) = Arenas(journal).unfinished()

        return Arenas(journal).state(arena)

    def judgements(journal: Journal) -> list[Judgement]:
        return Arenas(journal).judgements(NEW.arena_id)

    voters = {PERSON, OTHER} if counts else {OTHER}
    assert {voter for _, voter in a.choices()} == voters
    assert {vote.voter for vote in a.desk.note(judgements)} == voters
    assert a.desk.note(state).unreliable == (0 if counts else 1)
    a.desk.note(lambda journal: journal.moderation.restore_votes(PERSON, ORDER, now=NOON))
    a.desk.settle()
    assert a.choices() == ALL


def test_votes_of_a_banned_member_go_and_come_back(a: ArenaDesk) -> None:
    a.all_vote()
    a.desk.settle()
    act = a.desk.note(lambda journal: journal.moderation.ban(PERSON, ORDER, until=None, now=NOON))
    refused = a.vote(2, PERSON, Choice.LEFT)
    a.desk.settle()
    banned = a.choices()
    a.desk.note(lambda journal: journal.moderation.unban(PERSON, ORDER, now=NOON))
    a.desk.settle()

    assert act.votes == 2
    assert refused.kind is PairVoteKind.BANNED
    assert banned == {key: choice for key, choice in ALL.items() if key[1] != PERSON}
    assert a.choices() == ALL


def test_a_vote_faster_than_anybody_can_look_is_set_aside(a: ArenaDesk) -> None:
    rules = ServerRules(rate_seconds=2)
    a.desk.note(lambda journal: journal.moderation.set_rules(ActKind.LIMIT, rules, ORDER, now=NOON))
    shown = a.desk.note(lambda journal: votes.next_pair(journal, PERSON, GUILD, now=NOON))
    assert shown is not None
    number = int(shown.pair_id.rpartition("-")[2])
    hasty = a.vote(number, PERSON, Choice.LEFT, rated=True)
    again = a.vote(number, PERSON, Choice.LEFT, rated=True)
    stranger = a.vote(number, OTHER, Choice.LEFT, rated=True)
    a.desk.settle()

    assert (hasty.kind, hasty.first_haste) == (PairVoteKind.HASTY, True)
    assert again.kind is PairVoteKind.ANSWERED
    assert stranger.kind is PairVoteKind.UNKNOWN
    assert a.choices() == {}


@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
def test_a_removed_image_takes_its_pair_out_until_it_is_restored(
    a: ArenaDesk, closed: bool
) -> None:
    a.all_vote()
    if closed:
        a.close()

    a.desk.settle()
    a.desk.note(lambda journal: journal.moderation.remove("left-0-1", ORDER, now=NOON))
    gone = a.vote(0, PERSON, Choice.RIGHT)
    a.desk.settle()
    without = a.choices(), a.images()
    a.desk.note(lambda journal: journal.moderation.restore("left-0", ORDER, now=NOON))
    a.desk.settle()

    assert gone.kind is (PairVoteKind.CLOSED if closed else PairVoteKind.GONE)
    assert without[0] == {key: choice for key, choice in ALL.items() if key[0] != "pair-0"}
    assert without[1] == {f"{side}-{n}-1" for side in ("left", "right") for n in (1, 2)}
    assert a.choices() == ALL
    assert len(a.images()) == 6


@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
def test_who_is_forgotten_leaves_no_vote_and_no_prompt(a: ArenaDesk, closed: bool) -> None:
    a.all_vote()
    if closed:
        a.close()

    a.desk.settle()
    votes_gone = a.desk.note(lambda journal: journal.forget(PERSON, requests=True, now=NOON)).votes
    prompts_gone = a.desk.note(lambda journal: journal.forget(ASKER, requests=True, now=NOON))
    a.desk.settle()

    assert votes_gone == 2
    assert (prompts_gone.votes, sorted(prompts_gone.images)) == (1, ["left-2-1", "right-2-1"])
    assert a.choices() == {("pair-0", OTHER): "right", ("pair-1", OTHER): "left"}
    assert a.images() == {f"{side}-{n}-1" for side in ("left", "right") for n in (0, 1)}
    assert b"number 2" not in b"".join(a.repository.files.values())


def test_images_of_an_open_arena_are_kept_and_those_that_nobody_judged_go_afterwards(
    a: ArenaDesk,
) -> None:
    a.vote(0, PERSON, Choice.LEFT)
    later = NOON + timedelta(days=100)

    def drop(journal: Journal) -> list[str]:
        return journal.drop_unvoted(before=later, now=later)

    def old(journal: Journal) -> list[str]:
        return journal.erase_old(unvoted_before=later, closed_before=later, now=later)

    kept = a.desk.note(drop)

    assert kept == []
    assert a.desk.note(old) == []
    a.close()
    a.desk.settle()

    assert sorted(a.desk.note(drop)) == ["left-1-1", "left-2-1", "right-1-1", "right-2-1"]
    assert sorted(a.desk.note(old)) == ["left-1-1", "left-2-1", "right-1-1", "right-2-1"]
    a.desk.settle()
    assert a.choices() == {("pair-0", PERSON): "left"}


@contextmanager
def taken_over(a: ArenaDesk, folder: Path) -> Iterator[ArenaDesk]:
    """A new host that has the dataset alone."""
    a.desk.settle()
    for path, content in a.repository.files.items():
        (folder / "copy" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "copy" / path).write_bytes(content)

    repository = MemoryRepository()
    repository.files = dict(a.repository.files)
    fetched = Fetched(branch="main", commit_id="f" * 32, commits=3, newest_seq=99)
    with Desk.open(DataFolder(folder / "new"), lambda: repository, shard_sizes=SMALL) as desk:
        repository.close()  # what is committed is in place
        desk.note(
            lambda journal: adopt(
                journal,
                folder / "copy",
                journal_id="ab12",
                fetched=fetched,
                spooled=(),
                now=NOON,
            )
        )
        yield ArenaDesk(desk, repository)


def test_a_host_that_lost_its_journal_continues_what_was_closed(
    a: ArenaDesk, tmp_path: Path
) -> None:
    a.all_vote()
    a.close()
    with taken_over(a, tmp_path / "other") as found:
        found.desk.note(lambda journal: journal.progress.restart())
        found.desk.settle()

        assert found.choices() == ALL
        assert found.rows() == a.rows()
        assert found.desk.note(lambda journal: journal.find_set("left-0")) is None


def test_an_arena_that_was_open_then_leaves_the_dataset_with_its_images(
    a: ArenaDesk, tmp_path: Path
) -> None:
    a.all_vote()
    with taken_over(a, tmp_path / "other") as found:
        before = found.images()
        found.desk.settle()

        assert len(before) == 6
        assert found.choices() == {}
        assert found.images() == set()
        assert found.desk.spool.ids() == []
