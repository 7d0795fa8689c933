"""What can be done with the data folder while no bot runs on it, through the bot's own code.

Everything here raises a StorageError: JournalInUse when a bot does run.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from storage.dataset.repository import CommitInfo
from storage.dataset.writer_process import RepositorySettings, WriterProcess
from storage.folder import DataFolder
from storage.journal.file import JournalFile
from storage.journal.watermark import Progress
from storage.remote.pusher import Remote

_PATIENCE_S = 600.0


def snapshot(data_dir: Path, settings: RepositorySettings) -> str | None:
    """Write `train.csv` from what is committed; the commit's id, None if it was new enough."""
    with _writer(data_dir, settings) as writer:
        return writer.snapshot()


def log(data_dir: Path, settings: RepositorySettings, *, limit: int) -> Sequence[CommitInfo]:
    """The newest commits, newest first."""
    with _writer(data_dir, settings) as writer:
        return writer.log(limit)


def check_journal(data_dir: Path) -> str:
    """Open the journal, made if absent; a phrase that says what was found."""
    folder = DataFolder(data_dir)
    with JournalFile.open(folder.journal) as file, file.transaction():
        waiting = Progress(file.connection).backlog().votes

    return f"{folder.journal} opens, {waiting} votes wait to be committed"


def check_repository(data_dir: Path, settings: RepositorySettings) -> str:
    """Open the dataset, made if absent; a phrase that says what was found."""
    with _writer(data_dir, settings) as writer:
        commits = len(writer.log(1_000_000))

    return f"{DataFolder(data_dir).dataset} opens, {commits} commits"


def check_remote(remote: Remote) -> str:
    """Ask the Oxen server; a phrase that says what was found. Also while a bot runs."""
    process = remote.start()
    try:
        return process.look(branch=remote.settings.branch)
    finally:
        process.close()


@contextmanager
def _writer(data_dir: Path, settings: RepositorySettings) -> Iterator[WriterProcess]:
    folder = DataFolder(data_dir)
    # The lock says that no bot runs; a bot that starts meanwhile is refused.
    with JournalFile.open(folder.journal):
        writer = WriterProcess.start(folder, settings, timeout_s=_PATIENCE_S)
        try:
            writer.wait_until_open()
            yield writer
        finally:
            writer.close()
