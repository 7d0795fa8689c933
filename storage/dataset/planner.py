"""From what the journal says to what one commit changes. Pure."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from storage.dataset.changes import Pending, ShownRow, TrainRow
from storage.dataset.layout import (
    MADE_BY_COLUMNS,
    SHOWN,
    SHOWN_COLUMNS,
    TRAIN_COLUMNS,
    csv_file,
    guarded,
    image_path,
    shown_path,
    train_path,
)
from storage.dataset.repository import Changes
from storage.vote import Rating

_IDS_IN_A_MESSAGE = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One commit: what changes, which images leave the dataset, and what the history says."""

    upto_seq: int
    changes: Changes
    arriving: Sequence[str]
    leaving: Mapping[str, str]
    message: str


def plan(pending: Pending, *, spool_path: Callable[[str], Path]) -> Batch:
    """The commit that brings the dataset to `pending`.

    `arriving` are the ids of images that the dataset holds afterwards, `leaving` maps the ids of
    those it does not hold any more to where they were.
    """
    files: dict[str, bytes] = {}
    removals: list[str] = []

    for shard, rows in pending.train.items():
        if rows:
            files[train_path(shard)] = csv_file(TRAIN_COLUMNS, map(_train_cells, rows))
        else:
            # A file with a header alone has no types, and datasets would refuse the lot.
            removals.append(train_path(shard))

    for shard, shown in pending.shown.items():
        files[shown_path(shard)] = csv_file(SHOWN_COLUMNS, map(_shown_cells, shown))

    images: dict[str, Path] = {}
    arriving = []
    leaving = {}
    for image in pending.images:
        path = image_path(image.image_id, shard=image.image_shard)
        if image.needed and not image.elsewhere:
            images[path] = spool_path(image.image_id)
            arriving.append(image.image_id)
        elif not image.needed and not image.undecided:
            leaving[image.image_id] = path
            removals.append(path)

    return Batch(
        upto_seq=pending.upto_seq,
        changes=Changes(files=files, images=images, removals=tuple(removals)),
        arriving=tuple(arriving),
        leaving=leaving,
        message=_message(pending),
    )


def _train_cells(row: TrainRow) -> tuple[str, ...]:
    return (
        guarded(row.prompt),
        image_path(row.image_id, shard=row.image_shard),
        row.rating,
        str(row.voter_id),
        row.image_id,
        row.set_id,
        str(row.slot),
        row.voted_at,
        str(row.seed),
        guarded(row.provenance.get("model", "")),
        guarded(row.provenance.get("revision", "")),
    )


def _shown_cells(row: ShownRow) -> tuple[str, ...]:
    own = [guarded(row.provenance.get(column, "")) for column in MADE_BY_COLUMNS]
    versions = {key: value for key, value in row.provenance.items() if key not in MADE_BY_COLUMNS}

    return (
        row.image_id,
        row.set_id,
        str(row.slot),
        row.shown_at,
        guarded(row.prompt),
        guarded(row.negative_prompt),
        str(row.seed),
        str(row.steps),
        repr(float(row.guidance_scale)),
        str(row.width_px),
        str(row.height_px),
        *own,
        json.dumps(versions, sort_keys=True, ensure_ascii=False),
        row.sha256,
        # Always with a point, so that the column is of one type in every shard.
        "" if row.unsafe_score is None else f"{row.unsafe_score:.6f}",
        row.withheld or SHOWN,
    )


def _message(pending: Pending) -> str:
    """Counts and ids, never what somebody wrote."""
    votes = [
        row
        for rows in pending.train.values()
        for row in rows
        if pending.after_seq < row.seq <= pending.upto_seq
    ]
    made = [
        row
        for rows in pending.shown.values()
        for row in rows
        if pending.after_seq < row.seq <= pending.upto_seq
    ]
    withheld = sum(row.withheld is not None for row in made)
    shown = len(made) - withheld
    ratings = Counter(row.rating for row in votes)
    image_ids = sorted({row.image_id for row in votes})

    facts = []
    if votes:
        facts.append(
            f"{_count(len(votes), 'vote')}: {ratings[Rating.GOOD]} good, {ratings[Rating.BAD]} bad,"
            f" on {_count(len(image_ids), 'image')}"
        )

    if pending.undone:
        facts.append(f"{_count(pending.undone, 'vote')} undone")

    if shown:
        facts.append(f"{_count(shown, 'image')} shown")

    if withheld:
        facts.append(f"{_count(withheld, 'image')} withheld")

    subject = "; ".join(facts) or "nothing new"
    if not image_ids:
        return subject

    listed = " ".join(image_ids[:_IDS_IN_A_MESSAGE])
    rest = len(image_ids) - _IDS_IN_A_MESSAGE

    return f"{subject}\n\nimages: {listed}" + (f" and {rest} more" if rest > 0 else "")


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
