"""Where everything is in the data folder."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class DataFolder:
    """One folder holds all that must outlive the process."""

    root: Path

    @property
    def journal(self) -> Path:
        return self.root / "journal.sqlite3"

    @property
    def spool(self) -> Path:
        return self.root / "spool"

    @property
    def dataset(self) -> Path:
        return self.root / "dataset"

    @property
    def oxen_config(self) -> Path:
        return self.root / "oxen-config"

    @property
    def writer_log(self) -> Path:
        return self.root / "logs" / "writer.log"
