"""Makes the dataset anew from the journal, with no earlier history, in the place of the old one.

The new one is made beside the old one. When it is complete, the journal says so; from then on,
whatever is killed, `finish` ends it at the next start. The old one is deleted last.
"""

import hashlib
import json
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from storage.clock import utc_now
from storage.dataset.card import journal_of
from storage.dataset.layout import CARD, image_path
from storage.dataset.writer import Committed, Writer
from storage.dataset.writer_process import RepositorySettings, start_writer
from storage.errors import RefoundError
from storage.files import make_folder, replace_durably, sync
from storage.folder import DataFolder
from storage.journal.file import JournalFile
from storage.journal.forgetting import purge
from storage.journal.queries import Journal
from storage.journal.watermark import Refounded
from storage.processes.child import ChildProcess

_TIMEOUT_S = 600.0
_CHANGES_A_COMMIT = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class _Image:
    """An image with votes in the dataset: where it is there, and its SHA-256."""

    image_id: str
    shard: int
    sha256: str
    remote_only: bool

    @property
    def path(self) -> str:
        return image_path(self.image_id, shard=self.shard)


def refound(data_dir: Path, settings: RepositorySettings) -> Refounded:
    """Make the dataset anew while no bot runs; what the new one holds.

    Killed at any point, the old dataset or the new one is in place after the next start, and every
    vote is in it or in the journal. Raises JournalInUse, RefoundError when images are only on the
    remote, or a RepositoryError.
    """
    folder = DataFolder(data_dir)
    with JournalFile.open(folder.journal) as file:
        finish(folder, file)
        journal = Journal(file.connection)
        writer = start_writer(folder, settings, timeout_s=_TIMEOUT_S, create=False)
        try:
            writer.wait_until_open()
            # So that the old dataset, not the spool, has the bytes of every image with votes.
            _commit_all(writer, file, journal)
            images = _images(file.connection)
            _fetch_back(folder, writer, images)
        finally:
            writer.close()

        _take_what_came_back(folder, file, images)
        with file.transaction():
            purge(file.connection)  # the old dataset has followed, and the new one never knew them

        made = _make(folder, settings, images)
        with file.transaction():
            journal.progress.note_refounded(made)

        finish(folder, file)

    return made


def finish_interrupted(folder: DataFolder) -> None:
    """Do what a `refound` that was killed left to do, if there was one. Raises a JournalError."""
    if folder.refounding.exists() or folder.replaced.exists():
        with JournalFile.open(folder.journal) as file:
            finish(folder, file)


def finish(folder: DataFolder, file: JournalFile) -> None:
    """Put the new dataset in place if the journal says that it is complete; delete what is over.

    Each step may have been done before.
    """
    journal = Journal(file.connection)
    made = journal.progress.refounded()
    if made is None:
        # Not before it is known that the dataset in place follows this journal.
        if _journal_of(folder.dataset) == journal.id():
            shutil.rmtree(folder.refounding, ignore_errors=True)
            shutil.rmtree(folder.replaced, ignore_errors=True)

        return

    if folder.refounding.exists():
        if folder.dataset.exists():
            shutil.rmtree(folder.replaced, ignore_errors=True)
            folder.dataset.replace(folder.replaced)
            sync(folder.root)

        replace_durably(folder.refounding, folder.dataset)

    with file.transaction():
        journal.progress.mark_refounded(made, now=utc_now())
        journal.remote.mark_refounded(now=utc_now())

    shutil.rmtree(folder.replaced, ignore_errors=True)


def _commit_all(writer: ChildProcess[Writer], file: JournalFile, journal: Journal) -> None:
    """Bring the old dataset up to the journal."""
    if not writer.call(Writer.follows, journal.progress.watermark()):
        with file.transaction():
            journal.progress.restart()

    while True:
        mark = journal.progress.watermark()
        done = writer.call(Writer.commit_pending, after_seq=mark.committed_seq)
        with file.transaction():
            _note_committed(journal, done, newest_seq=mark.newest_seq)

        if done is None:
            return


def _note_committed(journal: Journal, done: Committed | None, *, newest_seq: int) -> None:
    if done is None:
        journal.progress.mark_committed(newest_seq, commit_id=None, now=utc_now())
    else:
        journal.missing.mark(done.missing, now=utc_now())
        journal.progress.mark_committed(done.upto_seq, commit_id=done.commit_id, now=utc_now())


def _images(connection: sqlite3.Connection) -> list[_Image]:
    rows = connection.execute(
        """
        SELECT image_id, image_shard, sha256, remote_only FROM images
        WHERE image_shard IS NOT NULL AND missing_since IS NULL AND taken_out IS NULL
            AND EXISTS (SELECT 1 FROM judged_images
                WHERE judged_images.image_id = images.image_id)
        """
    )

    return [
        _Image(
            image_id=row["image_id"],
            shard=row["image_shard"],
            sha256=row["sha256"],
            remote_only=bool(row["remote_only"]),
        )
        for row in rows
    ]


def _fetch_back(folder: DataFolder, writer: ChildProcess[Writer], images: Sequence[_Image]) -> None:
    """Have Oxen put back images that somebody deleted from the working tree."""
    gone = {
        image.image_id: (image.shard, image.sha256)
        for image in images
        if not (folder.dataset / image.path).exists()
    }
    if gone:
        writer.call(Writer.found, gone)

    absent = [image for image in images if not _is_in(folder.dataset, image)]
    if absent:
        raise RefoundError.only_elsewhere(folder.dataset, images=[image.path for image in absent])


def _is_in(dataset: Path, image: _Image) -> bool:
    """Whether the bytes are there; if a person put them there, whether they are the right ones."""
    path = dataset / image.path
    if not path.exists():
        return False

    return not image.remote_only or hashlib.sha256(path.read_bytes()).hexdigest() == image.sha256


def _take_what_came_back(folder: DataFolder, file: JournalFile, images: Sequence[_Image]) -> None:
    """What was only on the remote, and somebody put into the working tree, is here from now on."""
    here = [image.image_id for image in images if image.remote_only]
    with file.transaction():
        file.connection.execute(
            "UPDATE images SET remote_only = 0 WHERE image_id IN (SELECT value FROM json_each(?))",
            (json.dumps(here),),
        )


def _make(folder: DataFolder, settings: RepositorySettings, images: Sequence[_Image]) -> Refounded:
    """Make the new dataset beside the old one."""
    shutil.rmtree(folder.refounding, ignore_errors=True)
    writer = start_writer(folder, settings, timeout_s=_TIMEOUT_S, dataset=folder.refounding)
    try:
        writer.wait_until_open()
        for image in images:
            _link(folder.dataset / image.path, folder.refounding / image.path)

        upto_seq = 0
        while done := writer.call(
            Writer.commit_pending, after_seq=upto_seq, limit=_CHANGES_A_COMMIT
        ):
            upto_seq = done.upto_seq
            if done.missing:
                raise RefoundError.only_elsewhere(folder.dataset, images=done.missing)

        history = writer.call(Writer.log, 1_000_000)
    finally:
        writer.close()

    return Refounded(committed_seq=upto_seq, commits=len(history), commit_id=history[0].id)


def _link(old: Path, new: Path) -> None:
    make_folder(new.parent)
    with suppress(OSError):
        new.hardlink_to(old)
        return

    shutil.copyfile(old, new)  # a file system without links


def _journal_of(dataset: Path) -> str | None:
    card = dataset / CARD

    return journal_of(card.read_text(encoding="utf-8")) if card.is_file() else None
