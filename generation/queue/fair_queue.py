"""Who is next: round robin between people, first come first served within one person; pure."""

from collections import deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Item = TypeVar("Item", bound=Hashable)


class FairQueue(Generic[Item]):
    """Waiting items, each with an owner; the owners take turns.

    Somebody with twenty items waiting delays a newcomer by one, not by twenty. An owner whose
    last item was taken joins again at the back, so leaving and coming back gains no turn.
    The queue itself has no bound: whoever adds asks first (`len`, `owned_by`).
    """

    def __init__(self) -> None:
        self._first: deque[tuple[int, Item]] = deque()
        self._lines: dict[int, deque[Item]] = {}  # owner -> their items; the dict's order: turns

    def __len__(self) -> int:
        return len(self._first) + sum(map(len, self._lines.values()))

    def owned_by(self, owner: int) -> int:
        """How many of this owner's items wait."""
        first = sum(1 for other, _ in self._first if other == owner)

        return first + len(self._lines.get(owner, ()))

    def add(self, item: Item, *, owner: int) -> None:
        self._lines.setdefault(owner, deque()).append(item)

    def put_first(self, item: Item, *, owner: int) -> None:
        """Put an item ahead of everybody's; for one that had its turn and must have it again."""
        self._first.appendleft((owner, item))

    def take(self, may_run: Callable[[int], bool] = lambda owner: True) -> Item | None:
        """Remove and return the next item whose owner may run, or None.

        An owner who may not run now keeps their place in the turns.
        """
        for index, (owner, item) in enumerate(self._first):
            if may_run(owner):
                del self._first[index]
                return item

        for owner, line in self._lines.items():
            if may_run(owner):
                item = line.popleft()
                del self._lines[owner]
                if line:
                    self._lines[owner] = line  # to the back of the turns

                return item

        return None

    def remove(self, item: Item) -> bool:
        """Take one item out, wherever it stands; false if it does not wait."""
        for index, (_, other) in enumerate(self._first):
            if other == item:
                del self._first[index]
                return True

        for owner, line in self._lines.items():
            if item in line:
                line.remove(item)
                if not line:
                    del self._lines[owner]

                return True

        return False

    def in_order(self) -> list[Item]:
        """Everything that waits, in the order in which it would be taken if everybody may run."""
        order = [item for _, item in self._first]
        lines = [list(line) for line in self._lines.values()]
        for turn in range(max(map(len, lines), default=0)):
            order += [line[turn] for line in lines if turn < len(line)]

        return order
