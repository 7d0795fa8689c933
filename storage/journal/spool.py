"""The spool: bytes of images without a vote, which are not in the dataset yet."""

import errno
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from storage.errors import JournalFull
from storage.files import make_folder, read_if_there, sync, write_all_durably


class Spool:
    """One folder, with one file per image."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, image_id: str) -> Path:
        """Where the bytes are, if the spool has them."""
        return self._folder / f"{image_id}.png"

    def put(self, images: Mapping[str, bytes]) -> None:
        """Keep these bytes, by the images' ids. Durable on return.

        Raises JournalFull when the disk is full.
        """
        with _disk_full(self._folder):
            write_all_durably({self.path(image_id): png for image_id, png in images.items()})

    def read(self, image_id: str) -> bytes | None:
        """The bytes, or None if the spool does not have them."""
        return read_if_there(self.path(image_id))

    def discard(self, image_ids: Iterable[str]) -> None:
        """Delete these bytes; unknown ids are ignored."""
        for image_id in image_ids:
            self.path(image_id).unlink(missing_ok=True)

    def ids(self) -> list[str]:
        """The ids of the images that the spool has."""
        return [path.stem for path in self._folder.glob("*.png")]

    def move(self, image_ids: Iterable[str], to: "Spool", *, now: datetime) -> None:
        """Move these bytes to another spool on the same disk, where their age begins `now`.

        Durable on return.
        """
        make_folder(to._folder)
        for image_id in image_ids:
            os.utime(self.path(image_id), (now.timestamp(), now.timestamp()))
            self.path(image_id).replace(to.path(image_id))

        sync(to._folder)

    def discard_older(self, before: datetime) -> int:
        """Delete the bytes that were put or moved here before `before`; how many there were."""
        old = [
            path for path in self._folder.glob("*.png") if path.stat().st_mtime < before.timestamp()
        ]
        for path in old:
            path.unlink()

        return len(old)

    def clean(self) -> None:
        """Delete files that a crash left half written."""
        for part in self._folder.glob("*.part"):
            part.unlink(missing_ok=True)


@contextmanager
def _disk_full(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise JournalFull.at(folder) from exc

        raise
