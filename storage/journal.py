"""The journal: every request, image and vote, in one SQLite file on local disk.

Kept: everything whose transaction committed, also through `kill -9` and a power cut (WAL,
synchronous FULL). Not kept: anything if the disk itself is lost.
One process owns it. The methods here run inside a transaction that the caller opened.
"""

import fcntl
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

from storage.errors import JournalFailed, JournalForeign, JournalFull, JournalInUse
from storage.layout import IMAGES_PER_FOLDER, ROWS_PER_SHARD, SHOWN_PER_SHARD, timestamp
from storage.schema import migrate
from storage.vote import (
    NewImage,
    NewSet,
    Rating,
    SetState,
    StoredImage,
    StoredSet,
    VoteKind,
    VoteOutcome,
)

_UNFINISHED = (SetState.WAITING, SetState.RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watermark:
    """How far the dataset follows the journal."""

    committed_seq: int
    newest_seq: int
    commit_id: str | None
    committed_at: datetime | None
    snapshot_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """The votes that are not in the dataset yet."""

    votes: int
    oldest_at: datetime | None


class Journal:
    """One open journal, owned by this process."""

    def __init__(self, connection: sqlite3.Connection, *, path: Path) -> None:
        self._connection = connection
        self._path = path

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[Self]:
        """Own the journal at `path`, made if absent, until the block ends.

        Raises JournalInUse, JournalTooNew, JournalForeign, JournalFull or JournalFailed.
        The connection may be used from any one thread at a time.
        """
        with _ownership(path), _disk_errors(path):
            connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            try:
                connection.row_factory = sqlite3.Row
                connection.execute("PRAGMA busy_timeout = 5000")
                migrate(connection, path=path)
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute("PRAGMA foreign_keys = ON")
                yield cls(connection, path=path)
            finally:
                connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, durable when the block has ended without an error."""
        with _disk_errors(self._path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:  # SQLite may have rolled back by itself
                    self._connection.execute("ROLLBACK")

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """All or nothing inside a transaction: an error leaves the neighbours' work alone."""
        with _disk_errors(self._path):
            self._connection.execute("SAVEPOINT operation")
            try:
                yield
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK TO operation")
                    self._connection.execute("RELEASE operation")

                raise

            self._connection.execute("RELEASE operation")

    @property
    def in_transaction(self) -> bool:
        """False after an error that made SQLite give the whole transaction up."""
        return self._connection.in_transaction

    # Requests and their images

    def add_request(self, request: NewSet, *, now: datetime) -> None:
        """Note a request before anything is done for it. Its state is `waiting`."""
        self._connection.execute(
            "INSERT INTO sets (set_id, state, requester_id, guild_id, request_channel_id,"
            " interaction_id, prompt, negative_prompt, seeds, steps, guidance_scale, width_px,"
            " height_px, channel_id, created_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                request.set_id,
                SetState.WAITING,
                request.requester_id,
                request.guild_id,
                request.channel_id,
                request.interaction_id,
                request.prompt,
                request.negative_prompt,
                json.dumps(request.seeds),
                request.steps,
                request.guidance_scale,
                request.width_px,
                request.height_px,
                request.channel_id,
                timestamp(now),
            ),
        )

    def set_state(self, set_id: str, state: SetState) -> None:
        """Note where the request is."""
        self._connection.execute("UPDATE sets SET state = ? WHERE set_id = ?", (state, set_id))

    def note_message(self, set_id: str, *, channel_id: int, message_id: int) -> None:
        """Note which message shows the set."""
        self._connection.execute(
            "UPDATE sets SET channel_id = ?, message_id = ? WHERE set_id = ?",
            (channel_id, message_id, set_id),
        )

    def add_images(
        self,
        set_id: str,
        images: Sequence[NewImage],
        *,
        provenance: Mapping[str, str],
        now: datetime,
    ) -> None:
        """Note images whose bytes are already in the spool."""
        self._connection.execute(
            "UPDATE sets SET provenance = ? WHERE set_id = ?",
            (json.dumps(dict(provenance), sort_keys=True), set_id),
        )
        self._connection.executemany(
            "INSERT INTO images (image_id, set_id, slot, seed, sha256, size_bytes, made_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (i.image_id, set_id, i.slot, i.seed, i.sha256, len(i.png), timestamp(now))
                for i in images
            ],
        )

    def mark_posted(self, set_id: str, *, message_id: int, now: datetime) -> None:
        """Note that people see the set: its images get their `generations` rows."""
        self._connection.execute(
            "UPDATE sets SET message_id = ? WHERE set_id = ?", (message_id, set_id)
        )
        self._show(set_id, now=now)

    def _show(self, set_id: str, *, now: datetime) -> None:
        self._connection.execute(
            "UPDATE sets SET state = ?, posted_at = coalesce(posted_at, ?) WHERE set_id = ?",
            (SetState.POSTED, timestamp(now), set_id),
        )
        unseen = self._connection.execute(
            "SELECT image_id FROM images WHERE set_id = ? AND seq IS NULL ORDER BY slot", (set_id,)
        ).fetchall()
        for (image_id,) in unseen:
            row = self._next("shown_row") - 1
            self._connection.execute(
                "UPDATE images SET shown_row = ?, shown_shard = ?, seq = ? WHERE image_id = ?",
                (row, row // SHOWN_PER_SHARD, self._next("seq"), image_id),
            )

    # Votes

    def vote(
        self, image_id: str, voter_id: int, rating: Rating | None, *, now: datetime
    ) -> VoteOutcome:
        """Make `rating` the state of (image, voter); None takes the vote back."""
        image = self._connection.execute(
            "SELECT set_id, slot, image_shard, seq, removed_at FROM images WHERE image_id = ?",
            (image_id,),
        ).fetchone()
        if image is None:
            return VoteOutcome(kind=VoteKind.UNKNOWN_IMAGE)

        def outcome(kind: VoteKind, previous: Rating | None = None) -> VoteOutcome:
            recorded = None if kind is VoteKind.REMOVED_IMAGE else rating
            return VoteOutcome(
                kind=kind,
                set_id=image["set_id"],
                slot=image["slot"],
                rating=recorded,
                previous=previous,
            )

        if image["removed_at"] is not None:
            return outcome(VoteKind.REMOVED_IMAGE)

        known = self._connection.execute(
            "SELECT rating FROM votes WHERE image_id = ? AND voter_id = ?", (image_id, voter_id)
        ).fetchone()
        previous = Rating(known["rating"]) if known and known["rating"] else None
        if rating is previous:
            kind = VoteKind.NOTHING_TO_UNDO if rating is None else VoteKind.UNCHANGED
            return outcome(kind, previous)

        if image["seq"] is None:  # a press proves that the set is shown, whatever was noted
            self._show(image["set_id"], now=now)

        if image["image_shard"] is None:
            shard = (self._next("image") - 1) // IMAGES_PER_FOLDER
            self._connection.execute(
                "UPDATE images SET image_shard = ? WHERE image_id = ?", (shard, image_id)
            )

        if known is None:
            row = self._next("train_row") - 1
            self._connection.execute(
                "INSERT INTO votes VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    image_id,
                    voter_id,
                    rating,
                    timestamp(now),
                    row,
                    row // ROWS_PER_SHARD,
                    self._next("seq"),
                ),
            )
        else:
            self._connection.execute(
                "UPDATE votes SET rating = ?, voted_at = ?, seq = ?"
                " WHERE image_id = ? AND voter_id = ?",
                (rating, timestamp(now), self._next("seq"), image_id, voter_id),
            )

        if rating is None:
            return outcome(VoteKind.UNDONE, previous)

        return outcome(VoteKind.REPLACED if previous else VoteKind.RECORDED, previous)

    # What is known

    def find_set(self, set_id: str) -> StoredSet | None:
        """The set with its images, or None."""
        row = self._connection.execute("SELECT * FROM sets WHERE set_id = ?", (set_id,)).fetchone()
        if row is None:
            return None

        images = self._connection.execute(
            "SELECT * FROM images WHERE set_id = ? ORDER BY slot", (set_id,)
        ).fetchall()

        return _stored_set(row, images)

    def find_image(self, image_id: str) -> StoredImage | None:
        """The image, or None."""
        row = self._connection.execute(
            "SELECT * FROM images WHERE image_id = ?", (image_id,)
        ).fetchone()

        return None if row is None else _stored_image(row)

    def unfinished_sets(self) -> list[StoredSet]:
        """Sets that are waiting or running, oldest first."""
        rows = self._connection.execute(
            "SELECT set_id FROM sets WHERE state IN (?, ?) ORDER BY created_at", _UNFINISHED
        ).fetchall()
        found = (self.find_set(set_id) for (set_id,) in rows)

        return [stored for stored in found if stored is not None]

    # The dataset's progress

    def watermark(self) -> Watermark:
        """How far the dataset follows the journal."""
        row = self._connection.execute(
            "SELECT watermark.*, value AS newest_seq FROM watermark, counters WHERE name = 'seq'"
        ).fetchone()

        return Watermark(
            committed_seq=row["committed_seq"],
            newest_seq=row["newest_seq"],
            commit_id=row["commit_id"],
            committed_at=_moment(row["committed_at"]),
            snapshot_at=_moment(row["snapshot_at"]),
        )

    def mark_committed(self, seq: int, *, commit_id: str | None, now: datetime) -> None:
        """Note that the dataset holds every change up to `seq`. A `commit_id` of None keeps the
        last one: there was nothing to change."""
        self._connection.execute(
            "UPDATE watermark SET committed_seq = ?, commit_id = coalesce(?, commit_id),"
            " committed_at = CASE WHEN ? IS NULL THEN committed_at ELSE ? END",
            (seq, commit_id, commit_id, timestamp(now)),
        )

    def mark_snapshot(self, *, commit_id: str | None, now: datetime) -> None:
        """Note that `train.csv` is as new as the rest."""
        self._connection.execute(
            "UPDATE watermark SET snapshot_at = ?, commit_id = coalesce(?, commit_id)",
            (timestamp(now), commit_id),
        )

    def forget_commits(self) -> None:
        """Let the dataset follow from the very first change again."""
        self._connection.execute("UPDATE watermark SET committed_seq = 0, commit_id = NULL")

    def backlog(self) -> Backlog:
        """The votes that are not in the dataset yet."""
        votes, oldest_at = self._connection.execute(
            "SELECT count(*), min(voted_at) FROM votes"
            " WHERE seq > (SELECT committed_seq FROM watermark)"
        ).fetchone()

        return Backlog(votes=votes, oldest_at=_moment(oldest_at))

    # Images nobody voted on

    def drop_unvoted(self, *, before: datetime, now: datetime, limit: int = 256) -> list[str]:
        """Mark images that nobody's vote holds, and that were made and last voted on before
        `before`, as removed; their ids.

        An image with any change that the dataset has not followed yet is left for later.
        """
        rows = self._connection.execute(
            """
            SELECT image_id FROM images
            WHERE removed_at IS NULL AND made_at < :before AND NOT EXISTS (
                SELECT 1 FROM votes WHERE votes.image_id = images.image_id AND (
                    rating IS NOT NULL OR voted_at >= :before
                    OR seq > (SELECT committed_seq FROM watermark)))
            ORDER BY made_at LIMIT :limit
            """,
            {"before": timestamp(before), "limit": limit},
        ).fetchall()
        dropped = [image_id for (image_id,) in rows]
        self._connection.executemany(
            "UPDATE images SET removed_at = ? WHERE image_id = ?",
            [(timestamp(now), image_id) for image_id in dropped],
        )

        return dropped

    def unwanted(self, image_ids: Sequence[str]) -> list[str]:
        """Those of `image_ids` that the journal does not know, or knows as removed."""
        rows = self._connection.execute(
            "SELECT value FROM json_each(?) WHERE value NOT IN"
            " (SELECT image_id FROM images WHERE removed_at IS NULL)",
            (json.dumps(image_ids),),
        )

        return [image_id for (image_id,) in rows]

    def identity(self) -> str:
        """A random name, given when the journal was made: its dataset carries it."""
        (identity,) = self._connection.execute("SELECT journal_id FROM watermark").fetchone()

        return str(identity)

    def _next(self, counter: str) -> int:
        (value,) = self._connection.execute(
            "UPDATE counters SET value = value + 1 WHERE name = ? RETURNING value", (counter,)
        ).fetchone()

        return int(value)


@contextmanager
def _ownership(path: Path) -> Iterator[None]:
    """Hold `<journal>.lock`, which says who has it. The kernel lets go when the process ends."""
    lock_path = path.with_name(f"{path.name}.lock")
    with lock_path.open("a+", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            lock.seek(0)
            raise JournalInUse.by(lock.read().strip(), path=path) from exc

        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


@contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    """Translate what SQLite says about the disk and the file."""
    try:
        yield
    except sqlite3.DatabaseError as exc:
        # Programming mistakes (constraints, SQL) pass as they are.
        code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            raise JournalFull.at(path) from exc

        if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            raise JournalForeign.at(path, found=str(exc)) from exc

        if code in _DISK_CODES:
            raise JournalFailed.at(path, reason=str(exc)) from exc

        raise


_DISK_CODES = (
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_PERM,
)


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _stored_image(row: sqlite3.Row) -> StoredImage:
    return StoredImage(
        image_id=row["image_id"],
        set_id=row["set_id"],
        slot=row["slot"],
        seed=row["seed"],
        sha256=row["sha256"],
        removed_at=_moment(row["removed_at"]),
    )


def _stored_set(row: sqlite3.Row, images: Sequence[sqlite3.Row]) -> StoredSet:
    request = NewSet(
        set_id=row["set_id"],
        requester_id=row["requester_id"],
        guild_id=row["guild_id"],
        channel_id=row["request_channel_id"],
        interaction_id=row["interaction_id"],
        prompt=row["prompt"],
        negative_prompt=row["negative_prompt"],
        seeds=tuple(json.loads(row["seeds"])),
        steps=row["steps"],
        guidance_scale=row["guidance_scale"],
        width_px=row["width_px"],
        height_px=row["height_px"],
    )
    provenance: Mapping[str, str] | None = row["provenance"] and json.loads(row["provenance"])

    return StoredSet(
        request=request,
        state=SetState(row["state"]),
        channel_id=row["channel_id"],
        message_id=row["message_id"],
        provenance=provenance,
        created_at=datetime.fromisoformat(row["created_at"]),
        posted_at=_moment(row["posted_at"]),
        images=tuple(map(_stored_image, images)),
    )
