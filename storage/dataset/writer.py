"""Commits the journal's changes to the dataset, batch by batch.

The dataset is a pure function of the journal, so everything here is idempotent: it can be killed
at any point and done again.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from storage.dataset.changes import BATCH_CHANGES, open_for_reading, read_pending
from storage.dataset.layout import SNAPSHOT, concatenated, image_path, train_path
from storage.dataset.planner import newest_change, plan
from storage.dataset.repository import Changes, CommitInfo, DataRepository
from storage.errors import RepositoryForeign
from storage.journal.spool import Spool
from storage.journal.watermark import Watermark
from storage.plurals import count

_BROUGHT_AT_ONCE = 32  # images in memory, a megabyte or so each


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """The dataset holds every change up to `upto_seq`. `commit_id` is None if it already did.

    missing: images whose bytes are nowhere. The dataset has no row for votes on them. mended: the
    tables that somebody else had changed.
    """

    upto_seq: int
    commit_id: str | None
    missing: Sequence[str]
    mended: Sequence[str]


class Writer:
    """Reads the journal, writes the repository, and moves image bytes between it and the spool.

    Every method raises a RepositoryError when the dataset cannot be changed. After that, the writer
    and its repository must be opened again.
    """

    def __init__(self, repository: DataRepository, *, journal: Path, spool: Spool) -> None:
        self._repository = repository
        self._journal = journal
        self._spool = spool

    def follows(self, mark: Watermark) -> bool:
        """Whether the dataset's history holds the watermark's commit.

        Raises RepositoryForeign when it holds changes that the journal does not have. Reads the
        history, which takes 20 s at a million commits, only if its newest commit is not the
        watermark's: after a kill between commit and watermark, and for a dataset that was restored.
        """
        if mark.commit_id is not None and mark.commit_id == self._repository.found():
            return True

        history = self._repository.log(1_000_000)
        newest = newest_change(commit.message for commit in history)
        if newest > mark.newest_seq:
            raise RepositoryForeign.ahead(newest, known=mark.newest_seq)

        return mark.commit_id is None or any(commit.id == mark.commit_id for commit in history)

    def check(self) -> None:
        """Do nothing, unless the dataset is gone."""
        self._repository.check()

    def commit_pending(self, *, after_seq: int, limit: int = BATCH_CHANGES) -> Committed | None:
        """Commit the changes that follow `after_seq`, or return None if there are none."""
        self._repository.check()
        with open_for_reading(self._journal) as journal:
            pending = read_pending(journal, after_seq=after_seq, limit=limit)

        if pending is None:
            return None

        missing = [
            image.image_id
            for image in pending.images
            if image.needed
            and not image.remote_only
            and not self._has_bytes(image.image_id, shard=image.image_shard, sha256=image.sha256)
        ]
        batch = plan(pending.without(missing), spool_path=self._spool.path)
        self._bring_back(batch.leaving)
        mended = self._repository.mend(batch.changes.files)
        self._repository.apply(batch.changes)
        commit_id = self._repository.commit(batch.message)
        # Not earlier: until the commit has landed, the spool's copy may be the only one.
        self._spool.discard(batch.arriving)

        return Committed(
            upto_seq=batch.upto_seq, commit_id=commit_id, missing=missing, mended=mended
        )

    def found(self, places: Mapping[str, tuple[int, str]]) -> list[str]:
        """Those of these missing images whose bytes are back. places: as in the journal."""
        return [
            image_id
            for image_id, (shard, sha256) in places.items()
            if self._has_bytes(image_id, shard=shard, sha256=sha256)
        ]

    def snapshot(self) -> str | None:
        """Write `train.csv` from all of `train/`; the commit's id, None if nothing changed."""
        self._repository.mend()
        with open_for_reading(self._journal) as journal:
            (last,) = journal.execute("SELECT max(train_shard) FROM votes").fetchone()

        shards = range(0 if last is None else last + 1)
        contents = [self._repository.read(train_path(shard)) for shard in shards]
        found = [content for content in contents if content is not None]
        self._repository.apply(
            Changes(
                files={SNAPSHOT: concatenated(found)} if found else {},
                images={},
                removals=() if found else (SNAPSHOT,),
            )
        )

        return self._repository.commit(f"snapshot: train.csv from {count(len(found), 'file')}")

    def mend(self) -> Sequence[str]:
        """Put back the tables that somebody else changed or deleted; their paths."""
        return self._repository.mend()

    def image(self, image_id: str, *, shard: int) -> bytes | None:
        """The bytes of an image in the dataset, or None."""
        return self._repository.read(image_path(image_id, shard=shard))

    def log(self, limit: int) -> Sequence[CommitInfo]:
        """The newest commits, newest first."""
        return self._repository.log(limit)

    def share(self, path: Path) -> str:
        """Make `path` a repository to push from; the last commit's id."""
        return self._repository.share(path)

    def close(self) -> None:
        """Close the repository."""
        self._repository.close()

    def _has_bytes(self, image_id: str, *, shard: int, sha256: str) -> bool:
        """Whether the dataset has the image, or the spool has the very bytes that were made."""
        if self._repository.holds(image_path(image_id, shard=shard)):
            return True

        content = self._spool.read(image_id)

        return content is not None and hashlib.sha256(content).hexdigest() == sha256

    def _bring_back(self, leaving: Mapping[str, str]) -> None:
        """Copy images that leave the dataset to the spool, before they leave."""
        absent = [image_id for image_id in leaving if not self._spool.path(image_id).exists()]
        for start in range(0, len(absent), _BROUGHT_AT_ONCE):
            contents = {
                image_id: content
                for image_id in absent[start : start + _BROUGHT_AT_ONCE]
                if (content := self._repository.read(leaving[image_id])) is not None
            }
            self._spool.put(contents)
