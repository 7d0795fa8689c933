"""The journal keeps what it said it keeps, and refuses what is not its own."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from storage.clock import timestamp
from storage.dataset.memory import MemoryRepository
from storage.errors import JournalError, JournalInUse
from storage.folder import DataFolder
from storage.journal.file import JournalFile
from storage.journal.queries import Journal
from storage.journal.schema import APPLICATION_ID, VERSION
from storage.offline import check_journal
from storage.vote import Rating, SetState, VoteKind
from tests.support.storage.data import NOON, PROVENANCE, a_set, four_images
from tests.support.storage.desk import Desk

ALICE, BOB = 1, 2


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with Desk.open(DataFolder(tmp_path), MemoryRepository) as desk:
        yield desk


@pytest.fixture
def image_id(desk: Desk) -> str:
    return desk.show("set-0")[0]


def test_a_first_press_is_recorded(desk: Desk, image_id: str) -> None:
    outcome = desk.vote(image_id, ALICE, Rating.GOOD)

    assert outcome.kind is VoteKind.RECORDED
    assert (outcome.set_id, outcome.slot) == ("set-0", 1)
    assert (outcome.previous, outcome.rating) == (None, Rating.GOOD)


def test_the_same_press_again_changes_nothing(desk: Desk, image_id: str) -> None:
    desk.vote(image_id, ALICE, Rating.GOOD)
    desk.settle()

    assert desk.vote(image_id, ALICE, Rating.GOOD).kind is VoteKind.UNCHANGED
    assert desk.commit() is None


def test_the_other_button_replaces(desk: Desk, image_id: str) -> None:
    desk.vote(image_id, ALICE, Rating.GOOD)

    outcome = desk.vote(image_id, ALICE, Rating.BAD)

    assert outcome.kind is VoteKind.REPLACED
    assert (outcome.previous, outcome.rating) == (Rating.GOOD, Rating.BAD)


def test_undo_takes_the_own_vote_back_and_nobody_else_s(desk: Desk, image_id: str) -> None:
    desk.vote(image_id, ALICE, Rating.GOOD)
    desk.vote(image_id, BOB, Rating.BAD)

    assert desk.vote(image_id, ALICE, None).kind is VoteKind.UNDONE
    assert desk.vote(image_id, ALICE, None).kind is VoteKind.NOTHING_TO_UNDO
    assert desk.vote(image_id, BOB, Rating.BAD).kind is VoteKind.UNCHANGED


def test_an_image_that_nobody_ever_made_is_unknown(desk: Desk) -> None:
    outcome = desk.vote("no-such-image", ALICE, Rating.GOOD)

    assert outcome.kind is VoteKind.UNKNOWN_IMAGE
    assert outcome.set_id is None


def test_a_press_before_the_message_was_noted_counts(desk: Desk) -> None:
    images = four_images("early")
    desk.spool.put({image.image_id: image.png for image in images})
    desk.note(lambda journal: journal.add_request(a_set("early"), now=NOON))
    desk.note(lambda journal: journal.add_images("early", images, provenance={}, now=NOON))

    assert desk.vote("early-2", ALICE, Rating.GOOD).kind is VoteKind.RECORDED

    stored = desk.note(lambda journal: journal.find_set("early"))
    assert stored is not None
    assert stored.state is SetState.POSTED


def test_a_set_is_found_as_it_was_made(desk: Desk) -> None:
    images = four_images("set-0")
    made = {**a_set("set-0").request, "guidance_scale": None, "negative_prompt": ""}
    desk.note(lambda journal: journal.add_request(a_set("set-0"), now=NOON))
    desk.note(
        lambda journal: journal.add_images(
            "set-0", images, provenance=PROVENANCE, request=made, now=NOON
        )
    )

    stored = desk.note(lambda journal: journal.find_set("set-0"))

    assert stored is not None
    assert stored.request == made


def test_a_set_is_found_as_it_was_requested(desk: Desk) -> None:
    desk.show("set-0")

    stored = desk.note(lambda journal: journal.find_set("set-0"))

    assert stored is not None
    assert stored.request == a_set("set-0").request
    assert stored.provenance == PROVENANCE
    assert [image.slot for image in stored.images] == [1, 2, 3, 4]
    [(posted_at,)] = desk.note(
        lambda journal: journal.connection.execute("SELECT posted_at FROM sets").fetchall()
    )
    assert posted_at == timestamp(NOON)
    assert desk.note(lambda journal: journal.find_set("another")) is None


def test_a_message_that_moved_is_where_it_is(desk: Desk) -> None:
    desk.note(lambda journal: journal.add_request(a_set(), now=NOON))

    desk.note(lambda journal: journal.set_message("set-0", channel_id=77, message_id=78))

    stored = desk.note(lambda journal: journal.find_set("set-0"))
    assert stored is not None
    assert (stored.channel_id, stored.message_id) == (77, 78)


def test_sets_that_never_ended_are_unfinished_in_the_order_of_their_requests(desk: Desk) -> None:
    for set_id, state in {
        "w": SetState.WAITING,
        "f": SetState.FAILED,
        "a": SetState.WAITING,
    }.items():
        desk.note(partial(Journal.add_request, new=a_set(set_id), now=NOON))
        desk.note(partial(Journal.set_state, set_id=set_id, state=state))

    unfinished = desk.note(Journal.unfinished_sets)

    assert [stored.set_id for stored in unfinished] == ["w", "a"]


def test_images_without_a_vote_are_dropped_when_they_are_old(desk: Desk, image_id: str) -> None:
    desk.vote(image_id, ALICE, Rating.GOOD)
    desk.settle()
    later = NOON + timedelta(days=7)

    too_early = desk.note(lambda journal: journal.drop_unvoted(before=NOON, now=later))
    dropped = desk.note(lambda journal: journal.drop_unvoted(before=later, now=later))

    assert too_early == []
    assert sorted(dropped) == ["set-0-2", "set-0-3", "set-0-4"]
    assert desk.vote("set-0-2", ALICE, Rating.GOOD).kind is VoteKind.REMOVED_IMAGE


def test_an_image_is_not_dropped_before_the_dataset_saw_its_undo(desk: Desk, image_id: str) -> None:
    later = NOON + timedelta(days=7)
    desk.vote(image_id, ALICE, Rating.GOOD)
    desk.settle()
    desk.vote(image_id, ALICE, None)

    before = desk.note(lambda journal: journal.drop_unvoted(before=later, now=later))
    desk.settle()
    after = desk.note(lambda journal: journal.drop_unvoted(before=later, now=later))

    assert image_id not in before
    assert after == [image_id]


def test_images_are_dropped_and_looked_up_without_reading_the_others(desk: Desk) -> None:
    desk.show("set-0")
    plans: list[str] = []

    def trace(sql: str) -> None:
        if sql.startswith("SELECT") or "SELECT image_id" in sql:
            plans.append(sql)

    def look(journal: Journal) -> None:
        journal.connection.set_trace_callback(trace)
        journal.drop_unvoted(before=NOON, now=NOON)
        journal.unneeded(["set-0-1"])
        journal.unknown(["set-0-1"])
        journal.connection.set_trace_callback(None)
        steps = [
            step["detail"]
            for sql in plans
            for step in journal.connection.execute(f"EXPLAIN QUERY PLAN {sql}")
        ]
        assert [step for step in steps if "SCAN" in step and "images" in step] == []
        assert any("images_unvoted" in step for step in steps)

    desk.note(look)
    assert plans


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE votes SET rating = 'so-so'",
        "UPDATE sets SET state = 'lost'",
    ],
)
def test_a_value_that_no_code_writes_is_refused_by_the_journal(desk: Desk, change: str) -> None:
    desk.vote(desk.show("set-0")[0], ALICE, Rating.GOOD)

    with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
        desk.note(lambda journal: journal.connection.execute(change))


def test_what_a_crash_left_in_the_spool_is_tidied(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    with Desk.open(folder, MemoryRepository) as desk:
        desk.show("set-0")
        desk.spool.put({"never-journalled": b"png"})
        (folder.spool / "half.part").write_bytes(b"ha")

    with Desk.open(folder, MemoryRepository) as desk:
        assert sorted(desk.spool.ids()) == ["set-0-1", "set-0-2", "set-0-3", "set-0-4"]
        assert list(folder.spool.glob("*.part")) == []


def test_a_vote_survives_kill_nine(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    with Desk.open(folder, MemoryRepository) as desk:
        desk.show("set-0")

    script = f"""
import os, signal
from pathlib import Path
from storage.folder import DataFolder
from storage.clock import timestamp
from storage.dataset.memory import MemoryRepository
from storage.vote import Rating
from tests.support.storage.desk import Desk
with Desk.open(DataFolder(Path({str(tmp_path)!r})), MemoryRepository) as desk:
    desk.vote("set-0-1", 1, Rating.GOOD)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", script], check=False, cwd=Path(__file__).parents[1])

    with Desk.open(folder, MemoryRepository) as desk:
        assert desk.vote("set-0-1", ALICE, Rating.GOOD).kind is VoteKind.UNCHANGED


def test_two_owners_are_one_too_many(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    script = f"""
import sys
from pathlib import Path
from storage.journal.file import JournalFile
with JournalFile.open(Path({str(path)!r})):
    print("open", flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[1],
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(JournalInUse, match=f"process {other.pid}"), JournalFile.open(path):
            pass

        other.stdin.close()

    with JournalFile.open(path):
        pass


def test_a_newer_journal_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    _database(path, f"PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version=99")

    with (
        pytest.raises(JournalError, match=rf"version 99.*up to {VERSION}"),
        JournalFile.open(path),
    ):
        pass


def test_an_older_journal_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    _database(path, f"PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version=1")
    content = path.read_bytes()

    with (
        pytest.raises(JournalError, match=rf"version 1, .* reads version {VERSION}"),
        JournalFile.open(path),
    ):
        pass

    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "script",
    [
        "CREATE TABLE songs (title TEXT)",
        "PRAGMA application_id=1; CREATE TABLE songs (title TEXT)",
        "PRAGMA user_version=1",
    ],
    ids=["tables of somebody else", "an id of somebody else", "a version without an id"],
)
def test_somebody_else_s_database_is_refused_and_left_alone(tmp_path: Path, script: str) -> None:
    path = tmp_path / "journal"
    _database(path, script)
    content = path.read_bytes()

    with pytest.raises(JournalError, match="not a journal of oxherd"), JournalFile.open(path):
        pass

    assert path.read_bytes() == content


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_text("Dear diary, " * 100, encoding="utf-8")

    with pytest.raises(JournalError, match="not a database"), JournalFile.open(path):
        pass


def test_a_damaged_journal_is_refused_at_the_start(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    with Desk.open(folder, MemoryRepository) as desk:
        for number in range(50):
            desk.show(f"set-{number}")

    pages = folder.journal.stat().st_size // 4096
    with folder.journal.open("r+b") as file:
        file.seek(4096 * (pages // 2))
        file.write(b"\xff" * 4096)

    with (
        pytest.raises(JournalError, match=r"damaged: .*rebuild-journal"),
        JournalFile.open(folder.journal),
    ):
        pass


def test_what_is_missing_is_told_without_reading_all_votes(desk: Desk) -> None:
    def steps(journal: Journal) -> list[str]:
        asked: list[str] = []
        journal.connection.set_trace_callback(asked.append)
        journal.missing.summary()
        journal.connection.set_trace_callback(None)
        plans = [journal.connection.execute(f"EXPLAIN QUERY PLAN {sql}") for sql in asked]

        return [step["detail"] for plan in plans for step in plan]

    found = desk.note(steps)

    assert "SCAN images USING INDEX images_missing" in found
    assert "SCAN votes" not in found


def test_a_journal_is_read_whole_at_the_start_unless_it_is_as_it_was_closed(
    tmp_path: Path,
) -> None:
    folder = DataFolder(tmp_path)
    with Desk.open(folder, MemoryRepository) as desk:
        for number in range(50):
            desk.show(f"set-{number}")

    _rot(folder.journal)

    with JournalFile.open(folder.journal) as file, pytest.raises(JournalError, match="damaged"):
        file.check()

    with pytest.raises(JournalError, match="damaged"):
        check_journal(tmp_path)

    copied = DataFolder(tmp_path / "copied")
    shutil.copytree(tmp_path, copied.root, ignore=shutil.ignore_patterns("copied"))
    with pytest.raises(JournalError, match="damaged"), JournalFile.open(copied.journal):
        pass


def test_a_journal_is_read_whole_after_an_end_that_was_not_clean(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    with Desk.open(folder, MemoryRepository) as desk:
        for number in range(50):
            desk.show(f"set-{number}")

    # Somebody who reads keeps SQLite from emptying its log, as a kill does.
    with closing(sqlite3.connect(folder.journal)) as reader:
        reader.execute("SELECT * FROM sets").fetchall()
        with Desk.open(folder, MemoryRepository) as desk:
            desk.show("set-50")

        _rot(folder.journal)
        with pytest.raises(JournalError, match="damaged"), JournalFile.open(folder.journal):
            pass


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    path = tmp_path / "file" / "journal"
    with pytest.raises(JournalError, match="Check the disk"), JournalFile.open(path):
        pass


def _rot(path: Path) -> None:
    """Damage the file as a disk does, so that its time does not tell."""
    before = path.stat()
    with path.open("r+b") as file:
        # The schema is in the first pages, and SQLite's log may have newer versions of some others.
        size = 8 * 4096
        file.seek(before.st_size - size)
        file.write(b"\xff" * size)

    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _database(path: Path, script: str) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(script)
    connection.close()


def test_an_image_that_is_withheld_has_a_row_and_takes_no_vote(desk: Desk) -> None:
    withheld = desk.show("set-1", withheld=(2,))[1]

    outcome = desk.vote(withheld, ALICE, Rating.GOOD)
    desk.settle()
    later = NOON + timedelta(days=99)
    dropped = desk.note(lambda journal: journal.drop_unvoted(before=later, now=later))

    assert (outcome.kind, outcome.slot, outcome.rating) == (VoteKind.WITHHELD_IMAGE, 2, None)
    assert withheld not in dropped
    assert len(dropped) == 3
    assert "3 images shown; 1 image withheld" in desk.repository.log(1)[0].message
