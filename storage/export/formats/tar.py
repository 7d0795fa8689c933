"""Tar files as `webdataset` reads them: the files of a sample are one after the other.

Nothing of this machine or this moment is in them.
"""

import io
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from storage.export.output import Output

_SAMPLES_A_FILE = 1_000
_BYTES_A_FILE = 256 * 2**20


class TarFiles:
    """The shards of one split, `FOLDER/00000.tar` and so on; none without samples."""

    def __init__(self, output: Output, folder: str) -> None:
        self._output = output
        self._folder = folder
        self._files = 0
        self._samples = 0
        self._bytes = 0
        self._tar: tarfile.TarFile | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def add(self, key: str, contents: Mapping[str, bytes]) -> None:
        """One sample. contents: by the part of the file's name behind `key.`"""
        if self._tar is None:
            path = self._output.path(self._name)
            self._tar = tarfile.open(path, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115

        for suffix, content in contents.items():
            member = tarfile.TarInfo(f"{key}.{suffix}")
            member.size = len(content)
            self._tar.addfile(member, io.BytesIO(content))
            self._bytes += len(content)

        self._samples += 1
        if self._samples == _SAMPLES_A_FILE or self._bytes >= _BYTES_A_FILE:
            self._close()

    def _close(self) -> None:
        if self._tar is not None:
            self._tar.close()
            self._tar = None
            self._output.note(self._name)
            self._files += 1
            self._samples = self._bytes = 0

    @property
    def _name(self) -> str:
        return f"{self._folder}/{self._files:05d}.tar"


def read_tar(folder: Path) -> Iterator[dict[str, bytes]]:
    """The samples of a split. Raises an OSError or ValueError for what is no tar file."""
    for file in sorted(folder.glob("*.tar")):
        key, sample = "", dict[str, bytes]()
        try:
            with tarfile.open(file, "r|") as tar:
                for member in tar:
                    found, _, suffix = member.name.partition(".")
                    if found != key and sample:
                        yield sample
                        sample = {}

                    content = tar.extractfile(member)
                    key = found
                    sample[suffix] = b"" if content is None else content.read()
        except tarfile.TarError as exc:
            raise ValueError(f"{file.name}: {exc}") from exc

        if sample:
            yield sample
