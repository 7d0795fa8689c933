"""The folder that an export is written to: complete or not there."""

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from storage.errors import ExportError
from storage.export.rows import Picture

SUMS = "SHA256SUMS"


class Output:
    """Writes files, each once, and notes their SHA-256 in the file that `sha256sum -c` reads."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._sums = (root / SUMS).open("w", encoding="utf-8")

    @classmethod
    @contextmanager
    def open(cls, out: Path) -> Iterator[Self]:
        """Write beside `out`, and rename at the end. What an error leaves is deleted.

        Raises an ExportError if `out` has anything in it, or if the disk refuses.
        """
        part = out.with_name(f"{out.name}.part")
        try:
            if out.exists() and (not out.is_dir() or any(out.iterdir())):
                raise ExportError.not_empty(out)

            try:
                part.mkdir(parents=True)
            except FileExistsError:
                raise ExportError.interrupted(part) from None

            try:
                with cls(part) as output:
                    yield output

                part.replace(out)
            except BaseException:
                shutil.rmtree(part, ignore_errors=True)
                raise
        except OSError as exc:
            raise ExportError.failed(out, reason=exc.strerror or str(exc)) from exc

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._sums.close()

    def path(self, name: str) -> Path:
        """Where to write the file `name`; its folder is made. `note` it afterwards."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)

        return path

    def note(self, name: str) -> None:
        """The file `name` is complete."""
        with (self.root / name).open("rb") as file:
            self._sums.write(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {name}\n")

    def write(self, name: str, content: str) -> None:
        """A file of text."""
        self.path(name).write_text(content, encoding="utf-8", newline="")
        self.note(name)

    def picture(self, name: str, picture: Picture) -> None:
        """An image, unless it is there."""
        path = self.path(name)
        if not path.exists():
            path.write_bytes(picture.png())
            self._sums.write(f"{picture.sha256}  {name}\n")
