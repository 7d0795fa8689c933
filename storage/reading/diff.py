"""What changed between two commits: votes that came, went or changed, images that came or went."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from storage.reading.collection import Collection, Tell, collected
from storage.reading.oxen import checked_out


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedVote:
    """A vote on an image: the ratings before and after; None where there was none."""

    image_id: str
    voter_id: int
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """From one commit to the other. came, went: images that have votes on one side only."""

    votes: Sequence[ChangedVote]
    came: Sequence[str]
    went: Sequence[str]


def differences(dataset: Path, before: str, after: str, *, tell: Tell) -> Differences:
    """Compare two commits. Raises a ReadingError."""
    with (
        checked_out(dataset, before) as old,
        collected(old, tell) as earlier,
        checked_out(dataset, after) as new,
        collected(new, tell) as later,
    ):
        left, right = _votes(earlier), _votes(later)
        here, there = ({image for image, _ in votes} for votes in (left, right))

        return Differences(
            votes=[
                ChangedVote(
                    image_id=image_id,
                    voter_id=voter_id,
                    before=left.get((image_id, voter_id)),
                    after=right.get((image_id, voter_id)),
                )
                for image_id, voter_id in sorted(left.keys() | right.keys())
                if left.get((image_id, voter_id)) != right.get((image_id, voter_id))
            ],
            came=sorted(there - here),
            went=sorted(here - there),
        )


def _votes(collection: Collection) -> dict[tuple[str, int], str]:
    rows = collection.database.execute(
        "SELECT image_id, voter_id, iif(good, 'good', 'bad')"
        " FROM votes JOIN images USING (image) JOIN voters USING (voter)"
    )

    return {(image_id, voter_id): rating for image_id, voter_id, rating in rows}
