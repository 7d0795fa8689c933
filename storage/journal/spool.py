"""Image bytes on local disk that are not in the dataset: of images without a vote."""

import errno
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from storage.errors import JournalFull


class Spool:
    """One folder, one file an image.

    Kept: everything whose `put` returned, also through a power cut.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, image_id: str) -> Path:
        """Where the bytes are, if they are here."""
        return self._folder / f"{image_id}.png"

    def put(self, images: Mapping[str, bytes]) -> None:
        """Keep these bytes. Durable on return; a crash leaves whole files only.

        Raises JournalFull when the disk is full.
        """
        with _disk_full(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            for image_id, content in images.items():
                target = self.path(image_id)
                part = target.with_suffix(".part")
                with part.open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())

                part.replace(target)

            sync_folder(self._folder)

    def read(self, image_id: str) -> bytes | None:
        """The bytes, or None if they are not here."""
        try:
            return self.path(image_id).read_bytes()
        except FileNotFoundError:
            return None

    def discard(self, image_ids: Iterable[str]) -> None:
        """Drop these bytes; ids that are not here are fine."""
        for image_id in image_ids:
            self.path(image_id).unlink(missing_ok=True)

    def ids(self) -> list[str]:
        """Whose bytes are here."""
        return [path.stem for path in self._folder.glob("*.png")]

    def clean(self) -> None:
        """Drop what a crash left half written."""
        for part in self._folder.glob("*.part"):
            part.unlink(missing_ok=True)


def sync_file(path: Path) -> None:
    """Make the bytes of a file durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    sync_file(folder)


@contextmanager
def _disk_full(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise JournalFull.at(folder) from exc

        raise
