"""A data folder with very many votes, made in minutes: votes and requests one by one take hours.

The journal is filled by SQL. The dataset gets the files that the writer would write, and Oxen adds
and commits them together. All images have the same bytes, in one file for each folder of the
dataset: Oxen takes 3 ms for every content that it does not know yet, and no later commit looks at
the bytes of earlier images. So it differs from a dataset that has grown in two things: its history
is short, and Oxen's store of contents is small.
"""

import hashlib
import json
import multiprocessing
import os
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.support.noise import noise_png
from benchmarks.support.stock import PROVENANCE, REPOSITORY, SLOTS
from generation.request import ImageRequest
from storage.clock import timestamp
from storage.dataset.changes import open_for_reading, read_pending
from storage.dataset.planner import plan
from storage.dataset.repository import Changes
from storage.folder import DataFolder
from storage.journal.file import JournalFile
from storage.journal.queries import SHARD_SIZES, Journal
from storage.journal.spool import Spool
from storage.vote import Rating, SetState, ShownIn

VOTER = 1
SERVER = 1
MADE_AT = datetime(2026, 1, 1, tzinfo=UTC)
_PNG = noise_png(kilobytes=20, randomness=random.Random(1))
_READ_TOGETHER = 20_000


def image_id(number: int) -> str:
    """As long as those that the bot makes."""
    return f"{number:022d}"


def fill_journal(data: DataFolder, *, votes: int) -> None:
    """So many images, each with one vote, in sets of four that were posted."""
    data.root.mkdir(parents=True)
    request = json.dumps(
        ImageRequest(prompt="a fox in the snow", seeds=(1, 2, 3, 4), model="model").to_json()
    )
    made = json.dumps(PROVENANCE)
    at = timestamp(MADE_AT)
    with JournalFile.open(data.journal) as file, file.transaction():
        connection = file.connection
        connection.executemany(
            "INSERT INTO sets (set_id, state, requester_id, guild_id, channel_id, message_id,"
            " interaction_id, request, provenance, created_at, posted_at)"
            f" VALUES (?, ?, 1, {SERVER}, 1, 1, 1, ?, ?, ?, ?)",
            (
                (f"set-{number}", SetState.POSTED, request, made, at, at)
                for number in range(-(-votes // SLOTS))
            ),
        )
        connection.executemany(
            "INSERT INTO images (image_id, set_id, slot, seed, sha256, made_at, image_shard,"
            " shown_row, shown_shard, seq) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            _images(votes, at=at),
        )
        connection.executemany(
            "INSERT INTO votes (image_id, voter_id, rating, voted_at, train_row, train_shard, seq,"
            " shown_in) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (
                    *(image_id(n), VOTER, Rating.GOOD, at, n),
                    *(n // SHARD_SIZES.train_rows, 2 * n + 2, ShownIn.POST),
                )
                for n in range(votes)
            ),
        )
        Journal(connection).people.add(VOTER)
        counters = {"seq": 2 * votes, "train_row": votes, "shown_row": votes, "image": votes}
        for name, value in counters.items():
            connection.execute("UPDATE counters SET value = ? WHERE name = ?", (value, name))


def fill_dataset(data: DataFolder) -> None:
    """Commit all that the journal has, in a process that ends: it is Oxen's."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        upto_seq, commit_id = pool.apply(_commit_all, (data,))

    with JournalFile.open(data.journal) as file, file.transaction():
        Journal(file.connection).progress.mark_committed(upto_seq, commit_id=commit_id, now=MADE_AT)


def _commit_all(data: DataFolder) -> tuple[int, str]:
    import oxen

    from storage.dataset.oxen import OxenRepository, OxenSettings

    with open_for_reading(data.journal) as journal:
        (journal_id,) = journal.execute("SELECT journal_id FROM watermark").fetchone()
        settings = OxenSettings(
            path=data.dataset,
            config_dir=data.oxen_config,
            journal_id=journal_id,
            card=REPOSITORY.card,
        )
        OxenRepository.open(settings).close()
        first_of: dict[Path, Path] = {}
        after, message = 0, ""
        while pending := read_pending(
            journal,
            after_seq=after,
            limit=_READ_TOGETHER,
            shards=_READ_TOGETHER,
            images=_READ_TOGETHER,
        ):
            batch = plan(pending, spool_path=Spool(data.spool).path)
            _write(batch.changes, data.dataset, first_of=first_of)
            after, message = batch.upto_seq, batch.message

    repository = oxen.Repo(str(data.dataset))
    for folder in ("images", "generations", "train"):
        repository.add(str(data.dataset / folder))

    return after, repository.commit(message).id


def _write(changes: Changes, dataset: Path, *, first_of: dict[Path, Path]) -> None:
    """Without waiting for the disk. first_of: the first image of each folder, to be completed."""
    for name, content in changes.files.items():
        path = dataset / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    for name in changes.images:
        path = dataset / name
        path.parent.mkdir(parents=True, exist_ok=True)
        first = first_of.setdefault(path.parent, path)
        if path == first:
            path.write_bytes(_PNG)
            # Oxen keeps one time for files of one content, and adds those again that have another.
            os.utime(path, (MADE_AT.timestamp(), MADE_AT.timestamp()))
        elif not path.exists():  # a batch may begin with a shard that the last one ended with
            path.hardlink_to(first)


def _images(votes: int, *, at: str) -> Iterator[tuple[object, ...]]:
    sha256 = hashlib.sha256(_PNG).hexdigest()
    for n in range(votes):
        yield (
            *(image_id(n), f"set-{n // SLOTS}", n % SLOTS + 1, n, sha256, at),
            *(n // SHARD_SIZES.images, n, n // SHARD_SIZES.shown_rows, 2 * n + 1),
        )
