"""Starts the writer: a process of its own, and the only one that has the dataset open."""

import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from storage.dataset.card import CardFacts
from storage.dataset.changes import open_for_reading
from storage.dataset.repository import DataRepository
from storage.dataset.writer import Writer
from storage.errors import RepositoryError, RepositoryInUse
from storage.folder import DataFolder
from storage.journal.consent import consent_versions
from storage.journal.spool import Spool
from storage.processes.child import ChildProcess

# After a kill, the last writer may keep the repository locked for a moment.
_LOCK_PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositorySettings:
    """A local Oxen repository in the data folder: who commits, and what its card says."""

    user_name: str = "oxherd"
    user_email: str = "oxherd@localhost"
    card: CardFacts = field(default_factory=CardFacts)


def start_writer(
    folder: DataFolder,
    settings: RepositorySettings,
    *,
    timeout_s: float,
    create: bool = True,
    dataset: Path | None = None,
) -> ChildProcess[Writer]:
    """Start the process, which then opens the dataset. Every call gets `timeout_s`.

    create: whether to make the dataset if there is none. dataset: another one than the folder's.
    """
    return ChildProcess.start(
        partial(_open_writer, folder, settings, create=create, dataset=dataset or folder.dataset),
        name="writer",
        log_path=folder.writer_log,
        gone=RepositoryError.unavailable,
        unexpected=RepositoryError.rejected,
        timeout_s=timeout_s,
    )


def _open_writer(
    folder: DataFolder, settings: RepositorySettings, *, create: bool, dataset: Path
) -> Writer:
    return Writer(
        _open_patiently(folder, settings, create=create, dataset=dataset),
        journal=folder.journal,
        spool=Spool(folder.spool),
    )


def _open_patiently(
    folder: DataFolder, settings: RepositorySettings, *, create: bool, dataset: Path
) -> DataRepository:
    from storage.dataset.oxen import OxenRepository, OxenSettings

    # Imported here, so that the parent, which imports this module too, never loads oxen.
    with open_for_reading(folder.journal) as journal:
        (journal_id,) = journal.execute("SELECT journal_id FROM watermark").fetchone()
        consents = consent_versions(journal)

    oxen_settings = OxenSettings(
        path=dataset,
        config_dir=folder.oxen_config,
        journal_id=journal_id,
        user_name=settings.user_name,
        user_email=settings.user_email,
        card=settings.card,
        consents=consents,
        create=create,
    )
    give_up_at = time.monotonic() + _LOCK_PATIENCE_S
    while True:
        try:
            return OxenRepository.open(oxen_settings)
        except RepositoryInUse:
            if time.monotonic() > give_up_at:
                raise

            time.sleep(0.1)
