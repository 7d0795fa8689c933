"""The rows of an export, read one after the other: memory does not grow with the dataset."""

import hashlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from storage.dataset import columns
from storage.errors import ExportError
from storage.export.selection import Selection, Truth


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """An image that people voted on."""

    image_id: str
    file: Path
    sha256: str

    @property
    def name(self) -> str:
        """Where targets with files put it, in folders so that none gets very long."""
        return f"{self.file.parent.name}/{self.image_id}.png"

    def png(self) -> bytes:
        """The very bytes that people voted on. Raises an ExportError if they are others."""
        content = self.file.read_bytes()
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise ExportError.changed_image(self.file, image_id=self.image_id)

        return content


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two images of one set, in the order of their numbers, and which is better.

    of_prompt: how many pairs the prompt has.
    """

    split: str
    prompt: str
    set_id: str
    voter: str
    first: Picture
    second: Picture
    first_is_better: bool
    of_prompt: int

    @property
    def better(self) -> Picture:
        return self.first if self.first_is_better else self.second

    @property
    def worse(self) -> Picture:
        return self.second if self.first_is_better else self.first


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """The images of a set that one voter rated both ways. ranks: 1 for good, 2 for bad."""

    split: str
    prompt: str
    set_id: str
    voter: str
    pictures: Sequence[Picture]
    ranks: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rated:
    """An image and one rating of it."""

    split: str
    prompt: str
    picture: Picture
    good: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """An image with how it was made, and all votes on it. values: by column, as Python's values."""

    split: str
    prompt: str
    picture: Picture
    good: int
    bad: int
    values: Mapping[str, Any]


_MADE_BY = (
    *("set_id", "slot", "shown_at", "negative_prompt", *columns.REQUEST_NUMBERS),
    *(*columns.MADE_BY_COLUMNS, "versions", "unsafe_score"),
)


def pairs(selection: Selection) -> Iterator[Pair]:
    """All pairs, in the dataset's order."""
    rows = selection.collection.database.execute(
        """
        SELECT prompts.split AS split, text, pairs.set_id, voter, voter_id,
            of_prompt, good.slot < bad.slot AS first,
            good.image_id AS good_id, good.file AS good_file, good.sha256 AS good_sha256,
            bad.image_id AS bad_id, bad.file AS bad_file, bad.sha256 AS bad_sha256
        FROM pairs JOIN images AS good ON good.image = good JOIN images AS bad ON bad.image = bad
            JOIN prompts ON prompts.prompt = pairs.prompt LEFT JOIN voters USING (voter)
            JOIN (SELECT prompt, count(*) AS of_prompt FROM pairs GROUP BY prompt) AS counted
                ON counted.prompt = pairs.prompt
        ORDER BY pairs.rowid
        """
    )
    for row in rows:
        good, bad = _picture(row, "good_"), _picture(row, "bad_")
        yield Pair(
            split=row["split"],
            prompt=row["text"],
            set_id=row["set_id"],
            voter=_voter(row, selection),
            first=good if row["first"] else bad,
            second=bad if row["first"] else good,
            first_is_better=bool(row["first"]),
            of_prompt=row["of_prompt"],
        )


def rankings(selection: Selection) -> Iterator[Ranking]:
    """The images that are in pairs, set by set and voter by voter."""
    rows = selection.collection.database.execute(
        """
        WITH ranked AS (
            SELECT set_id, prompt, voter, good AS image, 1 AS rank FROM pairs
            UNION SELECT set_id, prompt, voter, bad, 2 FROM pairs)
        SELECT prompts.split AS split, text, ranked.set_id, voter, voter_id, rank,
            image_id AS id, file, sha256
        FROM ranked JOIN images USING (image) JOIN prompts ON prompts.prompt = ranked.prompt
            LEFT JOIN voters USING (voter)
        ORDER BY ranked.set_id, voter, rank, slot
        """
    )
    for _, group in groupby(rows, lambda row: (row["set_id"], row["voter"])):
        ranked = list(group)
        yield Ranking(
            split=ranked[0]["split"],
            prompt=ranked[0]["text"],
            set_id=ranked[0]["set_id"],
            voter=_voter(ranked[0], selection),
            pictures=[_picture(row, "") for row in ranked],
            ranks=[row["rank"] for row in ranked],
        )


def ratings(selection: Selection) -> Iterator[Rated]:
    """All votes, or all images with the ratings of the estimate, in the dataset's order."""
    what = (
        "good FROM votes JOIN images USING (image) JOIN prompts USING (prompt)"
        " WHERE fate IS NULL ORDER BY vote"
        if selection.options.pairs is Truth.VOTER
        else "label = 'good' AS good FROM images JOIN prompts USING (prompt)"
        " WHERE image IN (SELECT image FROM votes WHERE fate IS NULL) ORDER BY image"
    )
    rows = selection.collection.database.execute(
        f"SELECT split, text, image_id AS id, file, sha256, {what}"
    )
    for row in rows:
        yield Rated(
            split=row["split"],
            prompt=row["text"],
            picture=_picture(row, ""),
            good=bool(row["good"]),
        )


def joined(selection: Selection) -> Iterator[Joined]:
    """All images with votes, in the dataset's order, with the votes in theirs."""
    database = selection.collection.database
    images = database.execute(
        "SELECT *, image_id AS id FROM images JOIN prompts USING (prompt)"
        " WHERE image IN (SELECT image FROM votes WHERE fate IS NULL) ORDER BY image"
    )
    votes = database.execute(
        "SELECT image, voter, voter_id, good, voted_at, server, own_request, shown_in, seconds,"
        " consent, reasons, gold, exposures, repeat FROM votes JOIN voters USING (voter)"
        " WHERE fate IS NULL"
        " ORDER BY image, vote"
    )
    for row, (_, group) in zip(images, groupby(votes, lambda vote: vote["image"]), strict=True):
        of_image = list(group)
        cast = [_vote(vote, selection) for vote in of_image]
        good = sum(vote["rating"] == "good" for vote in cast)
        yield Joined(
            split=row["split"],
            prompt=row["text"],
            picture=_picture(row, ""),
            good=good,
            bad=len(cast) - good,
            values={
                "image_id": row["id"],
                "prompt": row["text"],
                **{name: row[name] for name in _MADE_BY},
                "sha256": row["sha256"],
                "good": good,
                "bad": len(cast) - good,
                "label": row["label"],
                "certainty": row["certainty"],
                "gold": of_image[0]["gold"],
                "exposures": sum(vote["exposures"] for vote in cast),
                "votes": cast,
            },
        )


def _vote(row: sqlite3.Row, selection: Selection) -> dict[str, Any]:
    return {
        "voter": _voter(row, selection),
        "rating": "good" if row["good"] else "bad",
        "voted_at": row["voted_at"],
        "server": row["server"],
        "own_request": None if row["own_request"] is None else bool(row["own_request"]),
        "shown_in": row["shown_in"],
        "seconds": row["seconds"],
        "consent": row["consent"],
        "reasons": row["reasons"].split(";") if row["reasons"] else [],
        "exposures": row["exposures"],
        "repeat": row["repeat"],
    }


def _voter(row: sqlite3.Row, selection: Selection) -> str:
    """A number that says nothing of the person, unless ids were asked for."""
    if row["voter"] is None:
        return "all"

    return str(row["voter_id"]) if selection.options.raw_ids else f"voter-{row['voter']}"


def _picture(row: sqlite3.Row, which: str) -> Picture:
    return Picture(
        image_id=row[f"{which}id"], file=Path(row[f"{which}file"]), sha256=row[f"{which}sha256"]
    )
