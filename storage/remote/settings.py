"""The remote that the dataset is pushed to: which one it is, and how far it follows.

Everything up to `pushed_seq` is on the remote, in that state or a later one.
"""

import re
import sqlite3
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from storage.dataset.layout import timestamp
from storage.journal.rows import moment

_URL = re.compile(r"(https?)://([^/@\s]+)/([\w.-]+)/([\w.-]+)/?")


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteSettings:
    """A repository on an Oxen server, and the branch there that belongs to the bot.

    `create`: make the repository, private, when it does not exist. The token is in no `repr`.
    """

    scheme: str
    host: str
    namespace: str
    name: str
    branch: str = "main"
    token: str = field(default="", repr=False)
    create: bool = True

    @classmethod
    def at(cls, url: str, *, branch: str, token: str, create: bool) -> Self:
        """From `https://host/namespace/name`. Raises ValueError for anything else."""
        match = _URL.fullmatch(url)
        if match is None:
            raise ValueError("it must look like https://hub.example.org/namespace/name")

        scheme, host, namespace, name = match.groups()

        return cls(
            scheme=scheme,
            host=host,
            namespace=namespace,
            name=name,
            branch=branch,
            token=token,
            create=create,
        )

    @property
    def url(self) -> str:
        """As it was set."""
        return f"{self.scheme}://{self.host}/{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A branch of the remote that was fetched: its newest commit, the last of `commits`."""

    branch: str
    commit_id: str
    commits: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteMark:
    """How far the remote follows the local dataset.

    `branch` is the one that is pushed to, `moved` whether that is another than was set, because
    somebody else changed it. `waiting_since` is the time of the oldest commit that is not there.
    """

    branch: str
    moved: bool
    commit_id: str | None
    pushed_at: datetime | None
    commits_waiting: int
    votes_waiting: int
    waiting_since: datetime | None
    alarmed_at: datetime | None
    told_branch: str


class RemoteProgress:
    """The remote's row of one open journal. Methods run inside a transaction of the caller's."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def follow(self, remote: RemoteSettings, *, now: datetime) -> None:
        """From now on the remote is this one. Another one than before starts from the beginning."""
        known = self._connection.execute(
            "SELECT 1 FROM remote WHERE url = ? AND branch = ?", (remote.url, remote.branch)
        ).fetchone()
        if known:
            return

        self._connection.execute(
            "INSERT OR REPLACE INTO remote SELECT 1, ?, ?, ?, 0, 0, NULL, NULL,"
            " CASE WHEN commits > 0 THEN ? END, NULL, ? FROM watermark",
            (remote.url, remote.branch, remote.branch, timestamp(now), remote.branch),
        )

    def forget(self) -> None:
        """There is no remote any more."""
        self._connection.execute("DELETE FROM remote")

    def mark(self) -> RemoteMark | None:
        """How far the remote follows; None when there is none."""
        row = self._connection.execute(
            "SELECT remote.*, watermark.commits - remote.commits AS commits_waiting"
            " FROM remote, watermark"
        ).fetchone()
        if row is None:
            return None

        (votes,) = self._connection.execute(
            "SELECT count(*) FROM votes WHERE seq > ?", (row["pushed_seq"],)
        ).fetchone()

        return RemoteMark(
            branch=row["pushed_to"],
            moved=row["pushed_to"] != row["branch"],
            commit_id=row["commit_id"],
            pushed_at=moment(row["pushed_at"]),
            commits_waiting=max(row["commits_waiting"], 0),
            votes_waiting=votes,
            waiting_since=moment(row["waiting_since"]),
            alarmed_at=moment(row["alarmed_at"]),
            told_branch=row["told_branch"],
        )

    def mark_pushed(
        self, seq: int, *, commits: int, commit_id: str, shared_at: datetime, now: datetime
    ) -> None:
        """Note that the remote holds what was committed at `shared_at`."""
        self._connection.execute(
            "UPDATE remote SET pushed_seq = ?, commits = ?, commit_id = ?, pushed_at = ?,"
            " waiting_since = CASE WHEN ? < (SELECT commits FROM watermark) THEN ? END",
            (seq, commits, commit_id, timestamp(now), commits, timestamp(shared_at)),
        )

    def mark_taken_over(self, fetched: Fetched, *, now: datetime) -> None:
        """Note that everything came from the remote."""
        self._connection.execute(
            "UPDATE remote SET pushed_to = ?, pushed_seq = (SELECT committed_seq FROM watermark),"
            " commits = ?, commit_id = ?, pushed_at = ?, waiting_since = NULL",
            (fetched.branch, fetched.commits, fetched.commit_id, timestamp(now)),
        )

    def push_to(self, branch: str) -> None:
        """Go on in another branch, which has nothing yet."""
        self._connection.execute(
            "UPDATE remote SET pushed_to = ?, pushed_seq = 0, commits = 0, commit_id = NULL",
            (branch,),
        )

    def mark_told(self, branch: str) -> None:
        """Note that the moderators know to which branch is pushed."""
        self._connection.execute("UPDATE remote SET told_branch = ?", (branch,))

    def mark_alarmed(self, at: datetime | None) -> None:
        """Note that the moderators were told, or with None that they know it is over."""
        self._connection.execute(
            "UPDATE remote SET alarmed_at = ?", (None if at is None else timestamp(at),)
        )
