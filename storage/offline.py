"""What commands do with the data folder while no bot runs on it.

Everything here raises a StorageError: JournalInUse while a bot runs.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from storage.dataset.changes import open_for_reading
from storage.dataset.repository import CommitInfo
from storage.dataset.writer import Writer
from storage.dataset.writer_process import RepositorySettings, start_writer
from storage.folder import DataFolder
from storage.journal.file import JournalFile
from storage.journal.missing import Missing, MissingImages
from storage.journal.watermark import Progress
from storage.processes.child import ChildProcess
from storage.remote.pusher import Remote
from storage.remote.repository import RemoteRepository

_TIMEOUT_S = 600.0


def snapshot(data_dir: Path, settings: RepositorySettings) -> str | None:
    """Write `train.csv` from what is committed; the commit's id, None if it was new enough."""
    with _writer(data_dir, settings) as writer:
        return writer.call(Writer.snapshot)


def log(data_dir: Path, settings: RepositorySettings, *, limit: int) -> Sequence[CommitInfo]:
    """The newest commits, newest first."""
    with _writer(data_dir, settings) as writer:
        return writer.call(Writer.log, limit)


def check_journal(data_dir: Path) -> str:
    """Open the journal, made if absent; what was found, as a phrase for operators."""
    folder = DataFolder(data_dir)
    with JournalFile.open(folder.journal) as file, file.transaction():
        waiting = Progress(file.connection).backlog().votes

    return f"{folder.journal} opens, {waiting} votes wait to be committed"


def check_images(data_dir: Path) -> Missing:
    """The images whose bytes are gone. Works while a bot runs."""
    with open_for_reading(DataFolder(data_dir).journal) as journal:
        return MissingImages(journal).summary()


def check_repository(data_dir: Path, settings: RepositorySettings) -> str:
    """Open the dataset, made if absent; what was found, as a phrase for operators."""
    with _writer(data_dir, settings) as writer:
        commits = len(writer.call(Writer.log, 1_000_000))

    return f"{DataFolder(data_dir).dataset} opens, {commits} commits"


def check_remote(remote: Remote) -> str:
    """Ask the Oxen server; what was found, as a phrase for operators. Works while a bot runs."""
    process = remote.start()
    try:
        return process.call(RemoteRepository.describe, remote.settings.branch)
    finally:
        process.close()


@contextmanager
def _writer(data_dir: Path, settings: RepositorySettings) -> Iterator[ChildProcess[Writer]]:
    folder = DataFolder(data_dir)
    # Owning the journal means that no bot runs, and that none can start meanwhile.
    with JournalFile.open(folder.journal):
        writer = start_writer(folder, settings, timeout_s=_TIMEOUT_S)
        try:
            writer.wait_until_open()
            yield writer
        finally:
            writer.close()
