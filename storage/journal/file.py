"""The journal's file: owned by one process and written in transactions."""

import fcntl
import itertools
import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Self

from storage.errors import JournalError, JournalFull, JournalInUse
from storage.files import make_folder, replace_durably
from storage.journal.schema import prepare

log = logging.getLogger(__name__)

# SQLite moves its write-ahead log into the database during the COMMIT that makes it this long (64
# MB), and that vote waits for 100 ms and more. `checkpoint` does it earlier, beside the votes.
_LONGEST_LOG_PAGES = 16_384
_LOG_WORTH_MOVING_BYTES = 4 * 1024 * 1024

# After a try to scrub that failed, for a full disk perhaps.
_SCRUB_AGAIN_AFTER_S = 60.0


class JournalFile:
    """One open journal.

    `connection` may be used by one thread at a time, within `transaction`.
    """

    def __init__(self, connection: sqlite3.Connection, *, path: Path) -> None:
        self.connection = connection
        self._path = path
        self._no_scrub_before_s = 0.0
        self.scrub_if_unclean()

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[Self]:
        """Own the journal at `path`, made if absent, until the block ends.

        Raises a JournalError.
        """
        with _disk_errors(path), _ownership(path), _connection(path) as connection:
            yield cls(connection, path=path)

    @classmethod
    @contextmanager
    def replace(cls, path: Path, *, set_aside: Path) -> Iterator[Self]:
        """Own a new journal at `path` until the block ends. The old one is moved to a folder of its
        own in `set_aside`.

        Raises a JournalError.
        """
        with _disk_errors(path), _ownership(path):
            _move_away(path, set_aside)
            with _connection(path) as connection:
                yield cls(connection, path=path)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, durable when the block has ended without an error."""
        with _disk_errors(self._path):
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.connection.execute("COMMIT")
            finally:
                if self.connection.in_transaction:  # SQLite may have rolled back by itself
                    self.connection.execute("ROLLBACK")

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """All or nothing inside a transaction: an error undoes only this block."""
        with _disk_errors(self._path):
            self.connection.execute("SAVEPOINT operation")
            try:
                yield
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK TO operation")
                    self.connection.execute("RELEASE operation")

                raise

            self.connection.execute("RELEASE operation")

    def check(self) -> None:
        """Read all of the journal, also where the start does not. Raises a JournalError."""
        with _disk_errors(self._path):
            _check(self.connection, path=self._path)

    def scrub_if_unclean(self) -> None:
        """If somebody was forgotten, write the file anew, without bytes of what was deleted.

        Deleting, even with SQLite's `secure_delete`, leaves copies of a row where SQLite had moved
        it from (measured: 1 of 1,683). Blocks for as long as that takes. Failing is logged, and it
        is tried again later and at the next start.
        """
        (unclean,) = self.connection.execute("SELECT unclean FROM privacy").fetchone()
        if not unclean or time.monotonic() < self._no_scrub_before_s:
            return

        try:
            with _disk_errors(self._path):
                self.connection.execute("VACUUM")
                (busy, *_) = self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                if busy:
                    raise JournalError.failed(self._path, reason="somebody is reading it")

                self.connection.execute("UPDATE privacy SET unclean = 0")
        except JournalError as exc:
            log.warning("bytes of what was forgotten may be left in the journal: %s", exc)
            self._no_scrub_before_s = time.monotonic() + _SCRUB_AGAIN_AFTER_S

    @property
    def in_transaction(self) -> bool:
        """False after an error for which SQLite rolled the whole transaction back."""
        return self.connection.in_transaction


def checkpoint(path: Path) -> None:
    """Move the write-ahead log into the database if it is large. Others may write meanwhile.

    Blocks until the disk has done it.
    """
    log = path.with_name(f"{path.name}-wal")
    if not log.exists() or log.stat().st_size < _LOG_WORTH_MOVING_BYTES:
        return

    with _disk_errors(path), closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")


@contextmanager
def _connection(path: Path) -> Iterator[sqlite3.Connection]:
    """Check the journal, unless its file is the very one that was closed here last. The check reads
    all of it: 1.8 s of processor time at a million votes."""
    untouched = _untouched(path)
    with closing(
        sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    ) as connection:
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA busy_timeout = 5000")
        prepare(connection, path=path)
        if not untouched:
            _check(connection, path=path)

        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_LONGEST_LOG_PAGES}")
        yield connection

    _note_closed(path)


def _check(connection: sqlite3.Connection, *, path: Path) -> None:
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise JournalError.foreign(path, found=" ".join(found.split()))


def _untouched(path: Path) -> bool:
    """Whether nobody has written the journal, copied it or put it back since it was closed.

    Whatever is written goes to the write-ahead log first, which a clean end removes.
    """
    log = path.with_name(f"{path.name}-wal")
    try:
        if log.exists() and log.stat().st_size:
            return False

        return _closed_note(path).read_text(encoding="utf-8") == _state(path)
    except (OSError, UnicodeDecodeError):
        return False


def _note_closed(path: Path) -> None:
    """Without an fsync: a note that a power cut spoils is one that does not match."""
    with suppress(OSError):  # on a full disk the next start checks
        _closed_note(path).write_text(_state(path), encoding="utf-8")


def _state(path: Path) -> str:
    """What changes whenever the file is written, or a different one is put in its place."""
    found = path.stat()

    return f"{found.st_ino} {found.st_size} {found.st_mtime_ns}"


def _closed_note(path: Path) -> Path:
    return path.with_name(f"{path.name}.closed")


def _move_away(path: Path, set_aside: Path) -> None:
    """The write-ahead log first: SQLite would apply it to the next database of that name."""
    numbers = (f"journal-{number}" for number in itertools.count(1))
    folder = next(set_aside / name for name in numbers if not (set_aside / name).exists())
    for suffix in ("-wal", "-shm", ""):
        old = path.with_name(f"{path.name}{suffix}")
        if old.exists():
            make_folder(folder)
            replace_durably(old, folder / old.name)


@contextmanager
def _ownership(path: Path) -> Iterator[None]:
    """Hold `<journal>.lock`, which names the process. The kernel releases it when that ends."""
    lock_path = path.with_name(f"{path.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(lock_path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as exc:
        raise JournalError.failed(lock_path, reason=str(exc)) from exc

    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise JournalInUse.by(os.pread(lock, 32, 0).decode(), path=path) from exc

        with suppress(OSError):  # on a full disk the lock holds without a process id in it
            os.ftruncate(lock, 0)
            os.pwrite(lock, str(os.getpid()).encode(), 0)

        yield
    finally:
        os.close(lock)


@contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    """Translate SQLite's errors about the disk and the file."""
    try:
        yield
    except sqlite3.DatabaseError as exc:
        # Programming mistakes (constraints, SQL) are not translated.
        code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            raise JournalFull.at(path) from exc

        if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            raise JournalError.foreign(path, found=str(exc)) from exc

        if code in _DISK_CODES:
            raise JournalError.failed(path, reason=str(exc)) from exc

        raise


_DISK_CODES = (
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_PERM,
)
