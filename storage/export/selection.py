"""Which votes an export has, in which split, and why it leaves each other one out."""

import hashlib
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from storage.errors import ExportError
from storage.quality.labels import label
from storage.reading.collection import Collection, Tell

SPLITS = ("train", "validation", "test")

# One voter's good times bad images of one set, or those of the estimate. In the dataset's order.
_PAIRS = {
    "voter": """
        CREATE TABLE pairs AS
        SELECT good.vote AS good_vote, bad.vote AS bad_vote, good.image AS good, bad.image AS bad,
            good_image.prompt, good_image.set_id, good.voter
        FROM votes AS good
            JOIN images AS good_image ON good_image.image = good.image
            JOIN images AS bad_image ON bad_image.set_id = good_image.set_id
            JOIN votes AS bad ON bad.image = bad_image.image AND bad.voter = good.voter
        WHERE good.good AND NOT bad.good AND good.fate IS NULL AND bad.fate IS NULL
        ORDER BY good.vote, bad.vote
        """,
    "labels": """
        CREATE TABLE pairs AS
        WITH used AS (SELECT DISTINCT image FROM votes WHERE fate IS NULL)
        SELECT good.image AS good, bad.image AS bad, good.prompt, good.set_id, NULL AS voter
        FROM images AS good JOIN images AS bad ON bad.set_id = good.set_id
        WHERE good.label = 'good' AND bad.label = 'bad'
            AND good.image IN used AND bad.image IN used
        ORDER BY good.image, bad.image
        """,
}


class SplitBy(StrEnum):
    """What is on one side only. VOTER: neither a prompt nor a voter is on two."""

    PROMPT = "prompt"
    VOTER = "voter"


class Truth(StrEnum):
    """Whose word a row takes. VOTER: one voter's, so a vote is a row. LABELS: the estimate's, which
    all votes make, so an image is a row."""

    VOTER = "voter"
    LABELS = "labels"


class Shape(StrEnum):
    """What a row of a target is about."""

    PAIRS = "pairs"  # two images of one set, and which is better
    RATINGS = "ratings"  # one image, and whether it is good
    IMAGES = "images"  # one image, and all votes on it


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What was asked for. validation, test: shares of the prompts. since: a date, as ISO 8601.
    min_certainty: of an image's estimated label."""

    pairs: Truth = Truth.VOTER
    split_by: SplitBy = SplitBy.PROMPT
    validation: float = 0.1
    test: float = 0.1
    model: str | None = None
    since: str | None = None
    min_raters: int = 1
    min_certainty: float = 0.0
    raw_ids: bool = False

    def __post_init__(self) -> None:
        if self.validation < 0 or self.test < 0 or self.validation + self.test >= 1:
            raise ExportError.contradictory(
                options=f"--validation {self.validation:g} and --test {self.test:g}",
                reason="each is a share of the prompts, and together they leave some to train on",
            )

        if self.pairs is Truth.LABELS and self.split_by is SplitBy.VOTER:
            raise ExportError.contradictory(
                options="--pairs labels and --split-by voter",
                reason="an estimated label is made from the votes of many",
            )

    def to_json(self) -> dict[str, Any]:
        """The options by name, those that are not the default included."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Options":
        """The options that `to_json` wrote."""
        named = {"pairs": Truth(values["pairs"]), "split_by": SplitBy(values["split_by"])}

        return cls(**{**values, **named})


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The votes that an export has. left_out: how many it has not, by the reason."""

    collection: Collection
    options: Options
    shapes: frozenset[Shape]
    votes: int
    used: int
    left_out: Mapping[str, int]


def select(
    collection: Collection,
    options: Options,
    shapes: frozenset[Shape],
    *,
    reads: Callable[[str], bool],
    tell: Tell,
) -> Selection:
    """Decide for each vote. reads: whether the trainer reads this prompt as what it is."""
    database = collection.database
    tell("estimating labels", 0, 0)
    label(collection)
    _assign_splits(collection, options, reads)
    _find_files(collection, tell)

    def leave_out(reason: str, condition: str, *values: object) -> None:
        database.execute(
            f"UPDATE votes SET fate = ? WHERE fate IS NULL AND {condition}", (reason, *values)
        )

    def images_where(condition: str) -> str:
        return f"image IN (SELECT image FROM images WHERE {condition})"

    database.execute("BEGIN")
    leave_out("the image has no row in generations", images_where("sha256 IS NULL"))
    leave_out("the image is not in this copy of the dataset", images_where("file IS NULL"))
    leave_out(
        "the prompt is text that the trainer takes for missing",
        images_where("prompt IN (SELECT prompt FROM prompts WHERE NOT readable)"),
    )
    if options.model is not None:
        leave_out(
            "a different model",
            images_where("model IS NOT ? AND model NOT LIKE '%/' || ?"),
            *(options.model, options.model),
        )

    if options.since is not None:
        leave_out("older", "voted_at < ?", options.since)

    if options.split_by is SplitBy.VOTER:
        leave_out(
            "its voter and its prompt are in different splits",
            "(SELECT split FROM voters WHERE voters.voter = votes.voter) IS NOT"
            " (SELECT split FROM prompts JOIN images USING (prompt)"
            " WHERE images.image = votes.image)",
        )

    leave_out(
        "the image has too few raters",
        "image IN (SELECT image FROM votes WHERE fate IS NULL GROUP BY image HAVING count(*) < ?)",
        options.min_raters,
    )
    leave_out(
        "the image's label is not certain enough",
        images_where("certainty < ?"),
        options.min_certainty,
    )
    if Shape.PAIRS in shapes:
        database.execute(_PAIRS[options.pairs])

    if shapes == {Shape.PAIRS} and options.pairs is Truth.VOTER:
        leave_out(
            "its voter rated no image of the set the other way",
            "vote NOT IN (SELECT good_vote FROM pairs UNION SELECT bad_vote FROM pairs)",
        )

    if shapes == {Shape.PAIRS} and options.pairs is Truth.LABELS:
        leave_out(
            "no image of the set has the other label",
            "image NOT IN (SELECT good FROM pairs UNION SELECT bad FROM pairs)",
        )

    database.execute("COMMIT")
    reasons = database.execute(
        "SELECT fate, count(*) FROM votes WHERE fate IS NOT NULL GROUP BY fate ORDER BY fate"
    )

    return Selection(
        collection=collection,
        options=options,
        shapes=shapes,
        votes=collection.number("SELECT count(*) FROM votes"),
        used=collection.number("SELECT count(*) FROM votes WHERE fate IS NULL"),
        left_out={str(reason): int(votes) for reason, votes in reasons},
    )


def same_prompt(text: str) -> str:
    """One text for all spellings of a prompt: without case, width and surplus space."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def split_of(key: str, options: Options) -> str:
    """The split of a prompt or a voter: always the same, whatever else the dataset has."""
    digest = hashlib.sha256(key.encode()).digest()
    place = int.from_bytes(digest[:8]) / 2**64
    if place < options.test:
        return "test"

    return "validation" if place < options.test + options.validation else "train"


def _assign_splits(collection: Collection, options: Options, reads: Callable[[str], bool]) -> None:
    database = collection.database
    database.execute("BEGIN")
    database.execute("ALTER TABLE prompts ADD COLUMN split TEXT")
    database.execute("ALTER TABLE prompts ADD COLUMN readable INTEGER NOT NULL DEFAULT 1")
    database.executemany(
        "UPDATE prompts SET split = ?, readable = ? WHERE prompt = ?",
        [
            (
                split_of(same_prompt(text), options),
                reads(text),
                prompt,
            )
            for prompt, text in database.execute("SELECT prompt, text FROM prompts")
        ],
    )
    database.execute("ALTER TABLE voters ADD COLUMN split TEXT")
    database.executemany(
        "UPDATE voters SET split = ? WHERE voter = ?",
        [
            (split_of(str(voter_id), options), voter)
            for voter, voter_id in database.execute("SELECT voter, voter_id FROM voters")
        ],
    )
    database.execute("COMMIT")


def _find_files(collection: Collection, tell: Tell) -> None:
    database = collection.database
    database.execute("BEGIN")
    database.execute("ALTER TABLE images ADD COLUMN file TEXT")
    total = collection.number("SELECT count(*) FROM images WHERE path IS NOT NULL")
    voted = database.execute("SELECT image, path FROM images WHERE path IS NOT NULL")
    for done, (image, path) in enumerate(voted.fetchall()):
        if done % 1_000 == 0:
            tell("looking for images", done, total)

        file = collection.checkout.find(path)
        if file is not None:
            database.execute("UPDATE images SET file = ? WHERE image = ?", (str(file), image))

    database.execute("COMMIT")
