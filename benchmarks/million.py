"""A journal and a dataset with a million votes and images, and what they cost then.

    python -m benchmarks.million --folder FOLDER --check
    python -m benchmarks.million --votes 20000 --check

Makes them first, as benchmarks/support/many_votes.py says; a FOLDER that has them already is used
again. Then it measures, in processor seconds of this process and the writer: the start after a
clean end and after a kill, `status`, a press, commits of votes on images in 1, 3 and 30 shards of
`train`, `drop_unvoted`, a look at the spool, and the snapshot. With --check, exit status 1 if a
figure is above its bar. Prints JSON.
"""

import argparse
import asyncio
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil

from benchmarks.support.facts import run
from benchmarks.support.many_votes import MADE_AT, VOTER, fill_dataset, fill_journal, image_id
from benchmarks.support.stock import KEEP_UNVOTED, REPOSITORY
from storage.dataset.writer import Writer
from storage.dataset.writer_process import start_writer
from storage.folder import DataFolder
from storage.journal.file import JournalFile
from storage.journal.queries import SHARD_SIZES, Journal
from storage.processes.child import ChildProcess
from storage.store import VoteStore
from storage.vote import Rating

SPOOLED = 10_000
TOUCHED = (1, 3, 30)

BARS_S = {
    "start": 1.0,
    "start after a kill": math.inf,  # reads the whole journal
    "status": 1.0,
    "press": 1.0,
    "largest commit of 1": 1.0,
    "largest commit of 3": 1.0,
    "largest commit of 30": 1.0,
    "drop_unvoted": 0.05,
    "what is missing": 0.05,
    "look at the spool": 0.05,
    "snapshot": math.inf,
}


async def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Fill, unless that was done before, then measure."""
    data = DataFolder((options.folder or folder) / "data")
    result: dict[str, Any] = {"fill_s": {}}
    if not data.journal.exists():
        began = time.perf_counter()
        fill_journal(data, votes=options.votes)
        result["fill_s"]["journal"] = time.perf_counter() - began

    votes, is_committed = _filled(data)
    result["votes"] = votes
    figures = _journal_figures(data)
    if not options.journal_only:
        if not is_committed:
            began = time.perf_counter()
            await asyncio.to_thread(fill_dataset, data)
            result["fill_s"]["dataset"] = time.perf_counter() - began

        result["commits"] = await asyncio.to_thread(_commit_figures, data, votes=votes)
        for touched, commits in result["commits"].items():
            figures[f"largest commit of {touched}"] = max(commits)

        figures |= await _store_figures(data)

    return {
        **result,
        "journal_bytes": data.journal.stat().st_size,
        "processor_s": figures,
        "missed": [name for name, figure in figures.items() if figure > BARS_S[name]],
    }


def _filled(data: DataFolder) -> tuple[int, bool]:
    """How many votes there are, and whether they are in the dataset."""
    with JournalFile.open(data.journal) as file:
        mark = Journal(file.connection).progress.watermark()
        (votes,) = file.connection.execute(
            "SELECT count(*) FROM votes WHERE voter_id = ?", (VOTER,)
        ).fetchone()

    return votes, mark.commit_id is not None


def _journal_figures(data: DataFolder) -> dict[str, float]:
    """What is done inside a transaction of the journal's, while people press."""
    now = datetime.now(UTC)
    spooled = [image_id(number) for number in range(SPOOLED)]
    with JournalFile.open(data.journal) as file, file.transaction():
        journal = Journal(file.connection)
        before = now - timedelta(days=7)

        return {
            "drop_unvoted": _processor_s(lambda: journal.drop_unvoted(before=before, now=now)),
            "what is missing": _processor_s(journal.missing.summary),
            "look at the spool": _processor_s(
                lambda: (journal.unneeded(spooled), journal.unknown(spooled))
            ),
        }


def _commit_figures(data: DataFolder, *, votes: int) -> dict[str, list[float]]:
    """What each commit took that was made of votes in so many shards."""
    figures: dict[str, list[float]] = {}
    with _opened(data) as (file, journal, writer):
        for touched in TOUCHED:
            with file.transaction():
                for number in _images_in(touched, votes=votes):
                    _change_mind(journal, image_id(number))

            commits = figures[str(touched)] = []
            while True:
                mark = journal.progress.watermark()
                began = _family_s()
                done = writer.call(Writer.commit_pending, after_seq=mark.committed_seq)
                if done is None:
                    break

                commits.append(_family_s() - began)
                with file.transaction():
                    journal.progress.mark_committed(
                        done.upto_seq, commit_id=done.commit_id, now=MADE_AT
                    )

    return figures


def _images_in(shards: int, *, votes: int) -> list[int]:
    """One image of each of so many shards of `train`, anywhere."""
    there = range(-(-votes // SHARD_SIZES.train_rows))
    chosen = random.sample(there, min(shards, len(there)))

    return [shard * SHARD_SIZES.train_rows for shard in chosen]


def _change_mind(journal: Journal, voted: str) -> None:
    (rating,) = journal.connection.execute(
        "SELECT rating FROM votes WHERE image_id = ? AND voter_id = ?", (voted, VOTER)
    ).fetchone()
    journal.vote(voted, VOTER, Rating.BAD if rating == Rating.GOOD else Rating.GOOD, now=MADE_AT)


async def _store_figures(data: DataFolder) -> dict[str, float]:
    """With the writer in its process, as the bot has it."""
    figures = {}
    for start in ("start after a kill", "start"):
        if start == "start after a kill":
            data.journal.touch()  # is not as it was closed: a kill would show in SQLite's log

        began = _family_s()
        async with VoteStore.open(
            data.root, repository=REPOSITORY, keep_unvoted=KEEP_UNVOTED, commit_timeout_s=600
        ) as store:
            figures[start] = _family_s() - began
            began = time.process_time()
            await store.status()
            figures["status"] = time.process_time() - began
            began = time.process_time()
            await store.vote(image_id(1), VOTER + 1, random.choice(list(Rating)))
            figures["press"] = time.process_time() - began
            await store.settle(600)
            if start == "start":
                began = _family_s()
                await store.snapshot()
                figures["snapshot"] = _family_s() - began

    return figures


@contextmanager
def _opened(data: DataFolder) -> Iterator[tuple[JournalFile, Journal, ChildProcess[Writer]]]:
    """The journal, and the writer in its process."""
    with JournalFile.open(data.journal) as file:
        writer = start_writer(data, REPOSITORY, timeout_s=3600)
        with closing(writer):
            writer.wait_until_open()
            yield file, Journal(file.connection), writer


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
    parser.add_argument("--folder", type=Path, help="is kept; with votes in it, they are used")
    parser.add_argument("--journal-only", action="store_true")
    parser.add_argument("--check", action="store_true", help="exit status 1 above a bar")

    return parser.parse_args(arguments)


def main() -> None:
    """Measure and print."""
    run("million", parsed(), measure)


if __name__ == "__main__":
    main()
