"""Reads the changes to commit next from the journal, in the writer process.

The writer has its own read-only connection; one read transaction sees one state.
"""

import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

BATCH_CHANGES = 512

# How long a commit takes goes with the files of `train` and `generations` that it changes: at a
# million votes 0.2 s of processor time, and 0.05 to 0.13 s for each file. New votes are side by
# side in one file, but changed minds are anywhere. A batch of 512 of those would take longer than
# the writer's time limit on a busy machine, again and again.
BATCH_SHARDS = 6

# Each vote under /rate is on a different image. Oxen takes in a new image within milliseconds, but
# a batch of 512 took longer than the writer's time limit on a machine with a load of 17.
BATCH_IMAGES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainRow:
    """A vote, with everything in its row of `train`. voter_id: what the dataset says of who voted,
    by the setting. gold: the right rating. exposures: how often /rate showed them the image, and
    they answered. repeat: what they answered when it was shown again. None: not known; of consent,
    not asked; of gold and repeat, that it is none.
    """

    seq: int
    image_id: str
    image_shard: int
    set_id: str
    slot: int
    seed: int
    request: Mapping[str, Any]
    rating: str
    voter_id: int
    voted_at: str
    provenance: Mapping[str, str]
    server: str | None
    own_request: int | None
    shown_in: str
    seconds: float | None
    consent: int | None
    reasons: Sequence[str]
    gold: str | None
    exposures: int
    repeat: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArenaRow:
    """A vote on a pair of an arena, with everything in its row of `arena`. closed_at: None while
    the arena is open, and then the row does not say which model made which image. pairs, votes: the
    arena's rule; stopped: whether it ended before. The rest as in a TrainRow.
    """

    seq: int
    arena_id: str
    pair_id: str
    request: Mapping[str, Any]
    left_image: str
    left_shard: int
    right_image: str
    right_shard: int
    choice: str
    voter_id: int
    voted_at: str
    server: str | None
    shown_in: str
    seconds: float | None
    consent: int | None
    left_model: str
    right_model: str
    pairs: int
    votes: int
    closed_at: str | None
    stopped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownRow:
    """An image of a set that was posted, with everything in its row of `generations`."""

    seq: int
    image_id: str
    set_id: str
    slot: int
    seed: int
    sha256: str
    shown_at: str
    request: Mapping[str, Any]
    unsafe_score: float | None
    withheld: str | None
    provenance: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class TouchedImage:
    """An image with a changed vote in one of the batch's shards.

    needed: after this batch, a row in the dataset refers to it. undecided: a row in a shard that a
    later batch rewrites may refer to it, so the image stays as it is. remote_only: the image is in
    the dataset, but its bytes are only on the remote. erased: its bytes are to be kept nowhere.
    """

    image_id: str
    image_shard: int
    sha256: str
    needed: bool
    undecided: bool
    remote_only: bool
    erased: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """The changes of one batch, and all rows of the shards that they touch, except those of images
    that are known to be missing: in `train`, `arena` and `generations`.

    undone, set_aside, forgotten: how many of the changes take a vote out. removed: how many images
    moderators removed. acts: what they did.
    """

    after_seq: int
    upto_seq: int
    train: Mapping[int, Sequence[TrainRow]]
    arena: Mapping[int, Sequence[ArenaRow]]
    shown: Mapping[int, Sequence[ShownRow]]
    images: Sequence[TouchedImage]
    undone: int
    set_aside: int
    removed: int
    forgotten: int
    acts: Sequence[str]

    def without(self, image_ids: Collection[str]) -> "Pending":
        """The same changes without these images and the votes that refer to them."""
        return replace(
            self,
            train={
                shard: [row for row in rows if row.image_id not in image_ids]
                for shard, rows in self.train.items()
            },
            arena={
                shard: [
                    row
                    for row in rows
                    if row.left_image not in image_ids and row.right_image not in image_ids
                ]
                for shard, rows in self.arena.items()
            },
            images=[image for image in self.images if image.image_id not in image_ids],
        )


@contextmanager
def open_for_reading(path: Path) -> Iterator[sqlite3.Connection]:
    """The journal, for a process that does not own it."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        connection.isolation_level = None
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA busy_timeout = 5000")
        yield connection
    finally:
        connection.close()


def read_pending(
    connection: sqlite3.Connection,
    *,
    after_seq: int,
    limit: int = BATCH_CHANGES,
    shards: int = BATCH_SHARDS,
    images: int = BATCH_IMAGES,
) -> Pending | None:
    """The next batch of at most `limit` changes in at most `shards` files, with votes on at most
    `images` images, after `after_seq`, or None.

    More only where one act of a moderator changes more: all of it is in one batch.
    """
    connection.execute("BEGIN")
    try:
        upto_seq = _end_of_batch(
            connection, after_seq=after_seq, limit=limit, shards=shards, images=images
        )
        if upto_seq is None:
            return None

        return _read_pending(connection, after_seq=after_seq, upto_seq=upto_seq)
    finally:
        connection.execute("ROLLBACK")


def _end_of_batch(
    connection: sqlite3.Connection, *, after_seq: int, limit: int, shards: int, images: int
) -> int | None:
    changes = connection.execute(
        """
        SELECT * FROM (
            SELECT seq, 'train', train_shard, image_id FROM votes WHERE seq > :after
            ORDER BY seq LIMIT :limit)
        UNION ALL
        SELECT * FROM (
            SELECT seq, 'arena', arena_shard, pair_id FROM arena_votes WHERE seq > :after
            ORDER BY seq LIMIT :limit)
        UNION ALL
        SELECT * FROM (
            SELECT seq, 'generations', shown_shard, NULL FROM images WHERE seq > :after
            ORDER BY seq LIMIT :limit)
        ORDER BY seq LIMIT :limit
        """,
        {"after": after_seq, "limit": limit},
    )
    upto_seq = None
    touched, voted = set(), set()
    for seq, table, shard, image_id in changes:
        touched.add((table, shard))
        voted |= {image_id} - {None}
        is_full = len(touched) > shards or len(voted) > images
        if is_full and upto_seq not in (None, seq):
            break

        upto_seq = seq

    return upto_seq


def _read_pending(connection: sqlite3.Connection, *, after_seq: int, upto_seq: int) -> Pending:
    changed = {"after": after_seq, "upto": upto_seq}
    undone, set_aside, forgotten = connection.execute(
        """
        SELECT count(*) FILTER (WHERE given IS NULL AND voter_id >= 0),
            count(*) FILTER (WHERE given IS NOT NULL AND counted IS NULL),
            count(*) FILTER (WHERE voter_id < 0)
        FROM (
            SELECT seq, voter_id, rating AS given, counted FROM votes
            UNION ALL SELECT seq, voter_id, choice, counted FROM arena_votes)
        WHERE seq > :after AND seq <= :upto
        """,
        changed,
    ).fetchone()
    (removed,) = connection.execute(
        "SELECT count(*) FROM images WHERE seq > :after AND seq <= :upto AND taken_out IS NOT NULL",
        changed,
    ).fetchone()
    acts = connection.execute(
        "SELECT kind FROM acts WHERE seq > :after AND seq <= :upto ORDER BY seq", changed
    )
    train_shards = _numbers(
        connection,
        "SELECT DISTINCT train_shard FROM votes WHERE seq > :after AND seq <= :upto",
        changed,
    )
    arena_shards = _numbers(
        connection,
        "SELECT DISTINCT arena_shard FROM arena_votes WHERE seq > :after AND seq <= :upto",
        changed,
    )
    shown_shards = _numbers(
        connection,
        "SELECT DISTINCT shown_shard FROM images"
        " WHERE seq > :after AND seq <= :upto AND shown_shard IS NOT NULL",
        changed,
    )

    return Pending(
        after_seq=after_seq,
        upto_seq=upto_seq,
        train={shard: _train_rows(connection, shard) for shard in train_shards},
        arena={shard: _arena_rows(connection, shard) for shard in arena_shards},
        shown={shard: _shown_rows(connection, shard) for shard in shown_shards},
        images=[
            *_touched_images(connection, train_shards, after_seq=after_seq),
            *_touched_pairs(connection, arena_shards, after_seq=after_seq),
        ],
        undone=undone,
        set_aside=set_aside,
        removed=removed,
        forgotten=forgotten,
        acts=[kind for (kind,) in acts],
    )


def _numbers(connection: sqlite3.Connection, sql: str, values: Mapping[str, Any]) -> list[int]:
    return sorted(number for (number,) in connection.execute(sql, values))


def _train_rows(connection: sqlite3.Connection, shard: int) -> list[TrainRow]:
    rows = connection.execute(
        """
        SELECT votes.seq, image_id, image_shard, set_id, slot, seed, request, rating,
            CASE (SELECT voter_ids FROM privacy)
                WHEN 'pseudonym' THEN coalesce(pseudonym, voter_id) ELSE voter_id END AS voter_id,
            voted_at, coalesce(provenance, '{}') AS provenance, server, own_request, shown_in,
            seconds, consent, reasons, gold,
            (SELECT count(*) FROM exposures
                WHERE rater_id = votes.voter_id AND exposures.image_id = votes.image_id
                    AND answer IS NOT NULL AND answer != 'lost') AS exposures,
            (SELECT answer FROM exposures
                WHERE rater_id = votes.voter_id AND exposures.image_id = votes.image_id
                    AND kind = 'repeat') AS repeat
        FROM votes JOIN images USING (image_id) JOIN sets USING (set_id)
            LEFT JOIN people ON user_id = voter_id
        WHERE train_shard = ? AND counted IS NOT NULL AND missing_since IS NULL
            AND taken_out IS NULL
        ORDER BY train_row
        """,
        (shard,),
    )

    return [TrainRow(**_values(row)) for row in rows]


def _arena_rows(connection: sqlite3.Connection, shard: int) -> list[ArenaRow]:
    rows = connection.execute(
        """
        SELECT arena_votes.seq, arena_id, pair_id, request, left_image, left_shard, right_image,
            right_shard, counted AS choice,
            CASE (SELECT voter_ids FROM privacy)
                WHEN 'pseudonym' THEN coalesce(pseudonym, voter_id) ELSE voter_id END AS voter_id,
            voted_at, server, shown_in, seconds, consent, left_model, right_model, arenas.pairs,
            arenas.votes, closed_at, stopped
        FROM arena_votes JOIN shown_pairs USING (pair_id) JOIN arenas USING (arena_id)
            LEFT JOIN people ON user_id = voter_id
        WHERE arena_shard = ? AND counted IS NOT NULL
        ORDER BY arena_row
        """,
        (shard,),
    )

    return [ArenaRow(**_values(row)) for row in rows]


def _shown_rows(connection: sqlite3.Connection, shard: int) -> list[ShownRow]:
    rows = connection.execute(
        """
        SELECT seq, image_id, set_id, slot, seed, sha256, posted_at AS shown_at, request,
            unsafe_score, withheld, coalesce(provenance, '{}') AS provenance
        FROM images JOIN sets USING (set_id)
        WHERE shown_shard = ? AND taken_out IS NULL AND NOT erased
        ORDER BY shown_row
        """,
        (shard,),
    )

    return [ShownRow(**_values(row)) for row in rows]


def _touched_images(
    connection: sqlite3.Connection, shards: Sequence[int], *, after_seq: int
) -> list[TouchedImage]:
    rows = connection.execute(
        """
        WITH batch AS (SELECT value AS shard FROM json_each(:shards)),
        touched AS (
            SELECT DISTINCT image_id FROM votes
            WHERE seq > :after AND train_shard IN (SELECT shard FROM batch))
        SELECT image_id, image_shard, sha256, remote_only, erased,
            max(kept AND (seq <= :after OR in_batch)) AS needed,
            max(seq > :after AND NOT in_batch) AS undecided
        FROM (
            SELECT votes.image_id, image_shard, sha256, remote_only, erased, votes.seq,
                -- What only the remote has could not come back, so it stays for votes set aside.
                taken_out IS NULL AND iif(remote_only, rating, counted) IS NOT NULL AS kept,
                votes.train_shard IN (SELECT shard FROM batch) AS in_batch
            FROM touched JOIN votes USING (image_id) JOIN images USING (image_id)
            WHERE missing_since IS NULL)
        GROUP BY image_id ORDER BY image_shard, image_id
        """,
        {"shards": json.dumps(shards), "after": after_seq},
    )

    return list(map(_touched, rows))


def _touched_pairs(
    connection: sqlite3.Connection, shards: Sequence[int], *, after_seq: int
) -> list[TouchedImage]:
    """The same of both images of each pair: each is needed as long as a vote on the pair counts."""
    rows = connection.execute(
        """
        WITH batch AS (SELECT value AS shard FROM json_each(:shards)),
        touched AS (
            SELECT DISTINCT pair_id FROM arena_votes
            WHERE seq > :after AND arena_shard IN (SELECT shard FROM batch))
        SELECT image_id, image_shard, sha256, remote_only, erased,
            max(kept AND (seq <= :after OR in_batch)) AS needed,
            max(seq > :after AND NOT in_batch) AS undecided
        FROM (
            SELECT image_id, image_shard, sha256, remote_only, erased, arena_votes.seq,
                shown_pairs.pair_id IS NOT NULL
                    AND iif(remote_only, choice, counted) IS NOT NULL AS kept,
                arena_shard IN (SELECT shard FROM batch) AS in_batch
            FROM touched JOIN arena_votes USING (pair_id) JOIN arena_pairs USING (pair_id)
                JOIN images ON images.set_id IN (arena_pairs.left_set, arena_pairs.right_set)
                LEFT JOIN shown_pairs ON shown_pairs.pair_id = touched.pair_id
            WHERE missing_since IS NULL)
        GROUP BY image_id ORDER BY image_shard, image_id
        """,
        {"shards": json.dumps(shards), "after": after_seq},
    )

    return list(map(_touched, rows))


def _touched(row: sqlite3.Row) -> TouchedImage:
    return TouchedImage(
        image_id=row["image_id"],
        image_shard=row["image_shard"],
        sha256=row["sha256"],
        needed=bool(row["needed"]),
        undecided=bool(row["undecided"]),
        remote_only=bool(row["remote_only"]),
        erased=bool(row["erased"]),
    )


def _values(row: sqlite3.Row) -> dict[str, Any]:
    values = dict(row)
    for name in {"request", "provenance", "reasons"} & values.keys():
        values[name] = json.loads(values[name])

    return values
