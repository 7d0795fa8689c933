"""Copies a data folder that is in use, in a process of its own."""

import shutil
import sqlite3
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

from storage.dataset.changes import open_for_reading
from storage.errors import BackupError
from storage.files import make_folder, replace_durably
from storage.folder import DataFolder
from storage.processes.child import ChildProcess

_TIMEOUT_S = 7 * 24 * 3600.0


class Backup:
    """Copies what cannot be made again: the dataset, the journal and the spool."""

    def __init__(self, folder: DataFolder) -> None:
        self._folder = folder

    def write(self, target: Path) -> None:
        """Make `target` a data folder of its own, which is complete or absent after a crash.

        Nothing may be committed meanwhile; votes may be recorded. Raises BackupError when `target`
        is not empty, or cannot be written.
        """
        try:
            if target.exists() and any(target.iterdir()):
                raise BackupError.not_empty(target)

            make_folder(target.parent)
            part = target.with_name(f"{target.name}.part")
            shutil.rmtree(part, ignore_errors=True)
            self._copy(DataFolder(part))
            replace_durably(part, target)
        except (OSError, shutil.Error, sqlite3.Error) as exc:
            raise BackupError.failed(target, reason=str(exc)) from exc

    def _copy(self, part: DataFolder) -> None:
        part.spool.mkdir(parents=True)
        if self._folder.dataset.exists():
            shutil.copytree(self._folder.dataset, part.dataset)

        with (
            open_for_reading(self._folder.journal) as source,
            closing(sqlite3.connect(part.journal)) as copy,
        ):
            source.backup(copy)

        # Last, so that the journal knows no image whose bytes are not copied.
        for image in self._folder.spool.glob("*.png"):
            with suppress(FileNotFoundError):  # dropped meanwhile
                shutil.copyfile(image, part.spool / image.name)


def start_backup(folder: DataFolder) -> ChildProcess[Backup]:
    """Start the process that copies."""
    process = ChildProcess.start(
        partial(Backup, folder),
        name="backup",
        log_path=folder.backup_log,
        gone=BackupError.while_,
        unexpected=BackupError.while_,
        timeout_s=_TIMEOUT_S,
    )
    process.wait_until_open()

    return process
