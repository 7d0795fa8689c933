"""The queue: round robin between owners, first in first out within one owner; pure."""

import itertools
from collections import deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Item = TypeVar("Item", bound=Hashable)


class FairQueue(Generic[Item]):
    """Waiting items, each with an owner; the owners take turns.

    An owner with twenty waiting items delays a newcomer by one, not by twenty. An owner whose last
    item was taken joins again at the back, so leaving and coming back gains no turn.
    The queue has no bound of its own: callers check `len` and `owned_by` before they add.
    """

    def __init__(self) -> None:
        self._first: deque[tuple[int, Item]] = deque()  # (owner, item), ahead of all turns
        self._items: dict[int, deque[Item]] = {}  # by owner; the order of the keys is the turns'

    def __len__(self) -> int:
        return len(self._first) + sum(map(len, self._items.values()))

    def owned_by(self, owner: int) -> int:
        """How many of this owner's items are waiting."""
        first = sum(1 for other, _ in self._first if other == owner)

        return first + len(self._items.get(owner, ()))

    def add(self, item: Item, *, owner: int) -> None:
        self._items.setdefault(owner, deque()).append(item)

    def put_first(self, item: Item, *, owner: int) -> None:
        """Put an item ahead of all others: one that had its turn and must have it again."""
        self._first.appendleft((owner, item))

    def take(
        self,
        may_run: Callable[[int], bool] = lambda owner: True,
        may_start: Callable[[Item], bool] = lambda item: True,
    ) -> Item | None:
        """Remove and return the next item that may start and whose owner may run, or None.

        An owner who may not run now, or whose next item may not start, keeps their turn.
        """
        for index, (owner, item) in enumerate(self._first):
            if may_run(owner) and may_start(item):
                del self._first[index]
                return item

        for owner, items in self._items.items():
            if may_run(owner) and may_start(items[0]):
                item = items.popleft()
                del self._items[owner]
                if items:
                    self._items[owner] = items  # at the back of the turns

                return item

        return None

    def remove(self, item: Item) -> bool:
        """Remove a waiting item; false if it is not waiting."""
        for index, (_, other) in enumerate(self._first):
            if other == item:
                del self._first[index]
                return True

        for owner, items in self._items.items():
            if item in items:
                items.remove(item)
                if not items:
                    del self._items[owner]

                return True

        return False

    def in_order(self) -> list[Item]:
        """All waiting items, in the order in which they are taken if every owner may run."""
        order = [item for _, item in self._first]
        for turn in itertools.zip_longest(*self._items.values(), fillvalue=None):
            order += [item for item in turn if item is not None]

        return order
