"""Figures that say how far the labels of a collection can be trusted."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from storage.quality.agreement import interval, krippendorff_alpha
from storage.reading.collection import Collection


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Good votes among all votes on something, and between what the true share is, with 95 %."""

    of: str
    good: int
    votes: int
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """alpha: of the votes of this month; None where no two people rated one image."""

    month: str
    votes: int
    alpha: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """alpha: Krippendorff's. raters: how many images have so many. certain: how many labels are at
    least so certain. seconds: to vote; the quartiles, empty where nobody could know. set_aside:
    votes, by reason; not counted elsewhere. of_no_use: voters whose votes say nothing."""

    votes: int
    images: int
    voters: int
    alpha: float | None
    months: Sequence[Month]
    raters: Mapping[int, int]
    goal: int
    certain: Mapping[str, int]
    of_no_use: int
    slots: Sequence[Share]
    models: Sequence[Share]
    seconds: Sequence[float]
    set_aside: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON has it."""
        return asdict(self)


def summarise(collection: Collection, set_aside: Mapping[str, int], *, goal: int) -> Quality:
    """The figures of a collection that has labels. goal: raters that an image is to have.
    set_aside: votes that are not in the collection."""
    database = collection.database
    raters = database.execute(
        "SELECT raters, count(*) FROM (SELECT count(*) AS raters FROM votes GROUP BY image)"
        " GROUP BY raters ORDER BY raters"
    )

    return Quality(
        votes=collection.number("SELECT count(*) FROM votes"),
        images=collection.number("SELECT count(*) FROM images WHERE label IS NOT NULL"),
        voters=collection.number("SELECT count(*) FROM voters"),
        alpha=_alpha(collection),
        months=[
            Month(month=month, votes=votes, alpha=_alpha(collection, month))
            for month, votes in database.execute(
                "SELECT substr(voted_at, 1, 7) AS month, count(*) FROM votes"
                " GROUP BY month ORDER BY month"
            ).fetchall()
        ],
        raters={int(number): int(images) for number, images in raters},
        goal=goal,
        certain={
            f"{least:.0%}": collection.number(
                "SELECT count(*) FROM images WHERE certainty >= ?", least
            )
            for least in (0.7, 0.9, 0.95, 0.99)
        },
        of_no_use=collection.number("SELECT count(*) FROM voters WHERE of_no_use"),
        slots=_shares(collection, "slot"),
        models=_shares(collection, "model"),
        seconds=_quartiles(collection),
        set_aside=set_aside,
    )


def _alpha(collection: Collection, month: str = "") -> float | None:
    counts = collection.database.execute(
        "SELECT sum(good), count(*) - sum(good) FROM votes WHERE voted_at LIKE ? || '%'"
        " GROUP BY image",
        (month,),
    )
    alpha = krippendorff_alpha((good, bad) for good, bad in counts)

    return None if alpha is None else round(alpha, 4)


def _shares(collection: Collection, column: str) -> list[Share]:
    found = collection.database.execute(
        f"SELECT coalesce({column}, ''), sum(good), count(*) FROM votes JOIN images USING (image)"
        f" GROUP BY {column} ORDER BY {column}"
    )
    shares = []
    for of, good, votes in found:
        low, high = interval(good, votes)
        shares.append(
            Share(of=str(of), good=good, votes=votes, low=round(low, 4), high=round(high, 4))
        )

    return shares


def _quartiles(collection: Collection) -> list[float]:
    known = collection.number("SELECT count(seconds) FROM votes")
    if not known:
        return []

    return [
        float(
            collection.database.execute(
                "SELECT seconds FROM votes WHERE seconds IS NOT NULL ORDER BY seconds"
                " LIMIT 1 OFFSET ?",
                (known * quarter // 4,),
            ).fetchone()[0]
        )
        for quarter in (1, 2, 3)
    ]
