"""Plans a commit: which files and images change, and its message. Pure."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from storage.dataset.changes import Pending
from storage.dataset.columns import (
    ARENA_COLUMNS,
    SHOWN_COLUMNS,
    TRAIN_COLUMNS,
    arena_cells,
    shown_cells,
    train_cells,
)
from storage.dataset.layout import (
    SNAPSHOT,
    arena_path,
    csv_file,
    image_path,
    shown_path,
    train_path,
)
from storage.dataset.repository import Changes
from storage.plurals import count
from storage.vote import Rating

_IDS_IN_A_MESSAGE = 32
_NEWEST_CHANGE = re.compile(r"^changes up to ([0-9]+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One commit.

    arriving: the ids of images that the dataset holds afterwards. leaving: the paths of images that
    it does not hold any more and whose bytes are to be kept, by id.
    """

    upto_seq: int
    changes: Changes
    arriving: Sequence[str]
    leaving: Mapping[str, str]
    message: str


def plan(pending: Pending, *, spool_path: Callable[[str], Path]) -> Batch:
    """The commit that makes the pending changes."""
    files: dict[str, bytes] = {}
    removals: list[str] = []

    for shard, rows in pending.train.items():
        if rows:
            files[train_path(shard)] = csv_file(TRAIN_COLUMNS, map(train_cells, rows))
        else:
            # A file with only a header has no types, and `datasets` would refuse all files.
            removals.append(train_path(shard))

    for shard, judged in pending.arena.items():
        if judged:
            files[arena_path(shard)] = csv_file(ARENA_COLUMNS, map(arena_cells, judged))
        else:
            removals.append(arena_path(shard))

    for shard, shown in pending.shown.items():
        if shown:
            files[shown_path(shard)] = csv_file(SHOWN_COLUMNS, map(shown_cells, shown))
        else:
            removals.append(shown_path(shard))

    images: dict[str, Path] = {}
    arriving = []
    leaving = {}
    for image in pending.images:
        path = image_path(image.image_id, shard=image.image_shard)
        if image.needed and not image.remote_only:
            images[path] = spool_path(image.image_id)
            arriving.append(image.image_id)
        elif not image.needed and not image.undecided:
            removals.append(path)
            if not image.erased:
                leaving[image.image_id] = path

    if pending.forgotten:
        removals.append(SNAPSHOT)  # it has them still, and takes long to write

    return Batch(
        upto_seq=pending.upto_seq,
        changes=Changes(files=files, images=images, removals=tuple(removals)),
        arriving=tuple(arriving),
        leaving=leaving,
        message=_message(pending),
    )


def newest_change(messages: Iterable[str]) -> int:
    """The number of the newest change of the journal that commits with these messages hold; 0 if
    they name none."""
    named = (_NEWEST_CHANGE.search(message) for message in messages)

    return max((int(match[1]) for match in named if match), default=0)


def _message(pending: Pending) -> str:
    """Counts and ids, never a prompt: the history cannot be edited."""
    votes = [
        row
        for rows in pending.train.values()
        for row in rows
        if pending.after_seq < row.seq <= pending.upto_seq
    ]
    judged = [
        row
        for rows in pending.arena.values()
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

    facts = [f"{number} {kind}" for kind, number in Counter(pending.acts).items()]
    if votes:
        facts.append(
            f"{count(len(votes), 'vote')}: {ratings[Rating.GOOD]} good, {ratings[Rating.BAD]} bad,"
            f" on {count(len(image_ids), 'image')}"
        )

    if judged:
        pairs = len({row.pair_id for row in judged})
        facts.append(
            f"{count(len(judged), 'vote')} on {count(pairs, 'pair')} of "
            f"{count(len({row.arena_id for row in judged}), 'arena')}"
        )

    if pending.undone:
        facts.append(f"{count(pending.undone, 'vote')} undone")

    if pending.set_aside:
        facts.append(f"{count(pending.set_aside, 'vote')} set aside")

    if pending.removed:
        facts.append(f"{count(pending.removed, 'image')} removed")

    if pending.forgotten:
        facts.append(f"{count(pending.forgotten, 'vote')} forgotten")

    if shown:
        facts.append(f"{count(shown, 'image')} shown")

    if withheld:
        facts.append(f"{count(withheld, 'image')} withheld")

    subject = "; ".join(facts) or "nothing new"
    lines = [f"changes up to {pending.upto_seq}"]
    if image_ids:
        listed = " ".join(image_ids[:_IDS_IN_A_MESSAGE])
        rest = len(image_ids) - _IDS_IN_A_MESSAGE
        lines.insert(0, f"images: {listed}" + (f" and {rest} more" if rest > 0 else ""))

    return "\n".join([subject, "", *lines])
