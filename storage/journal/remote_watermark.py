"""The remote's watermark: how far the remote follows the dataset, as the journal stores it.

Every change up to `pushed_seq` is on the remote, in that state or a later one.
"""

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from storage.clock import moment, timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteWatermark:
    """How much of the local dataset the remote holds.

    seq: the last of the journal's changes that it has. branch: the one that is pushed to. moved:
    whether it differs from the one that was set, because somebody else changed that. waiting_since:
    the time of the oldest commit that is not pushed. alarmed_at: when the moderators were told that
    the remote is behind, None when it is not. announced_branch: the branch that the moderators were
    last told of. replaced_branch: the one with the history before the dataset was made anew, to be
    deleted once the new one is pushed. free_at: when the remote was seen to have no dataset but
    this one.
    """

    seq: int
    branch: str
    moved: bool
    commit_id: str | None
    pushed_at: datetime | None
    commits_waiting: int
    votes_waiting: int
    waiting_since: datetime | None
    alarmed_at: datetime | None
    announced_branch: str
    replaced_branch: str | None
    free_at: datetime | None


class RemoteProgress:
    """The remote's row of one open journal. Methods run inside a transaction of the caller's."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def set(self, url: str, *, branch: str, now: datetime) -> None:
        """Record which remote there is. For a different one than before, nothing is pushed yet."""
        known = self._connection.execute(
            "SELECT 1 FROM remote WHERE url = ? AND branch = ?", (url, branch)
        ).fetchone()
        if known:
            return

        self._connection.execute(
            "INSERT OR REPLACE INTO remote SELECT 1, ?, ?, ?, 0, 0, NULL, NULL,"
            " CASE WHEN commits > 0 THEN ? END, NULL, ?, NULL, NULL FROM watermark",
            (url, branch, branch, timestamp(now), branch),
        )

    def clear(self) -> None:
        """Record that there is no remote."""
        self._connection.execute("DELETE FROM remote")

    def watermark(self) -> RemoteWatermark | None:
        """How much the remote holds; None when there is no remote."""
        row = self._connection.execute(
            "SELECT remote.*, watermark.commits - remote.commits AS commits_waiting"
            " FROM remote, watermark"
        ).fetchone()
        if row is None:
            return None

        (votes,) = self._connection.execute(
            "SELECT count(*) FROM votes WHERE seq > ?", (row["pushed_seq"],)
        ).fetchone()

        return RemoteWatermark(
            seq=row["pushed_seq"],
            branch=row["pushed_to"],
            moved=row["pushed_to"] != row["branch"],
            commit_id=row["commit_id"],
            pushed_at=moment(row["pushed_at"]),
            commits_waiting=max(row["commits_waiting"], 0),
            votes_waiting=votes,
            waiting_since=moment(row["waiting_since"]),
            alarmed_at=moment(row["alarmed_at"]),
            announced_branch=row["announced_branch"],
            replaced_branch=row["replaced_branch"],
            free_at=moment(row["free_at"]),
        )

    def mark_pushed(
        self, seq: int, *, commits: int, commit_id: str, shared_at: datetime, now: datetime
    ) -> None:
        """Record that the remote holds what was committed at `shared_at`."""
        self._connection.execute(
            "UPDATE remote SET pushed_seq = ?, commits = ?, commit_id = ?, pushed_at = ?,"
            " waiting_since = CASE WHEN ? < (SELECT commits FROM watermark) THEN ? END",
            (seq, commits, commit_id, timestamp(now), commits, timestamp(shared_at)),
        )

    def mark_taken_over(self, branch: str, *, commits: int, commit_id: str, now: datetime) -> None:
        """Record that the dataset was fetched from this branch of the remote."""
        self._connection.execute(
            "UPDATE remote SET pushed_to = ?, pushed_seq = (SELECT committed_seq FROM watermark),"
            " commits = ?, commit_id = ?, pushed_at = ?, waiting_since = NULL",
            (branch, commits, commit_id, timestamp(now)),
        )

    def switch_branch(self, branch: str) -> None:
        """Record that a new branch is pushed to from now on. It holds nothing yet."""
        self._connection.execute(
            "UPDATE remote SET pushed_to = ?, pushed_seq = 0, commits = 0, commit_id = NULL",
            (branch,),
        )

    def mark_refounded(self, *, now: datetime) -> None:
        """Record that nothing of the dataset, which was made anew, is on the remote."""
        self._connection.execute(
            "UPDATE remote SET replaced_branch = coalesce(replaced_branch, pushed_to),"
            " pushed_seq = 0, commits = 0, commit_id = NULL, waiting_since = ?",
            (timestamp(now),),
        )

    def mark_replaced(self) -> None:
        """Record that the branch with the earlier history is deleted."""
        self._connection.execute("UPDATE remote SET replaced_branch = NULL")

    def mark_free(self, *, now: datetime) -> None:
        """Record that the remote was seen to have no dataset but this one."""
        self._connection.execute("UPDATE remote SET free_at = ?", (timestamp(now),))

    def mark_announced(self, branch: str) -> None:
        """Record that the moderators know which branch is pushed to."""
        self._connection.execute("UPDATE remote SET announced_branch = ?", (branch,))

    def mark_alarmed(self, at: datetime | None) -> None:
        """Record when the moderators were told that the remote is behind; None: it caught up."""
        self._connection.execute(
            "UPDATE remote SET alarmed_at = ?", (None if at is None else timestamp(at),)
        )
