"""Parquet files: rows go to the disk in groups, so memory does not grow with the dataset."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow
import pyarrow.parquet

from storage.export.output import Output

_ROWS_A_GROUP = 1_000
_BYTES_A_GROUP = 32 * 2**20
_GROUPS_A_FILE = 16


class ParquetFiles:
    """The files of one split, `FOLDER/00000.parquet` and so on; one without rows if there are
    none, so that every split loads."""

    def __init__(self, output: Output, folder: str, schema: pyarrow.Schema) -> None:
        self._output = output
        self._folder = folder
        self._schema = schema
        self._rows: list[Mapping[str, Any]] = []
        self._bytes = 0
        self._groups = 0
        self._files = 0
        self._writer: pyarrow.parquet.ParquetWriter | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None and (self._rows or not self._files):
            self._write_group()

        self._close()

    def add(self, row: Mapping[str, Any], *, image_bytes: int) -> None:
        """One row. image_bytes: roughly how large it is."""
        self._rows.append(row)
        self._bytes += image_bytes
        if len(self._rows) >= _ROWS_A_GROUP or self._bytes >= _BYTES_A_GROUP:
            self._write_group()

    def _write_group(self) -> None:
        if self._writer is None:
            self._writer = pyarrow.parquet.ParquetWriter(
                self._output.path(self._name),
                self._schema,
                compression="zstd",
                # Of an image, neither a dictionary nor the least and the greatest is of use.
                use_dictionary=False,
                write_statistics=False,
            )

        table = pyarrow.Table.from_pylist(self._rows, schema=self._schema)
        self._writer.write_table(table, row_group_size=_ROWS_A_GROUP)
        self._rows, self._bytes = [], 0
        self._groups += 1
        if self._groups == _GROUPS_A_FILE:
            self._close()

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
            self._output.note(self._name)
            self._files += 1
            self._groups = 0

    @property
    def _name(self) -> str:
        return f"{self._folder}/{self._files:05d}.parquet"


def shown_as(schema: pyarrow.Schema, features: Mapping[str, Any]) -> pyarrow.Schema:
    """The schema with what `datasets` makes of its columns."""
    described = json.dumps({"info": {"features": features}}, sort_keys=True)

    return schema.with_metadata({"huggingface": described})


def read_parquet(folder: Path) -> Iterator[dict[str, Any]]:
    """The rows of a split. Raises an OSError or ValueError for what is no Parquet file."""
    for file in sorted(folder.glob("*.parquet")):
        with pyarrow.parquet.ParquetFile(file) as opened:
            for batch in opened.iter_batches(batch_size=64):
                yield from batch.to_pylist()
