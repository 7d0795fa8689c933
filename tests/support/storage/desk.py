"""The bot process's side and the writer's side of one data folder, without asyncio.

Every station of a vote is one call, so a test can stop between any two of them.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self, TypeVar

from storage.dataset.memory import MemoryRepository
from storage.dataset.repository import Changes, CommitInfo, DataRepository
from storage.dataset.writer import Committed, Writer
from storage.folder import DataFolder
from storage.journal.file import JournalFile
from storage.journal.queries import SHARD_SIZES, Journal
from storage.journal.shards import ShardSizes
from storage.journal.spool import Spool
from storage.vote import NewSet, Rating, VoteOutcome
from tests.support.storage.data import NOON, PROVENANCE, a_set, four_images

T = TypeVar("T")


class Station(StrEnum):
    """Where the writer may be stopped."""

    START = "before anything"
    HALF_APPLIED = "after some of the files"
    APPLIED = "after everything was added"
    COMMITTED = "after the commit"
    ANSWERED = "after the commit, before the watermark"


class StoppedError(Exception):
    """The writer's process is no more."""


@dataclass(slots=True)
class StoppingRepository:
    """A repository whose process ends at a station."""

    inner: DataRepository
    station: Station

    def read(self, path: str) -> bytes | None:
        return self.inner.read(path)

    def holds(self, path: str) -> bool:
        return self.inner.holds(path)

    def apply(self, changes: Changes) -> None:
        if self.station is Station.START:
            raise StoppedError

        if self.station is Station.HALF_APPLIED:
            self.inner.apply(_half(changes))
            raise StoppedError

        self.inner.apply(changes)
        if self.station is Station.APPLIED:
            raise StoppedError

    def commit(self, message: str) -> str | None:
        commit_id = self.inner.commit(message)
        if self.station is Station.COMMITTED:
            raise StoppedError

        return commit_id

    def check(self) -> None:
        self.inner.check()

    def mend(self, among: Iterable[str] | None = None) -> Sequence[str]:
        return self.inner.mend(among)

    def found(self) -> str | None:
        return self.inner.found()

    def log(self, limit: int) -> Sequence[CommitInfo]:
        return self.inner.log(limit)

    def share(self, path: Path) -> str:
        return self.inner.share(path)

    def close(self) -> None:
        self.inner.close()


class Desk:
    """Records, commits, stops and starts again."""

    def __init__(
        self,
        folder: DataFolder,
        file: JournalFile,
        open_repository: Callable[[], DataRepository],
        *,
        shard_sizes: ShardSizes,
    ) -> None:
        self.folder = folder
        self.spool = Spool(folder.spool)
        self._file = file
        self._journal = Journal(file.connection, shard_sizes=shard_sizes)
        self._open_repository = open_repository
        self.repository = open_repository()

    @classmethod
    @contextmanager
    def open(
        cls,
        folder: DataFolder,
        open_repository: Callable[[], DataRepository],
        *,
        shard_sizes: ShardSizes = SHARD_SIZES,
    ) -> Iterator[Self]:
        """Start on a data folder, as the store does."""
        folder.root.mkdir(parents=True, exist_ok=True)
        with JournalFile.open(folder.journal) as file:
            desk = cls(folder, file, open_repository, shard_sizes=shard_sizes)
            desk.spool.clean()
            here = desk.spool.ids()
            unknown = desk.note(lambda journal: journal.unknown(here))
            desk.spool.discard(desk.note(lambda journal: journal.unneeded(here)))
            desk.spool.move(unknown, Spool(folder.set_aside), now=NOON)
            yield desk
            desk.repository.close()

    def files(self) -> dict[str, bytes]:
        """The committed files, of a repository in memory."""
        assert isinstance(self.repository, MemoryRepository)

        return dict(self.repository.files)

    def note(self, operation: Callable[[Journal], T]) -> T:
        """Record something, durably."""
        with self._file.transaction():
            return operation(self._journal)

    def show(
        self,
        set_id: str,
        *,
        prompt: str = "a fox in the snow",
        withheld: Sequence[int] = (),
    ) -> list[str]:
        """Post a set of four images, without those in some slots; the ids of all."""
        return self.show_set(a_set(set_id, prompt=prompt), withheld=withheld)

    def show_set(self, new: NewSet, *, withheld: Sequence[int] = ()) -> list[str]:
        """Post the images of a request, without those in some slots; the ids of all."""
        images = four_images(new.set_id, withheld=withheld)
        self.spool.put({image.image_id: image.png for image in images if not image.withheld})

        def post(journal: Journal) -> None:
            journal.add_request(new, now=NOON)
            journal.add_images(new.set_id, images, provenance=PROVENANCE, now=NOON)
            journal.mark_posted(new.set_id, message_id=1, now=NOON)

        self.note(post)

        return [image.image_id for image in images]

    def vote(
        self,
        image_id: str,
        voter_id: int,
        rating: Rating | None,
        *,
        seconds: float | None = None,
    ) -> VoteOutcome:
        """Press a button."""
        return self.note(
            lambda journal: journal.vote(image_id, voter_id, rating, seconds=seconds, now=NOON)
        )

    def undo(self, image_id: str, voter_id: int, rating: Rating) -> VoteOutcome:
        """Press Undo for this vote."""
        return self.note(lambda journal: journal.undo(image_id, voter_id, rating, now=NOON))

    def explain(self, image_id: str, voter_id: int, rating: Rating, *reasons: str) -> VoteOutcome:
        """Pick these reasons for this vote."""
        return self.note(
            lambda journal: journal.explain(image_id, voter_id, rating, reasons, now=NOON)
        )

    def commit(self, *, limit: int = 512) -> Committed | None:
        """One batch, and the watermark."""
        done = self._commit(self.repository, limit=limit)
        if done is not None:
            self.note(lambda journal: journal.missing.mark(done.missing, now=NOON))
            self.note(
                lambda journal: journal.progress.mark_committed(
                    done.upto_seq, commit_id=done.commit_id, now=NOON
                )
            )

        return done

    def commit_until(self, station: Station, *, limit: int = 512) -> None:
        """One batch that gets no further than the station; then the writer starts again."""
        with suppress(StoppedError):
            self._commit(StoppingRepository(self.repository, station), limit=limit)

        self.restart_writer()

    def settle(self, *, limit: int = 512) -> None:
        """Commit everything."""
        while self.commit(limit=limit):
            pass

    def restart_writer(self) -> None:
        """What a new writer process does first."""
        self.repository.close()
        self.repository = self._open_repository()

    def writer(self) -> Writer:
        """A writer on the repository."""
        return Writer(self.repository, journal=self.folder.journal, spool=self.spool)

    def _commit(self, repository: DataRepository, *, limit: int) -> Committed | None:
        after_seq = self.note(lambda journal: journal.progress.watermark().committed_seq)
        writer = Writer(repository, journal=self.folder.journal, spool=self.spool)

        return writer.commit_pending(after_seq=after_seq, limit=limit)


def _half(changes: Changes) -> Changes:
    return Changes(
        files=dict(list(changes.files.items())[::2]),
        images=dict(list(changes.images.items())[::2]),
        removals=changes.removals[::2],
    )
