"""What commands do with the data folder while no bot runs on it.

Everything here raises a StorageError: JournalInUse while a bot runs.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from storage.acts import Order
from storage.backup import Backup
from storage.clock import utc_now
from storage.dataset.card import journal_of
from storage.dataset.changes import open_for_reading
from storage.dataset.layout import CARD
from storage.dataset.planner import newest_change
from storage.dataset.repository import CommitInfo
from storage.dataset.writer import Writer
from storage.dataset.writer_process import RepositorySettings, start_writer
from storage.errors import RepositoryForeign
from storage.folder import DataFolder
from storage.journal.file import JournalFile
from storage.journal.missing import Missing, MissingImages
from storage.journal.queries import Journal
from storage.journal.spool import Spool
from storage.journal.thread import JournalThread
from storage.journal.watermark import Progress
from storage.people import Forgotten
from storage.plurals import count
from storage.processes.child import ChildProcess
from storage.refound import finish, finish_interrupted
from storage.remote.pusher import Remote
from storage.remote.rebuild import Adopted, adopt
from storage.remote.repository import Fetched, RemoteRepository
from storage.remote.takeover import TakenOver
from storage.remote.takeover import take_over as continue_on_this_host

_TIMEOUT_S = 600.0


def snapshot(data_dir: Path, settings: RepositorySettings) -> str | None:
    """Write `train.csv` from what is committed; the commit's id, None if it was new enough."""
    with _writer(data_dir, settings) as writer:
        return writer.call(Writer.snapshot)


def log(data_dir: Path, settings: RepositorySettings, *, limit: int) -> Sequence[CommitInfo]:
    """The newest commits, newest first."""
    with _writer(data_dir, settings) as writer:
        return writer.call(Writer.log, limit)


def backup(data_dir: Path, target: Path) -> None:
    """Copy the dataset, the journal and the spool to the folder `target`, made if absent."""
    folder = DataFolder(data_dir)
    with JournalFile.open(folder.journal) as file:
        finish(folder, file)
        Backup(folder).write(target)


def forget(data_dir: Path, user_id: int, *, requests: bool) -> Forgotten:
    """Take a person out of the journal; the next start of the bot takes them out of the dataset."""
    folder = DataFolder(data_dir)
    with JournalFile.open(folder.journal) as file:
        with file.transaction():
            forgotten = Journal(file.connection).forget(user_id, requests=requests, now=utc_now())

        Spool(folder.spool).discard(forgotten.images)
        file.scrub_if_unclean()

    return forgotten


def set_consent_text(data_dir: Path, guild_id: int, text: str) -> int:
    """Set the text that people of the server have to agree to; its version. The dataset's card
    names it from the next start on."""
    order = Order(guild_id=guild_id, moderator_id=None)
    with JournalFile.open(DataFolder(data_dir).journal) as file, file.transaction():
        return Journal(file.connection).moderation.set_consent_text(text, order, now=utc_now())


def rebuild_journal(data_dir: Path, settings: RepositorySettings) -> Adopted:
    """Make the journal anew from the dataset and the spool, and set the old one aside; how much
    the dataset holds. If it is interrupted, the bot does not start, and it can be done again."""
    folder = DataFolder(data_dir)
    finish_interrupted(folder)
    card = folder.dataset / CARD
    journal_id = journal_of(card.read_text(encoding="utf-8")) if card.is_file() else None
    if journal_id is None:
        raise RepositoryForeign.at(folder.dataset, found=f"its {CARD} does not name its journal")

    with JournalFile.replace(folder.journal, set_aside=folder.set_aside) as file:
        journal = Journal(file.connection)
        with file.transaction():
            journal.follow(journal_id)

        writer = start_writer(folder, settings, timeout_s=_TIMEOUT_S)
        try:
            writer.wait_until_open()
            history = writer.call(Writer.log, 1_000_000)
        finally:
            writer.close()

        with file.transaction():
            return adopt(
                journal,
                folder.dataset,
                journal_id=journal_id,
                fetched=Fetched(
                    branch="",
                    commit_id=history[0].id,
                    commits=len(history),
                    newest_seq=newest_change(commit.message for commit in history),
                ),
                spooled=Spool(folder.spool).ids(),
                now=utc_now(),
            )


def check_journal(data_dir: Path) -> str:
    """Open the journal, made if absent; what was found, as a phrase for operators."""
    folder = DataFolder(data_dir)
    with JournalFile.open(folder.journal) as file, file.transaction():
        file.check()
        waiting = Progress(file.connection).backlog().votes

    wait = "waits" if waiting == 1 else "wait"

    return f"{folder.journal} opens, {count(waiting, 'vote')} {wait} to be committed"


def check_images(data_dir: Path) -> Missing:
    """The images whose bytes are gone. Works while a bot runs."""
    with open_for_reading(DataFolder(data_dir).journal) as journal:
        return MissingImages(journal).summary()


def check_repository(data_dir: Path, settings: RepositorySettings) -> str:
    """Open the dataset, made if absent; what was found, as a phrase for operators."""
    with _writer(data_dir, settings) as writer:
        commits = len(writer.call(Writer.log, 1_000_000))

    return f"{DataFolder(data_dir).dataset} opens, {count(commits, 'commit')}"


def check_remote(remote: Remote) -> str:
    """Ask the Oxen server; what was found, as a phrase for operators. Works while a bot runs."""
    process = remote.start()
    try:
        return process.call(RemoteRepository.describe, remote.settings.branch)
    finally:
        process.close()


async def take_over(data_dir: Path, remote: Remote) -> TakenOver:
    """Continue the remote's dataset on this host, which has no votes."""
    folder, where = DataFolder(data_dir), remote.settings
    async with JournalThread.open(folder.journal) as journal:
        await journal.run(
            lambda opened: opened.remote.set(where.url, branch=where.branch, now=utc_now())
        )

        return await continue_on_this_host(remote, folder=folder, journal=journal, now=utc_now)


@contextmanager
def _writer(data_dir: Path, settings: RepositorySettings) -> Iterator[ChildProcess[Writer]]:
    folder = DataFolder(data_dir)
    # Owning the journal means that no bot runs, and that none can start meanwhile.
    with JournalFile.open(folder.journal) as file:
        finish(folder, file)
        writer = start_writer(folder, settings, timeout_s=_TIMEOUT_S)
        try:
            writer.wait_until_open()
            yield writer
        finally:
            writer.close()
