"""Writes the estimate as tables: it is beside the votes, so leaving it out undoes it."""

import json
from pathlib import Path

from storage.dataset.layout import csv_file
from storage.errors import ReadingError
from storage.quality.summary import Quality
from storage.reading.collection import Collection

_IMAGES = ("image_id", "label", "certainty", "good", "bad")
_VOTERS = ("voter_id", "votes", "good_as_good", "bad_as_bad", "of_no_use")


def write(collection: Collection, quality: Quality, out: Path) -> None:
    """images.csv, voters.csv and quality.json in a folder that is made if absent.

    voter_id is the dataset's. Raises a ReadingError if the disk refuses.
    """
    images = collection.database.execute(
        "SELECT image_id, label, certainty, sum(good), count(*) - sum(good)"
        " FROM images JOIN votes USING (image) GROUP BY image ORDER BY image"
    )
    voters = collection.database.execute(
        "SELECT voter_id, count(*), good_as_good, bad_as_bad, iif(of_no_use, 'yes', 'no')"
        " FROM voters JOIN votes USING (voter) GROUP BY voter ORDER BY voter"
    )
    contents = {
        "images.csv": csv_file(_IMAGES, (tuple(map(str, row)) for row in images)),
        "voters.csv": csv_file(_VOTERS, (tuple(map(str, row)) for row in voters)),
        "quality.json": json.dumps(quality.to_json(), indent=2).encode() + b"\n",
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            (out / name).write_bytes(content)
    except OSError as exc:
        raise ReadingError.unwritable(out, reason=exc.strerror or str(exc)) from exc
