"""A journal and a dataset with a million votes and images, and what they cost then.

    nice -n 10 python -m benchmarks.million --votes 1000000
    python -m benchmarks.million --votes 20000 --check

The journal is filled by SQL and the dataset by the writer, in large commits. One vote for each
image. Only the first image of each folder has bytes: the others count as being on a remote only,
which changes no listing of a table and none of folders. Then it measures, in processor seconds of
this process and the writer: the start, `status`, a press, commits that touch 1, 3 and 30 shards of
`train`, `drop_unvoted`, a look at the spool, and the snapshot. With --check, exit status 1 if a
figure is above its bar. Prints JSON.
"""

import argparse
import asyncio
import hashlib
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil

from benchmarks.support.facts import run
from benchmarks.support.stock import KEEP_UNVOTED, PROVENANCE, REPOSITORY, SLOTS
from generation.request import ImageRequest
from storage.clock import timestamp
from storage.dataset.writer import Writer
from storage.dataset.writer_process import start_writer
from storage.folder import DataFolder
from storage.journal.file import JournalFile
from storage.journal.queries import SHARD_SIZES, Journal
from storage.journal.spool import Spool
from storage.processes.child import ChildProcess
from storage.store import VoteStore
from storage.vote import Rating, SetState

FILLED_TOGETHER = 20_000
SPOOLED = 10_000
VOTER = 1
MADE_AT = datetime(2026, 1, 1, tzinfo=UTC)

BARS_S = {
    "start": 1.0,
    "status": 1.0,
    "press": 1.0,
    "commit of 1": 1.0,
    "commit of 3": 1.0,
    "commit of 30": 1.0,
    "drop_unvoted": 0.05,
    "look at the spool": 0.05,
    "snapshot": math.inf,
}


async def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Fill, then measure."""
    data = DataFolder(folder / "data")
    began = time.perf_counter()
    fill_journal(data, votes=options.votes)
    figures = _journal_figures(data)
    filled = time.perf_counter()
    result: dict[str, Any] = {"journal_bytes": data.journal.stat().st_size}
    if not options.journal_only:
        result["fill_commits"] = await asyncio.to_thread(fill_dataset, data)
        figures |= await asyncio.to_thread(_writer_figures, data)
        figures |= await _store_figures(data)

    return {
        **result,
        "fill_s": {"journal": filled - began, "dataset": time.perf_counter() - filled},
        "processor_s": figures,
        "above_the_bar": [name for name, figure in figures.items() if figure > BARS_S[name]],
    }


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
            "INSERT INTO sets VALUES (?, ?, 1, 1, 1, 1, 1, ?, ?, ?, ?)",
            (
                (f"set-{number}", SetState.POSTED, request, made, at, at)
                for number in range(-(-votes // SLOTS))
            ),
        )
        connection.executemany(
            "INSERT INTO images (image_id, set_id, slot, seed, sha256, made_at, image_shard,"
            " shown_row, shown_shard, seq, remote_only) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            _images(votes, at=at),
        )
        connection.executemany(
            "INSERT INTO votes (image_id, voter_id, rating, voted_at, train_row, train_shard, seq,"
            " shown_in) VALUES (?, ?, ?, ?, ?, ?, ?, 'post')",
            (
                (image_id(n), VOTER, Rating.GOOD, at, n, n // SHARD_SIZES.train_rows, 2 * n + 2)
                for n in range(votes)
            ),
        )
        for name, value in {"seq": 2 * votes, "train_row": votes, "shown_row": votes}.items():
            connection.execute("UPDATE counters SET value = ? WHERE name = ?", (value, name))

        connection.execute("UPDATE counters SET value = ? WHERE name = 'image'", (votes,))

    Spool(data.spool).put({image_id(n): _png(n) for n in range(0, votes, SHARD_SIZES.images)})


def fill_dataset(data: DataFolder) -> int:
    """Commit all of it; the number of commits."""
    with _opened(data) as (file, journal, writer):
        commits, after = 0, 0
        while done := writer.call(Writer.commit_pending, after_seq=after, limit=FILLED_TOGETHER):
            commits, after = commits + 1, done.upto_seq
            with file.transaction():
                journal.progress.mark_committed(after, commit_id=done.commit_id, now=MADE_AT)

        return commits


def image_id(number: int) -> str:
    """As long as those that the bot makes."""
    return f"{number:022d}"


def _journal_figures(data: DataFolder) -> dict[str, float]:
    """What is done inside a transaction of the journal's, while people press."""
    now = datetime.now(UTC)
    spooled = [image_id(number) for number in range(SPOOLED)]
    with JournalFile.open(data.journal) as file, file.transaction():
        journal = Journal(file.connection)
        before = now - timedelta(days=7)

        return {
            "drop_unvoted": _processor_s(lambda: journal.drop_unvoted(before=before, now=now)),
            "look at the spool": _processor_s(
                lambda: (journal.unneeded(spooled), journal.unknown(spooled))
            ),
        }


def _writer_figures(data: DataFolder) -> dict[str, float]:
    figures = {}
    with _opened(data) as (file, journal, writer):
        (shards,) = file.connection.execute("SELECT 1 + max(train_shard) FROM votes").fetchone()
        for touched in (1, 3, 30):
            mark = journal.progress.watermark()
            with file.transaction():
                for part in range(touched):
                    (found,) = file.connection.execute(
                        "SELECT image_id FROM votes WHERE train_shard = ? AND rating = 'good'",
                        (shards * part // touched,),
                    ).fetchone()
                    journal.vote(found, VOTER, Rating.BAD, now=MADE_AT)

            began = _family_s()
            done = writer.call(Writer.commit_pending, after_seq=mark.newest_seq)
            figures[f"commit of {touched}"] = _family_s() - began
            assert done is not None
            with file.transaction():
                journal.progress.mark_committed(
                    done.upto_seq, commit_id=done.commit_id, now=MADE_AT
                )

        began = _family_s()
        writer.call(Writer.snapshot)
        figures["snapshot"] = _family_s() - began

    return figures


async def _store_figures(data: DataFolder) -> dict[str, float]:
    """With the writer in its process, as the bot has it."""
    figures = {}
    began = _family_s()
    async with VoteStore.open(
        data.root, repository=REPOSITORY, keep_unvoted=KEEP_UNVOTED, commit_timeout_s=600
    ) as store:
        figures["start"] = _family_s() - began
        began = time.process_time()
        await store.status()
        figures["status"] = time.process_time() - began
        began = time.process_time()
        await store.vote(image_id(1), VOTER + 1, Rating.BAD)
        figures["press"] = time.process_time() - began

    return figures


@contextmanager
def _opened(data: DataFolder) -> Iterator[tuple[JournalFile, Journal, ChildProcess[Writer]]]:
    """The journal, and the writer in its process."""
    with JournalFile.open(data.journal) as file:
        writer = start_writer(data, REPOSITORY, timeout_s=3600)
        with closing(writer):
            writer.wait_until_open()
            yield file, Journal(file.connection), writer


def _images(votes: int, *, at: str) -> Iterator[tuple[object, ...]]:
    for n in range(votes):
        has_bytes = n % SHARD_SIZES.images == 0
        sha256 = hashlib.sha256(_png(n)).hexdigest() if has_bytes else ""
        yield (
            *(image_id(n), f"set-{n // SLOTS}", n % SLOTS + 1, n, sha256, at),
            *(n // SHARD_SIZES.images, n, n // SHARD_SIZES.shown_rows, 2 * n + 1, not has_bytes),
        )


def _png(number: int) -> bytes:
    return f"not a picture, but different from all others: {number}".encode()


def _processor_s(job: Callable[[], object]) -> float:
    began = time.process_time()
    job()

    return time.process_time() - began


def _family_s() -> float:
    """Processor seconds of this process and of those that it started."""
    here = psutil.Process()
    times = [process.cpu_times() for process in (here, *here.children(recursive=True))]

    return sum(spent.user + spent.system for spent in times)


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.million")
    parser.add_argument("--votes", type=int, default=1_000_000)
    parser.add_argument("--journal-only", action="store_true")
    parser.add_argument("--check", action="store_true", help="exit status 1 above a bar")

    return parser.parse_args(arguments)


def main() -> None:
    """Measure and print."""
    options = parsed()
    result = run("million", options, measure)
    if options.check and result["above_the_bar"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
