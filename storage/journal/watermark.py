"""The watermark: how far the dataset follows the journal, as the journal stores it."""

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from storage.clock import moment, timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Watermark:
    """How far the dataset follows the journal."""

    committed_seq: int
    newest_seq: int
    commits: int
    commit_id: str | None
    committed_at: datetime | None
    snapshot_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refounded:
    """A dataset that was made anew: everything up to `committed_seq`, in `commits` commits of which
    `commit_id` is the newest."""

    committed_seq: int
    commits: int
    commit_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """The votes that are not in the dataset yet."""

    votes: int
    oldest_at: datetime | None


class Progress:
    """The watermark of one open journal. Methods run inside a transaction of the caller's."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def watermark(self) -> Watermark:
        """How far the dataset follows the journal."""
        row = self._connection.execute(
            "SELECT watermark.*, value AS newest_seq FROM watermark, counters WHERE name = 'seq'"
        ).fetchone()

        return Watermark(
            committed_seq=row["committed_seq"],
            newest_seq=row["newest_seq"],
            commits=row["commits"],
            commit_id=row["commit_id"],
            committed_at=moment(row["committed_at"]),
            snapshot_at=moment(row["snapshot_at"]),
        )

    def mark_committed(self, seq: int, *, commit_id: str | None, now: datetime) -> None:
        """Record that the dataset holds every change up to `seq`. commit_id: None if that took no
        commit."""
        self._connection.execute("UPDATE watermark SET committed_seq = ?", (seq,))
        if commit_id is not None:
            self._connection.execute("UPDATE watermark SET committed_at = ?", (timestamp(now),))
            self._count_commit(commit_id, now=now)

    def mark_snapshot(self, *, commit_id: str | None, now: datetime) -> None:
        """Record that `train.csv` holds every committed vote. commit_id: None if it already did."""
        self._connection.execute("UPDATE watermark SET snapshot_at = ?", (timestamp(now),))
        if commit_id is not None:
            self._count_commit(commit_id, now=now)

    def restart(self) -> None:
        """Have all changes committed again, from the first one, and then a new `train.csv`."""
        self._connection.execute(
            "UPDATE watermark SET committed_seq = 0, commit_id = NULL, snapshot_at = NULL"
        )

    def note_refounded(self, made: Refounded) -> None:
        """Record that a new dataset is complete, beside the old one."""
        self._connection.execute(
            "INSERT OR REPLACE INTO refounded VALUES (1, ?, ?, ?)",
            (made.committed_seq, made.commits, made.commit_id),
        )

    def refounded(self) -> Refounded | None:
        """The new dataset that is complete and not in place yet, as far as the journal knows."""
        row = self._connection.execute(
            "SELECT committed_seq, commits, commit_id FROM refounded"
        ).fetchone()

        return None if row is None else Refounded(**dict(row))

    def mark_refounded(self, made: Refounded, *, now: datetime) -> None:
        """Record that the new dataset is in place. There is no `train.csv` yet."""
        self._connection.execute("DELETE FROM refounded")
        self._connection.execute(
            "UPDATE watermark SET committed_seq = ?, commits = ?, commit_id = ?, committed_at = ?,"
            " snapshot_at = NULL",
            (made.committed_seq, made.commits, made.commit_id, timestamp(now)),
        )

    def _count_commit(self, commit_id: str, *, now: datetime) -> None:
        self._connection.execute(
            "UPDATE watermark SET commit_id = ?, commits = commits + 1", (commit_id,)
        )
        self._connection.execute(
            "UPDATE remote SET waiting_since = coalesce(waiting_since, ?)", (timestamp(now),)
        )

    def backlog(self) -> Backlog:
        """The votes that are not in the dataset yet."""
        votes, oldest_at = self._connection.execute(
            "SELECT count(*), min(voted_at) FROM (SELECT voted_at, seq FROM votes"
            " UNION ALL SELECT voted_at, seq FROM arena_votes)"
            " WHERE seq > (SELECT committed_seq FROM watermark)"
        ).fetchone()

        return Backlog(votes=votes, oldest_at=moment(oldest_at))
