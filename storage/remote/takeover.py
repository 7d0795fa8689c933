"""A host without a dataset continues the one that the remote has."""

import logging
import shutil
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from storage.dataset.card import journal_of
from storage.dataset.layout import CARD
from storage.folder import DataFolder
from storage.journal.queries import Journal
from storage.journal.spool import Spool
from storage.journal.thread import JournalThread
from storage.processes.thread import OneThread
from storage.remote.pusher import Remote
from storage.remote.rebuild import Adopted, Lost
from storage.remote.settings import Fetched

log = logging.getLogger(__name__)


async def take_over(
    remote: Remote,
    *,
    folder: DataFolder,
    journal: JournalThread,
    now: Callable[[], datetime],
) -> None:
    """Where this host has no dataset, continue the remote's, if it has one.

    Raises a RemoteError when it cannot be asked: starting anew beside votes that exist would be
    wrong. Killed anywhere, it goes on or begins again at the next start.
    """
    if folder.dataset.exists():
        return

    async with OneThread.open("oxherd-takeover") as thread:
        fetched = await thread.run(lambda: _fetch(remote, folder.taken))
        if fetched is None:
            return

        theirs = journal_of((folder.taken / CARD).read_text(encoding="utf-8"))
        assert theirs is not None, "`fetch` has looked"
        empty, ours = await journal.run(lambda opened: (opened.is_empty(), opened.id()))
        if empty:
            await _adopt(folder.taken, fetched, journal_id=theirs, journal=journal, now=now)
        elif theirs == ours:
            spooled = await thread.run(Spool(folder.spool).ids)
            await _recover(folder.taken, fetched, spooled=spooled, journal=journal, now=now)
        else:
            log.warning("%s follows another journal; it is left alone", remote.settings.url)
            await thread.run(lambda: shutil.rmtree(folder.taken))
            return

        folder.taken.rename(folder.dataset)


def _fetch(remote: Remote, path: Path) -> Fetched | None:
    """Fetch it whole, or leave nothing."""
    shutil.rmtree(path, ignore_errors=True)
    fetched = None
    process = remote.start()
    try:
        fetched = process.fetch(path, branch=remote.settings.branch)
    finally:
        process.close()
        if fetched is None:
            shutil.rmtree(path, ignore_errors=True)

    return fetched


async def _adopt(
    path: Path,
    fetched: Fetched,
    *,
    journal_id: str,
    journal: JournalThread,
    now: Callable[[], datetime],
) -> None:
    def adopt(opened: Journal) -> Adopted:
        found = opened.adopt(path, journal_id=journal_id, fetched=fetched, now=now())
        opened.remote.mark_taken_over(fetched, now=now())

        return found

    found = await journal.run(adopt)
    log.warning(
        "this host had no votes of its own and goes on from the remote's branch %s: %d votes on %d "
        "images, the newest of %s; what another host recorded later and did not push is lost",
        fetched.branch,
        found.votes,
        found.images,
        found.newest_vote_at or "no time at all",
    )


async def _recover(
    path: Path,
    fetched: Fetched,
    *,
    spooled: Sequence[str],
    journal: JournalThread,
    now: Callable[[], datetime],
) -> None:
    def recover(opened: Journal) -> Lost:
        lost = opened.recover(path, spooled=spooled, fetched=fetched, now=now())
        opened.remote.mark_taken_over(fetched, now=now())

        return lost

    lost = await journal.run(recover)
    log.warning(
        "the dataset was gone and was fetched from the remote's branch %s; %d votes that had not "
        "been pushed are lost with their images (%d images are gone)",
        fetched.branch,
        lost.votes,
        lost.images,
    )
