"""What the pages show: images with their votes, prompt by prompt. Read row by row."""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from storage.reading.collection import Collection


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """An image on a page. file: None if this copy of the dataset does not have it, as of images
    that nobody voted on; these have no label either."""

    image_id: str
    prompt: str
    page: int
    slot: int
    model: str
    file: Path | None
    good: int
    bad: int
    label: str | None
    certainty: float

    @property
    def thumbnail(self) -> str:
        """Where its small picture is, from the report's folder."""
        return f"thumbnails/{self.image_id[-2:].lower()}/{self.image_id}.jpg"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A prompt, its page's number, and how many images and votes it has."""

    page: int
    text: str
    images: int
    votes: int


_IMAGES = """
    SELECT image_id, text, prompt, slot, model, path, label, coalesce(certainty, 0) AS certainty,
        coalesce(good, 0) AS good, coalesce(bad, 0) AS bad
    FROM images JOIN prompts USING (prompt) LEFT JOIN counts USING (image)
"""


def prepare(collection: Collection) -> None:
    """Count the votes of each image, once."""
    collection.database.executescript(
        """
        CREATE TABLE counts AS
            SELECT image, sum(good) AS good, count(*) - sum(good) AS bad
            FROM votes GROUP BY image ORDER BY image;
        CREATE UNIQUE INDEX counts_by_image ON counts (image);
        CREATE INDEX images_by_prompt ON images (prompt, set_id, slot);
        """
    )


def newest(collection: Collection) -> Iterator[Shown]:
    """All images with votes, the newest first."""
    return _shown(collection, "WHERE path IS NOT NULL ORDER BY shown_at DESC, image DESC")


def best(collection: Collection, *, limit: int) -> list[Shown]:
    """The images that are most certainly good."""
    return list(
        _shown(
            collection,
            "WHERE label = 'good' ORDER BY certainty DESC, good DESC, image LIMIT ?",
            limit,
        )
    )


def disputed(collection: Collection, *, limit: int) -> list[Shown]:
    """The images that the most people disagree on."""
    return list(
        _shown(
            collection,
            "WHERE min(counts.good, counts.bad) > 0"
            " ORDER BY abs(counts.good - counts.bad) * 1.0 / (counts.good + counts.bad),"
            " counts.good + counts.bad DESC, image LIMIT ?",
            limit,
        )
    )


def by_prompt(collection: Collection) -> Iterator[tuple[str, Sequence[Shown]]]:
    """Each prompt with all its candidates, those that nobody voted on too."""
    rows = _shown(collection, "ORDER BY prompt, set_id, slot")
    for _, group in groupby(rows, lambda shown: shown.page):
        images = list(group)
        yield images[0].prompt, images


def prompts(collection: Collection) -> list[Prompt]:
    """All prompts, those with the most votes first."""
    return [
        Prompt(page=page, text=text, images=images, votes=votes)
        for page, text, images, votes in collection.database.execute(
            "SELECT prompt, text, count(*) AS images, coalesce(sum(good + bad), 0) AS votes"
            " FROM images JOIN prompts USING (prompt) LEFT JOIN counts USING (image)"
            " GROUP BY prompt ORDER BY votes DESC, prompt"
        )
    ]


def some(collection: Collection, image_ids: Sequence[str]) -> dict[str, Shown]:
    """Those of these images that the dataset has."""
    marks = ", ".join("?" * len(image_ids))
    rows = _shown(collection, f"WHERE image_id IN ({marks}) AND path IS NOT NULL", *image_ids)

    return {shown.image_id: shown for shown in rows}


def _shown(collection: Collection, which: str, *values: object) -> Iterator[Shown]:
    rows: Iterator[sqlite3.Row] = collection.database.execute(_IMAGES + which, values)
    for row in rows:
        yield Shown(
            image_id=row["image_id"],
            prompt=row["text"],
            page=row["prompt"],
            slot=row["slot"],
            model=row["model"] or "",
            file=None if row["path"] is None else collection.checkout.find(row["path"]),
            good=row["good"],
            bad=row["bad"],
            label=row["label"],
            certainty=row["certainty"],
        )
