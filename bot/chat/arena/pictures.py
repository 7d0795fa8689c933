"""The bytes of a pair's images."""

from dataclasses import dataclass

from storage.journal.arena.values import Pair
from storage.store import VoteStore


@dataclass(frozen=True, slots=True, kw_only=True)
class PairPictures:
    """A pair with the bytes of its images."""

    pair: Pair
    left: bytes
    right: bytes


async def pictures_of(store: VoteStore, pair: Pair) -> PairPictures | None:
    """The pair with its images; None if one is not on this host. Raises RepositoryError."""
    left, right = await store.image(pair.left_image), await store.image(pair.right_image)
    if left is None or right is None:
        return None

    return PairPictures(pair=pair, left=left, right=right)
