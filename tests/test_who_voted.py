"""What the dataset says of who voted, and of how."""

from functools import partial
from pathlib import Path

import pytest

from bot.cli.doctor import examine
from storage.dataset.memory import MemoryRepository
from storage.folder import DataFolder
from storage.journal.queries import Journal
from storage.remote.rebuild import adopt
from storage.remote.repository import Fetched
from storage.store import VoteStore
from storage.vote import Rating, ShownIn, VoteKind, VoterIds
from tests.support.discord.world import quick_settings
from tests.support.storage.data import NOON, PROVENANCE, a_set, four_images, read_csv
from tests.support.storage.desk import Desk
from tests.test_store import PATIENCE_S, WEEK, show

REQUESTER, OTHER = 10, 10**17 + 7  # `a_set` is the requester's
FETCHED = Fetched(branch="main", commit_id="0" * 32, commits=1, newest_seq=0)


def rows(repository: MemoryRepository) -> list[dict[str, str]]:
    return [
        row
        for path, content in sorted(repository.files.items())
        if path.startswith("train/")
        for row in read_csv(content)
    ]


def _execute(journal: Journal, *, sql: str) -> None:
    journal.connection.execute(sql)


def hide(journal: Journal) -> None:
    """What the store does when the setting changes."""
    if journal.people.set_voter_ids(VoterIds.PSEUDONYM):
        journal.progress.restart()


async def test_pseudonyms_are_the_same_for_each_person_and_nobody_s_id(tmp_path: Path) -> None:
    repository = MemoryRepository()
    for number in range(2):
        async with VoteStore.open(
            tmp_path, repository=repository, keep_unvoted=WEEK, voter_ids=VoterIds.PSEUDONYM
        ) as store:
            image_id, *_ = await show(store, f"set-{number}")
            for voter in (REQUESTER, OTHER):
                await store.vote(image_id, voter, Rating.GOOD)

            assert await store.settle(PATIENCE_S)

    voters = [int(row["voter_id"]) for row in rows(repository)]
    assert voters[:2] == voters[2:]
    assert len(set(voters)) == 2
    assert all(2**52 <= voter < 2**53 for voter in voters)


async def test_the_setting_changes_every_row_at_the_next_start(tmp_path: Path) -> None:
    repository = MemoryRepository()
    found: list[int] = []
    for setting in (VoterIds.DISCORD, VoterIds.PSEUDONYM, VoterIds.DISCORD):
        async with VoteStore.open(
            tmp_path, repository=repository, keep_unvoted=WEEK, voter_ids=setting
        ) as store:
            if not found:
                image_id, *_ = await show(store)
                await store.vote(image_id, OTHER, Rating.GOOD)

            assert await store.settle(PATIENCE_S)

        found += [int(row["voter_id"]) for row in rows(repository)]

    raw, hidden, raw_again = found
    assert raw == raw_again == OTHER
    assert hidden != OTHER


def test_a_new_host_keeps_the_votes_of_people_whom_it_does_not_know(tmp_path: Path) -> None:
    first = MemoryRepository()
    with Desk.open(DataFolder(tmp_path / "first"), lambda: first) as desk:
        image_id, *_ = desk.show("set-0")
        desk.note(hide)
        desk.vote(image_id, OTHER, Rating.GOOD)
        desk.explain(image_id, OTHER, Rating.GOOD, "fits the prompt", "beautiful")
        for what in (
            f"UPDATE images SET gold = 'bad' WHERE image_id = '{image_id}'",
            f"INSERT INTO exposures VALUES (1, '{image_id}', {OTHER}, 'gold', '', 'good', 2, 0)",
            f"INSERT INTO exposures VALUES (2, '{image_id}', {OTHER}, 'repeat', '', 'bad', 2, 0)",
        ):
            desk.note(partial(_execute, sql=what))

        desk.settle()

    for path, content in first.files.items():
        target = tmp_path / "clone" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)

    second = MemoryRepository()
    second.files.update(first.files)
    second.close()  # it starts with what it holds
    with Desk.open(DataFolder(tmp_path / "second"), lambda: second) as desk:
        desk.note(
            lambda journal: adopt(
                journal,
                tmp_path / "clone",
                journal_id="abcd",
                fetched=FETCHED,
                spooled=(),
                now=NOON,
            )
        )
        desk.note(hide)
        desk.settle()
        assert second.files == first.files

        assert desk.vote(image_id, OTHER, Rating.BAD).kind is VoteKind.RECORDED
        desk.settle()

    [before] = rows(first)
    kept, added = rows(second)
    assert kept == before
    assert (kept["gold"], kept["exposures"], kept["repeat"]) == ("bad", "2", "bad")
    assert added["voter_id"] != kept["voter_id"]
    assert added["own_request"] == "unknown"
    assert added["server"] == kept["server"]


def test_a_row_says_how_the_vote_came_about(tmp_path: Path) -> None:
    repository = MemoryRepository()
    with Desk.open(DataFolder(tmp_path), lambda: repository) as desk:
        image_id, *_ = desk.show("set-0")
        desk.vote(image_id, REQUESTER, Rating.GOOD)
        desk.vote(image_id, OTHER, Rating.GOOD)
        desk.note(
            lambda journal: journal.vote(
                image_id, OTHER, Rating.BAD, shown_in=ShownIn.RATE, seconds=2.5, now=NOON
            )
        )
        elsewhere = four_images("set-1")
        desk.spool.put({image.image_id: image.png for image in elsewhere})
        desk.note(lambda journal: journal.add_request(a_set("set-1"), now=NOON))
        desk.note(
            lambda journal: journal.add_images("set-1", elsewhere, provenance=PROVENANCE, now=NOON)
        )
        desk.vote("set-1-1", OTHER, Rating.GOOD)
        desk.settle()

    own, others, in_the_same_server = rows(repository)
    assert (own["own_request"], own["shown_in"], own["seconds"]) == ("yes", "post", "")
    assert (others["own_request"], others["shown_in"], others["seconds"]) == ("no", "rate", "2.500")
    assert own["consent"] == "not asked"
    assert own["server"].isalpha()
    assert in_the_same_server["server"] == own["server"]
    assert "20" not in own.values()  # the server's id


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"remote": "https://hub.example.org/my-team/votes"}, "the voters' Discord ids go to"),
        ({}, "the dataset has the voters' Discord ids"),
        ({"voter_ids": "pseudonym"}, "a random number for each voter"),
    ],
)
def test_doctor_says_who_learns_the_voters_ids(
    tmp_path: Path, changes: dict[str, str], said: str
) -> None:
    findings = examine(quick_settings(tmp_path / "absent", **changes))

    [finding] = [finding for finding in findings if finding.subject == "voters"]
    assert said in finding.detail
