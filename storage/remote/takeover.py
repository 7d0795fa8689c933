"""A host without a dataset continues the one on the remote."""

import itertools
import logging
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from storage.dataset.card import journal_of
from storage.dataset.layout import CARD
from storage.errors import RemoteError, RemoteHasData, RemoteUnavailable
from storage.files import make_folder, replace_durably
from storage.folder import DataFolder
from storage.journal.spool import Spool
from storage.journal.thread import JournalThread
from storage.processes.thread import OneThread
from storage.remote.pusher import Remote
from storage.remote.rebuild import Adopted, adopt, recover
from storage.remote.repository import Fetched, RemoteRepository

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenOver:
    """Which branch this host continues, and what it holds."""

    branch: str
    adopted: Adopted


async def continue_remote(
    remote: Remote,
    *,
    folder: DataFolder,
    journal: JournalThread,
    now: Callable[[], datetime],
) -> None:
    """If this host has lost its dataset and the remote has it, fetch it and continue it.

    Raises RemoteHasData if this host has no votes and the remote has a dataset: only `take_over`
    continues that. Raises a RemoteError when the remote cannot be asked, because a new dataset
    beside existing votes would be wrong; but not if it had none when it was asked before, and this
    host's dataset is there. After a kill at any point, the next start finishes this or begins
    again.
    """
    empty, ours, pushed = await journal.run(
        lambda opened: (opened.is_empty(), opened.id(), opened.remote.watermark())
    )
    new_host = empty and (pushed is None or pushed.commit_id is None)
    if folder.dataset.exists() and (not new_host or _is_of_another_journal(folder.dataset, ours)):
        return  # the writer compares the dataset with the journal

    try:
        async with _fetched(remote, folder) as (thread, fetched):
            if fetched is None:
                await journal.run(lambda opened: opened.remote.mark_free(now=now()))
                return

            theirs = _journal_of(folder.fetched)
            if theirs == ours:
                if folder.dataset.exists():
                    return  # a first push that was not noted

                await journal.run(
                    lambda opened: recover(opened, folder.fetched, fetched=fetched, now=now())
                )
                log.warning(
                    "the dataset was missing and was fetched from the remote's branch %s",
                    fetched.branch,
                )
                await thread.run(lambda: replace_durably(folder.fetched, folder.dataset))
            elif empty:
                raise RemoteHasData.at(
                    remote.settings.url, branch=fetched.branch, folder=str(folder.root)
                )
            else:
                log.warning(
                    "the dataset at %s belongs to a different journal and is not used",
                    remote.settings.url,
                )
    except RemoteUnavailable as exc:
        free_at = None if pushed is None else pushed.free_at
        if free_at is None or not folder.dataset.exists():
            raise

        # If another host has begun a dataset there since, the first push finds it and goes to a
        # branch of its own.
        log.warning("%s It had no dataset at %s, so this one is continued.", exc, free_at)


async def take_over(
    remote: Remote,
    *,
    folder: DataFolder,
    journal: JournalThread,
    now: Callable[[], datetime],
) -> TakenOver:
    """Fetch the remote's dataset and continue it on this host, which has no votes.

    Raises a RemoteError if this host has votes, or the remote has no dataset of oxherd, and a
    RecordError for tables that oxherd did not write.
    """
    if not await journal.run(lambda opened: opened.is_empty()):
        raise RemoteError.host_has_data(str(folder.root))

    async with _fetched(remote, folder) as (thread, fetched):
        if fetched is None:
            raise RemoteError.nothing_there(remote.settings.url, branch=remote.settings.branch)

        # Mostly it holds only its card, but it may have lost its journal.
        await thread.run(lambda: _set_aside(folder))
        theirs = _journal_of(folder.fetched)
        spooled = await thread.run(Spool(folder.spool).ids)
        found = await journal.run(
            lambda opened: adopt(
                opened,
                folder.fetched,
                journal_id=theirs,
                fetched=fetched,
                spooled=spooled,
                now=now(),
            )
        )
        await thread.run(lambda: replace_durably(folder.fetched, folder.dataset))

    return TakenOver(branch=fetched.branch, adopted=found)


@asynccontextmanager
async def _fetched(
    remote: Remote, folder: DataFolder
) -> AsyncIterator[tuple[OneThread, Fetched | None]]:
    """The remote's dataset in `folder.fetched` until the block ends, as a whole or not at all."""
    async with OneThread.open("oxherd-takeover") as thread:
        try:
            yield thread, await thread.run(lambda: _fetch(remote, folder.fetched))
        finally:
            await thread.run(lambda: shutil.rmtree(folder.fetched, ignore_errors=True))


def _fetch(remote: Remote, path: Path) -> Fetched | None:
    shutil.rmtree(path, ignore_errors=True)
    process = remote.start()
    try:
        return process.call(RemoteRepository.fetch, path, branch=remote.settings.branch)
    finally:
        process.close()


def _set_aside(folder: DataFolder) -> None:
    if folder.dataset.exists():
        names = (folder.set_aside / f"dataset-{number}" for number in itertools.count(1))
        make_folder(folder.set_aside)
        replace_durably(folder.dataset, next(name for name in names if not name.exists()))


def _is_of_another_journal(dataset: Path, journal_id: str) -> bool:
    card = dataset / CARD
    found = journal_of(card.read_text(encoding="utf-8")) if card.is_file() else None

    return found is not None and found != journal_id


def _journal_of(dataset: Path) -> str:
    journal_id = journal_of((dataset / CARD).read_text(encoding="utf-8"))
    assert journal_id is not None, "`fetch` has checked the card"

    return journal_id
