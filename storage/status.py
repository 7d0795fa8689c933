"""How the store is, as one value."""

from dataclasses import dataclass
from datetime import datetime

from storage.journal.remote_watermark import RemoteWatermark


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteStatus:
    """How far the remote follows. `last_error` is None again once a push succeeded."""

    url: str
    mark: RemoteWatermark
    last_error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreStatus:
    """A snapshot for `status` and for the health check.

    `last_error` is a sentence for operators, None again once a commit succeeded.
    `writer_pid` is None while there is no writer process, `remote` when none is set.
    """

    votes_waiting: int
    oldest_waiting_at: datetime | None
    last_commit_id: str | None
    last_commit_at: datetime | None
    last_snapshot_at: datetime | None
    last_error: str | None
    writer_alive: bool
    writer_pid: int | None
    disk_free_bytes: int
    remote: RemoteStatus | None
