"""The state of the store, as one value."""

from dataclasses import dataclass
from datetime import datetime

from storage.journal.missing import Missing
from storage.journal.remote_watermark import RemoteWatermark


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteStatus:
    """The state of the remote. `last_error` is None again after a successful push."""

    url: str
    watermark: RemoteWatermark
    last_error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreStatus:
    """The state of the store, for `status` and the health check.

    last_error: a sentence for operators, None again after a successful commit. writer_alive: also
    while a backup is made. writer_pid: None while there is no writer process. missing: images whose
    bytes are gone. remote: None when none is set.
    """

    votes_waiting: int
    oldest_waiting_at: datetime | None
    last_commit_id: str | None
    last_commit_at: datetime | None
    last_error: str | None
    writer_alive: bool
    writer_pid: int | None
    missing: Missing
    disk_free_bytes: int
    remote: RemoteStatus | None
