"""The paths in the data folder."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class DataFolder:
    """The folder with everything that outlives the process."""

    root: Path

    @property
    def journal(self) -> Path:
        return self.root / "journal.sqlite3"

    @property
    def spool(self) -> Path:
        return self.root / "spool"

    @property
    def set_aside(self) -> Path:
        """What the journal does not know, and journals that were replaced."""
        return self.root / "set-aside"

    @property
    def dataset(self) -> Path:
        return self.root / "dataset"

    @property
    def preview_factors(self) -> Path:
        """How previews of each model are coloured; learned again if deleted."""
        return self.root / "preview-factors"

    @property
    def refounding(self) -> Path:
        """A dataset that is made anew, until it takes the place of the old one."""
        return self.root / "dataset.refounding"

    @property
    def replaced(self) -> Path:
        """The old dataset, from then on until it is deleted."""
        return self.root / "dataset.replaced"

    @property
    def fetched(self) -> Path:
        """A dataset that was fetched from the remote, until the journal knows it."""
        return self.root / "dataset.fetched"

    @property
    def model_hashes(self) -> Path:
        """A cache of the hashes of models' files; may be deleted at any time."""
        return self.root / "model-hashes.json"

    @property
    def compiled(self) -> Path:
        """Compiled versions of models; may be deleted while no worker runs."""
        return self.root / "compiled"

    @property
    def oxen_config(self) -> Path:
        return self.root / "oxen-config"

    @property
    def writer_log(self) -> Path:
        return self.root / "logs" / "writer.log"

    @property
    def backup_log(self) -> Path:
        return self.root / "logs" / "backup.log"

    @property
    def shared(self) -> Path:
        """Repositories made from the dataset for the pusher, one per push."""
        return self.root / "pushing"

    @property
    def remote_config(self) -> Path:
        """Holds the remote's token."""
        return self.root / "remote-config"

    @property
    def pusher_log(self) -> Path:
        return self.root / "logs" / "pusher.log"
