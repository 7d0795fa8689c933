"""How much voters agree, and how sure a share is. Pure."""

import math
from collections.abc import Iterable

_Z = 1.96  # 95 %


def krippendorff_alpha(counts: Iterable[tuple[int, int]]) -> float | None:
    """Krippendorff's alpha of images with so many good and bad votes: 1 is agreement, 0 chance.

    None where it is not defined: without an image that two people rated, or with one rating only.
    """
    good = bad = 0
    disagreement = 0.0
    for its_good, its_bad in counts:
        votes = its_good + its_bad
        if votes > 1:
            good, bad = good + its_good, bad + its_bad
            disagreement += 2 * its_good * its_bad / (votes - 1)

    if not good or not bad:
        return None

    votes = good + bad

    return 1 - (disagreement / votes) / (2 * good * bad / (votes * (votes - 1)))


def interval(part: int, whole: int) -> tuple[float, float]:
    """Between what the true share is, with 95 % confidence (Wilson)."""
    if not whole:
        return 0.0, 1.0

    share = part / whole
    middle = share + _Z**2 / (2 * whole)
    width = _Z * math.sqrt(share * (1 - share) / whole + _Z**2 / (4 * whole**2))
    scale = 1 + _Z**2 / whole

    return max(0.0, (middle - width) / scale), min(1.0, (middle + width) / scale)
