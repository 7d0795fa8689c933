"""Writes the estimate beside the votes of a collection: labels of images, reliability of voters."""

import numpy as np

from storage.estimate.estimator import Estimate, Estimator
from storage.quality.evidence import evidence_of
from storage.reading.collection import Collection

_VOTE = np.dtype([("image", np.int64), ("voter", np.int64), ("good", np.float64)])


def label(collection: Collection) -> Estimate:
    """Give `images` the columns `label` and `certainty`, and `voters` the columns `good_as_good`,
    `bad_as_bad` and `of_no_use`. Images without votes have no label."""
    database = collection.database
    votes = np.fromiter(map(tuple, database.execute("SELECT image, voter, good FROM votes")), _VOTE)
    images, image_of = np.unique(votes["image"], return_inverse=True)
    voters, voter_of = np.unique(votes["voter"], return_inverse=True)
    estimator = Estimator(evidence_of(collection, images=images, voters=voters))
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
            (
                *(round(found.good_as_good, 6), round(found.bad_as_bad, 6)),
                *(found.of_no_use, int(voter)),
            )
            for found, voter in zip(estimate.voters, voters, strict=True)
        ),
    )
    database.execute("COMMIT")

    return estimate
