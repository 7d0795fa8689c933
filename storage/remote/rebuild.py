"""Makes a journal continue a dataset that was fetched from the remote, or whose journal is lost.

The dataset is a function of the journal; this is its inverse, as far as there is one. What the
dataset does not say (who asked, in which channel, votes that were undone) stays unknown.
"""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from storage.clock import timestamp
from storage.dataset.columns import (
    closed_at,
    consent,
    gold,
    made_by,
    own_request,
    reasons,
    repeat,
    request_of,
    rule,
    seconds,
    server,
    unsafe_score,
    withheld,
)
from storage.dataset.layout import unguarded
from storage.journal.queries import Journal
from storage.remote.repository import Fetched
from storage.remote.tables import TableRow, read_tables
from storage.vote import SetState, ShownIn, ShownKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopted:
    """How much the fetched dataset holds. newest_vote_at: as `timestamp` writes it."""

    votes: int
    images: int
    shown: int
    newest_vote_at: str | None


def adopt(
    journal: Journal,
    dataset: Path,
    *,
    journal_id: str,
    fetched: Fetched,
    spooled: Collection[str],
    now: datetime,
) -> Adopted:
    """Fill an empty journal from the `train`, `arena` and `generations` files below `dataset`.

    Images with a vote that are not there become `remote_only` (only the remote has the bytes).
    Images without a vote that are not `spooled` are removed. Runs inside a transaction of the
    caller's. Raises RecordError for tables that oxherd did not write.
    """
    connection, shard_sizes = journal.connection, journal.shard_sizes
    tables = read_tables(dataset, shard_sizes)
    paths = {vote.cells["image_id"]: vote.cells["path"] for vote in tables.votes}
    judged = [vote for vote in tables.judged if closed_at(vote.cells) is not None]
    lost = [vote for vote in tables.judged if closed_at(vote.cells) is None]
    paired = {
        Path(vote.cells[side]).stem: vote.cells[side]
        for vote in judged
        for side in ("left", "right")
    }
    paths |= paired

    _add_sets(connection, [shown.cells for shown in tables.shown])
    removed_at = timestamp(now)
    seq = 0
    for shown in tables.shown:
        row = shown.cells
        seq += 1
        path = paths.get(row["image_id"])
        withheld_by = withheld(row)
        connection.execute(
            "INSERT INTO images (image_id, set_id, slot, seed, sha256, made_at,"
            " image_shard, shown_row, shown_shard, seq, removed_at, remote_only, unsafe_score,"
            " withheld, paired) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                row["image_id"],
                row["set_id"],
                int(row["slot"]),
                int(row["seed"]),
                row["sha256"],
                row["shown_at"],
                None if path is None else _image_shard(path),
                shown.shard * shard_sizes.shown_rows + shown.place,
                shown.shard,
                seq,
                None if path or withheld_by or row["image_id"] in spooled else removed_at,
                path is not None and not (dataset / path).exists(),
                unsafe_score(row),
                withheld_by,
                row["image_id"] in paired,
            ),
        )

    connection.execute("UPDATE images SET unvoted_since = made_at WHERE image_shard IS NULL")
    for vote in tables.votes:
        row = vote.cells
        seq += 1
        connection.execute(
            "INSERT INTO votes (image_id, voter_id, rating, voted_at, train_row, train_shard, seq,"
            " own_request, shown_in, seconds, consent, reasons)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                row["image_id"],
                int(row["voter_id"]),
                row["rating"],
                row["voted_at"],
                vote.shard * shard_sizes.train_rows + vote.place,
                vote.shard,
                seq,
                own_request(row),
                row["shown_in"],
                seconds(row),
                consent(row),
                json.dumps(reasons(row)),
            ),
        )
        journal.people.add(int(row["voter_id"]))
        _add_exposures(connection, row)
        connection.execute(
            "UPDATE sets SET server = ? WHERE set_id = ?", (server(row), row["set_id"])
        )

    seq = _add_arenas(journal, judged, after_seq=seq)
    # No number of a change is given twice: commits name them.
    seq = max(seq, fetched.newest_seq)
    _take_out(journal, lost, seq=seq + 1, now=now)
    # Images of this host get folders of their own: the other host's folders are not complete here.
    folders = [*paths.values(), *(vote.cells[side] for vote in lost for side in ("left", "right"))]
    image_shards = 1 + max(map(_image_shard, folders), default=-1)
    _set_counters(
        connection,
        seq=seq + bool(lost),
        train_row=_next_row(tables.votes, shard_sizes.train_rows),
        shown_row=_next_row(tables.shown, shard_sizes.shown_rows),
        arena_row=_next_row(tables.judged, shard_sizes.train_rows),
        image=image_shards * shard_sizes.images,
    )
    journal.follow(journal_id)
    connection.execute(
        "UPDATE watermark SET committed_seq = ?, commits = ?, commit_id = ?, committed_at = ?",
        (seq, fetched.commits, fetched.commit_id, timestamp(now)),
    )

    _mark_taken_over(journal, fetched, now=now)

    return Adopted(
        votes=len(tables.votes),
        images=len(paths),
        shown=len(tables.shown),
        newest_vote_at=max((vote.cells["voted_at"] for vote in tables.votes), default=None),
    )


def recover(journal: Journal, dataset: Path, *, fetched: Fetched, now: datetime) -> None:
    """Make a journal whose dataset is gone continue the fetched one, which it wrote earlier.

    Images in the fetched dataset become `remote_only`. All changes are committed again from the
    first one. Runs inside a transaction of the caller's. Raises RecordError for tables that oxherd
    did not write.
    """
    connection = journal.connection
    tables = read_tables(dataset, journal.shard_sizes)
    there = {vote.cells["image_id"] for vote in tables.votes}
    for vote in tables.judged:
        there |= {Path(vote.cells[side]).stem for side in ("left", "right")}

    connection.execute(
        "UPDATE images SET remote_only = 1 WHERE image_id IN (SELECT value FROM json_each(?))",
        (json.dumps(sorted(there)),),
    )
    connection.execute(
        "UPDATE watermark SET committed_seq = 0, commits = ?, commit_id = ?",
        (fetched.commits, fetched.commit_id),
    )

    _mark_taken_over(journal, fetched, now=now)


def _mark_taken_over(journal: Journal, fetched: Fetched, *, now: datetime) -> None:
    journal.remote.mark_taken_over(
        fetched.branch, commits=fetched.commits, commit_id=fetched.commit_id, now=now
    )


def _add_sets(connection: sqlite3.Connection, shown: Sequence[Mapping[str, str]]) -> None:
    by_set: defaultdict[str, list[Mapping[str, str]]] = defaultdict(list)
    for row in shown:
        by_set[row["set_id"]].append(row)

    for set_id, rows in by_set.items():
        first = rows[0]
        connection.execute(
            "INSERT INTO sets (set_id, state, requester_id, guild_id, channel_id, interaction_id,"
            " request, provenance, created_at, posted_at)"
            " VALUES (?, ?, 0, NULL, 0, 0, ?, ?, ?, ?)",
            (
                set_id,
                SetState.POSTED,
                json.dumps(request_of(rows)),
                json.dumps(made_by(first), sort_keys=True),
                first["shown_at"],
                first["shown_at"],
            ),
        )


def _add_arenas(journal: Journal, judged: Sequence[TableRow], *, after_seq: int) -> int:
    """Add the arenas that are closed, with their pairs and votes; the last number of a change."""
    connection, seq = journal.connection, after_seq
    numbers: defaultdict[str, dict[str, int]] = defaultdict(dict)
    compared: defaultdict[str, set[str]] = defaultdict(set)
    for vote in judged:
        row, seq = vote.cells, seq + 1
        of_pairs, of_votes, stopped = rule(row)
        models = [unguarded(row["model_left"]), unguarded(row["model_right"])]
        sets = [
            connection.execute(
                "SELECT set_id FROM images WHERE image_id = ?", (Path(row[side]).stem,)
            ).fetchone()[0]
            for side in ("left", "right")
        ]
        connection.execute(
            "INSERT OR IGNORE INTO arenas (arena_id, channel_id, models, plan, asks, pairs, votes,"
            " opened_at, closed_at, stopped, result_id)"
            " VALUES (?, 0, '[]', '{}', 0, ?, ?, ?, ?, ?, 0)",
            (
                row["arena_id"],
                of_pairs,
                of_votes,
                row["closed_at"],
                row["closed_at"],
                stopped,
            ),
        )
        compared[row["arena_id"]].update(models)
        of_arena = numbers[row["arena_id"]]
        connection.execute(
            "INSERT OR IGNORE INTO arena_pairs (pair_id, arena_id, number, left_set, right_set,"
            " left_model, right_model, asker_id) VALUES (?, ?, ?, ?, ?, ?, ?, 0)",
            (
                row["pair_id"],
                row["arena_id"],
                of_arena.setdefault(row["pair_id"], len(of_arena)),
                *sets,
                *models,
            ),
        )
        connection.execute(
            "INSERT INTO arena_votes (pair_id, voter_id, choice, voted_at, arena_row, arena_shard,"
            " seq, shown_in, seconds, consent) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                row["pair_id"],
                int(row["voter_id"]),
                row["choice"],
                row["voted_at"],
                vote.shard * journal.shard_sizes.train_rows + vote.place,
                vote.shard,
                seq,
                row["shown_in"],
                seconds(row),
                consent(row),
            ),
        )
        journal.people.add(int(row["voter_id"]))
        connection.execute(
            "UPDATE sets SET state = 'arena', server = ? WHERE set_id IN (?, ?)",
            (server(row), *sets),
        )

    connection.executemany(
        "UPDATE arenas SET models = ? WHERE arena_id = ?",
        [(json.dumps(sorted(models)), arena_id) for arena_id, models in compared.items()],
    )

    return seq


def _take_out(journal: Journal, lost: Sequence[TableRow], *, seq: int, now: datetime) -> None:
    """Have the next commit take out the votes of arenas that were open when the host was lost, with
    their images: nobody knows which model made which. As after forgetting, rows are left that say
    which files change."""
    connection = journal.connection
    for vote in lost:
        row = vote.cells
        sets = [f"{row['pair_id']}-{side}" for side in ("left", "right")]
        for set_id, side in zip(sets, ("left", "right"), strict=True):
            connection.execute(
                "INSERT OR IGNORE INTO sets (set_id, state, requester_id, channel_id,"
                " interaction_id, request, created_at) VALUES (?, ?, 0, 0, 0, '{}', '')",
                (set_id, SetState.FORGOTTEN),
            )
            connection.execute(
                "INSERT OR IGNORE INTO images (image_id, set_id, slot, seed, sha256, made_at,"
                " image_shard, removed_at, erased, paired) VALUES (?, ?, 1, 0, '', '', ?, ?, 1, 1)",
                (Path(row[side]).stem, set_id, _image_shard(row[side]), timestamp(now)),
            )

        connection.execute(
            "INSERT OR IGNORE INTO arenas (arena_id, channel_id, models, plan, asks, pairs, votes,"
            " opened_at, closed_at, result_id) VALUES (?, 0, '[]', '{}', 0, 0, 0, ?, ?, 0)",
            (row["arena_id"], row["voted_at"], timestamp(now)),
        )
        connection.execute(
            "INSERT OR IGNORE INTO arena_pairs (pair_id, arena_id, number, left_set, right_set,"
            " left_model, right_model, asker_id, left_out)"
            " SELECT ?, ?, count(*), ?, ?, '', '', 0, 1 FROM arena_pairs WHERE arena_id = ?",
            (row["pair_id"], row["arena_id"], *sets, row["arena_id"]),
        )
        number = vote.shard * journal.shard_sizes.train_rows + vote.place
        connection.execute(
            "INSERT INTO arena_votes (pair_id, voter_id, voted_at, arena_row, arena_shard, seq,"
            " shown_in) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                row["pair_id"],
                -1 - number,
                timestamp(now),
                number,
                vote.shard,
                seq,
                ShownIn.POST,
            ),
        )


def _add_exposures(connection: sqlite3.Connection, row: Mapping[str, str]) -> None:
    """What the voter was shown under /rate, as far as the row says it; and whether it is gold."""
    again = repeat(row)
    answers = [row["rating"], *([] if again is None else [again])][: int(row["exposures"])]
    for answer, kind in zip(answers, (ShownKind.NORMAL, ShownKind.REPEAT), strict=False):
        connection.execute(
            "INSERT INTO exposures (image_id, rater_id, kind, shown_at, answer, offered)"
            " VALUES (?, ?, ?, ?, ?, 0)",
            (row["image_id"], int(row["voter_id"]), kind, row["voted_at"], answer),
        )

    connection.execute(
        "UPDATE images SET gold = ? WHERE image_id = ?", (gold(row), row["image_id"])
    )


def _set_counters(connection: sqlite3.Connection, **values: int) -> None:
    for name, value in values.items():
        connection.execute("UPDATE counters SET value = ? WHERE name = ?", (value, name))


def _next_row(rows: Sequence[TableRow], shard_rows: int) -> int:
    return 1 + max((row.shard * shard_rows + row.place for row in rows), default=-1)


def _image_shard(path: str) -> int:
    """The number of the folder in `images/002/00042/<image_id>.png`."""
    return int(Path(path).parent.name)
