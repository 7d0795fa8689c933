"""Writes the estimate beside the votes of a collection: labels of images, reliability of voters."""

from collections.abc import Mapping
from typing import TypeVar

import numpy as np

from storage.quality.estimate import Estimate, Estimator, Evidence, Wholes
from storage.quality.evidence import Known
from storage.reading.collection import Collection

T = TypeVar("T")

_VOTE = np.dtype([("image", np.int64), ("voter", np.int64), ("good", np.float64)])


def label(collection: Collection, known: Known) -> Estimate:
    """Give `images` the columns `label` and `certainty`, and `voters` the columns `good_as_good`,
    `bad_as_bad` and `of_no_use`. Images without votes have no label."""
    database = collection.database
    votes = np.fromiter(map(tuple, database.execute("SELECT image, voter, good FROM votes")), _VOTE)
    images, image_of = np.unique(votes["image"], return_inverse=True)
    voters, voter_of = np.unique(votes["voter"], return_inverse=True)
    number_of = {
        name: {str(thing): n for thing, n in database.execute(sql)}
        for name, sql in (
            ("image", "SELECT image_id, image FROM images"),
            ("voter", "SELECT voter_id, voter FROM voters"),
        )
        if known.gold or known.changed
    }
    estimator = Estimator(
        Evidence(
            gold=_placed(known.gold, number_of.get("image", {}), images),
            changed=_placed(
                {str(voter): times for voter, times in known.changed.items()},
                number_of.get("voter", {}),
                voters,
            ),
        )
    )
    estimator.add(image_of, voter_of, votes["good"])
    estimate = estimator.estimate()
    database.executescript(
        """
        ALTER TABLE images ADD COLUMN label TEXT;
        ALTER TABLE images ADD COLUMN certainty REAL;
        ALTER TABLE voters ADD COLUMN good_as_good REAL;
        ALTER TABLE voters ADD COLUMN bad_as_bad REAL;
        ALTER TABLE voters ADD COLUMN of_no_use INTEGER NOT NULL DEFAULT 0;
        BEGIN;
        """
    )
    database.executemany(
        "UPDATE images SET label = ?, certainty = ? WHERE image = ?",
        (
            ("good" if good else "bad", round(float(certainty), 6), int(image))
            for good, certainty, image in zip(
                estimate.labels, estimate.certainties, images, strict=True
            )
        ),
    )
    database.executemany(
        "UPDATE voters SET good_as_good = ?, bad_as_bad = ?, of_no_use = ? WHERE voter = ?",
        (
            (round(float(good), 6), round(float(bad), 6), int(useless), int(voter))
            for good, bad, useless, voter in zip(
                estimate.good_as_good,
                estimate.bad_as_bad,
                estimate.of_no_use,
                voters,
                strict=True,
            )
        ),
    )
    database.execute("COMMIT")

    return estimate


def _placed(facts: Mapping[str, T], number_of: Mapping[str, int], numbers: Wholes) -> dict[int, T]:
    """The facts by the places of their subjects among these numbers."""
    places = {int(number): place for place, number in enumerate(numbers)}

    return {
        places[number_of[subject]]: fact
        for subject, fact in facts.items()
        if number_of.get(subject) in places
    }
