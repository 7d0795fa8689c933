"""A host without a dataset continues the one on the remote."""

import logging
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from storage.dataset.card import journal_of
from storage.dataset.layout import CARD
from storage.files import replace_durably
from storage.folder import DataFolder
from storage.journal.spool import Spool
from storage.journal.thread import JournalThread
from storage.processes.thread import OneThread
from storage.remote.pusher import Remote
from storage.remote.rebuild import adopt, recover
from storage.remote.repository import Fetched, RemoteRepository

log = logging.getLogger(__name__)


async def take_over(
    remote: Remote,
    *,
    folder: DataFolder,
    journal: JournalThread,
    now: Callable[[], datetime],
) -> None:
    """If this host has no dataset and the remote has one, fetch that and continue it.

    Raises a RemoteError when the remote cannot be asked: a new dataset beside existing votes would
    be wrong. After a kill at any point, the next start finishes this or begins again.
    """
    if folder.dataset.exists():
        return

    async with OneThread.open("oxherd-takeover") as thread:
        fetched = await thread.run(lambda: _fetch(remote, folder.fetched))
        if fetched is None:
            return

        theirs = journal_of((folder.fetched / CARD).read_text(encoding="utf-8"))
        assert theirs is not None, "`fetch` has checked the card"
        empty, ours = await journal.run(lambda opened: (opened.is_empty(), opened.id()))
        if empty:
            spooled = await thread.run(Spool(folder.spool).ids)
            await _adopt(folder.fetched, fetched, theirs, spooled, journal=journal, now=now)
        elif theirs == ours:
            await journal.run(
                lambda opened: recover(opened, folder.fetched, fetched=fetched, now=now())
            )
            log.warning(
                "the dataset was missing and was fetched from the remote's branch %s",
                fetched.branch,
            )
        else:
            log.warning(
                "the dataset at %s belongs to a different journal and is not used",
                remote.settings.url,
            )
            await thread.run(lambda: shutil.rmtree(folder.fetched))
            return

        await thread.run(lambda: replace_durably(folder.fetched, folder.dataset))


def _fetch(remote: Remote, path: Path) -> Fetched | None:
    """Fetch the dataset as a whole, or leave nothing."""
    shutil.rmtree(path, ignore_errors=True)
    fetched = None
    process = remote.start()
    try:
        fetched = process.call(RemoteRepository.fetch, path, branch=remote.settings.branch)
    finally:
        process.close()
        if fetched is None:
            shutil.rmtree(path, ignore_errors=True)

    return fetched


async def _adopt(
    path: Path,
    fetched: Fetched,
    journal_id: str,
    spooled: list[str],
    *,
    journal: JournalThread,
    now: Callable[[], datetime],
) -> None:
    found = await journal.run(
        lambda opened: adopt(
            opened, path, journal_id=journal_id, fetched=fetched, spooled=spooled, now=now()
        )
    )
    log.warning(
        "this host had no votes and continues the remote's branch %s: %d votes on %d images, the "
        "newest vote from %s; votes that the other host had not pushed are lost",
        fetched.branch,
        found.votes,
        found.images,
        found.newest_vote_at or "(none)",
    )
