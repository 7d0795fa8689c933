"""The writer's process can be killed, hang, or lose its parent, and nothing is lost by it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from storage.dataset.memory import MemoryRepository
from storage.dataset.writer import Writer
from storage.dataset.writer_process import RepositorySettings, start_writer
from storage.errors import RepositoryError, RepositoryForeign
from storage.folder import DataFolder
from storage.journal.queries import Journal
from storage.processes.child import ChildProcess
from storage.vote import Rating
from tests.support.storage.data import dataset, files_below
from tests.support.storage.desk import Desk

PATIENCE_S = 30.0


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A journal with one vote. The desk's own repository is not used."""
    with Desk.open(DataFolder(tmp_path), MemoryRepository) as desk:
        desk.vote(desk.show("set-0")[0], 1, Rating.GOOD)
        yield desk


@pytest.fixture
def writer(desk: Desk) -> Iterator[ChildProcess[Writer]]:
    writer = started(desk.folder)
    yield writer
    writer.close()


def started(folder: DataFolder, *, timeout_s: float = PATIENCE_S) -> ChildProcess[Writer]:
    writer = start_writer(folder, RepositorySettings(), timeout_s=timeout_s)
    writer.wait_until_open()

    return writer


def test_it_commits_and_answers(desk: Desk, writer: ChildProcess[Writer]) -> None:
    committed = writer.call(Writer.commit_pending, after_seq=0)

    assert committed is not None
    newest = writer.call(Writer.log, 1)[0]
    assert newest.id == committed.commit_id
    assert newest.message.startswith("1 vote: 1 good, 0 bad, on 1 image; 4 images shown")
    assert writer.call(Writer.commit_pending, after_seq=committed.upto_seq) is None


def test_a_commit_message_never_says_what_somebody_wrote(
    desk: Desk, writer: ChildProcess[Writer]
) -> None:
    writer.call(Writer.commit_pending, after_seq=0)
    writer.call(Writer.snapshot)

    assert not any("fox" in commit.message for commit in writer.call(Writer.log, 10))


def test_a_killed_writer_is_unavailable_and_the_next_one_goes_on(
    desk: Desk, writer: ChildProcess[Writer]
) -> None:
    assert writer.pid is not None
    os.kill(writer.pid, signal.SIGKILL)

    with pytest.raises(RepositoryError, match=r"the writer .*It is tried again"):
        writer.call(Writer.commit_pending, after_seq=0)

    assert not writer.is_alive()
    second = started(desk.folder)
    assert second.call(Writer.commit_pending, after_seq=0) is not None
    second.close()


def test_a_silent_writer_is_killed(desk: Desk) -> None:
    writer = started(desk.folder)
    writer.timeout_s = 0.2
    assert writer.pid is not None
    os.kill(writer.pid, signal.SIGSTOP)

    with pytest.raises(RepositoryError, match=r"silent for 0\.2 s"):
        writer.call(Writer.commit_pending, after_seq=0)

    assert not writer.is_alive()


def test_an_error_that_nobody_expected_is_a_sentence_and_the_writer_goes_on(
    desk: Desk, writer: ChildProcess[Writer]
) -> None:
    with pytest.raises(RepositoryError, match=r"calling commit_pending: .*Somebody has to look"):
        writer.call(Writer.commit_pending, after_seq=[])  # type: ignore[arg-type] # on purpose

    assert writer.call(Writer.commit_pending, after_seq=0) is not None


def test_a_new_writer_waits_for_the_old_one_to_let_go(
    desk: Desk, writer: ChildProcess[Writer]
) -> None:
    second = start_writer(desk.folder, RepositorySettings(), timeout_s=PATIENCE_S)
    writer.kill()

    second.wait_until_open()

    assert second.call(Writer.commit_pending, after_seq=0) is not None
    second.close()


def test_signals_for_the_whole_group_are_the_parent_s_to_answer(
    desk: Desk, writer: ChildProcess[Writer]
) -> None:
    assert writer.pid is not None
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        os.kill(writer.pid, signal_number)

    assert writer.call(Writer.commit_pending, after_seq=0) is not None


def test_a_foreign_dataset_is_refused_in_the_parent(desk: Desk) -> None:
    desk.folder.dataset.mkdir()
    (desk.folder.dataset / "thesis.txt").write_text("mine", encoding="utf-8")
    writer = start_writer(desk.folder, RepositorySettings(), timeout_s=PATIENCE_S)

    with pytest.raises(RepositoryForeign):
        writer.wait_until_open()

    writer.close()


def test_what_oxen_prints_goes_to_the_log(
    desk: Desk, writer: ChildProcess[Writer], capfd: pytest.CaptureFixture[str]
) -> None:
    writer.call(Writer.commit_pending, after_seq=0)

    assert capfd.readouterr().out == ""
    assert "oxen added" in desk.folder.writer_log.read_text(encoding="utf-8")


def test_a_snapshot_is_all_of_train_under_one_header(
    desk: Desk, writer: ChildProcess[Writer]
) -> None:
    writer.call(Writer.commit_pending, after_seq=0)

    assert writer.call(Writer.snapshot) is not None
    assert writer.call(Writer.snapshot) is None

    root = desk.folder.dataset
    assert (root / "train.csv").read_bytes() == (root / "train" / "000" / "00000.csv").read_bytes()


def test_the_dataset_is_what_was_voted_after_the_writer_was_killed_again_and_again(
    desk: Desk,
) -> None:
    images = desk.show("set-1")
    for number, image_id in enumerate(images * 2):
        desk.vote(image_id, number, [Rating.GOOD, Rating.BAD, None][number % 3])
        writer = started(desk.folder)
        assert writer.pid is not None
        writer._pipe.send(("commit_pending", (), {"after_seq": 0}))
        time.sleep(0.004 * number)  # a different moment of the commit each time
        writer.kill()

    writer = started(desk.folder)
    committed = writer.call(Writer.commit_pending, after_seq=0)
    writer.close()

    assert committed is not None
    found = dataset(files_below(desk.folder.dataset))
    assert found.problems == ()
    expected = desk.note(_current_votes)
    assert found.ratings == expected


def test_the_writer_never_outlives_a_parent_that_was_killed(desk: Desk) -> None:
    script = """
import sys
from pathlib import Path
from storage.folder import DataFolder
from storage.dataset.writer_process import RepositorySettings, start_writer
if __name__ == "__main__":
    folder = DataFolder(Path(sys.argv[1]))
    writer = start_writer(folder, RepositorySettings(), timeout_s=30)
    writer.wait_until_open()
    print(writer.pid, flush=True)
    sys.stdin.read()
"""
    program = desk.folder.root / "parent.py"
    program.write_text(script, encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, str(program), str(desk.folder.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    ) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        os.kill(child.pid, signal.SIGSTOP)  # as deaf as in a hanging call
        parent.kill()

    _, alive = psutil.wait_procs([child], timeout=PATIENCE_S)
    assert alive == []


def _current_votes(journal: Journal) -> dict[tuple[str, int], Rating]:
    rows = journal.connection.execute("SELECT * FROM votes WHERE rating IS NOT NULL")

    return {(row["image_id"], row["voter_id"]): Rating(row["rating"]) for row in rows}
