"""What members were told about their votes, so that the dataset can be held to it.

A vote whose answer was seen has one possible state. One that was in flight when the program was
killed may be either the old state or the new one, until an answer or the dataset tells which.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from bot.chat import texts
from storage.vote import Rating, VoteKind, VoteOutcome

Key = tuple[str, int]  # image id, voter id
State = Rating | None


@dataclass(slots=True, eq=False)
class Ledger:
    """Every (image, voter) that was ever pressed, and the states it may be in.

    At most one press per key may be in flight.
    """

    possible: dict[Key, frozenset[State]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    any_acknowledged: asyncio.Event = field(default_factory=asyncio.Event)

    def press(self, key: Key, rating: State) -> frozenset[State]:
        """Somebody presses; the states that were possible before, for `answer`."""
        before = self.possible.get(key, frozenset({None}))
        self.possible[key] = before | {rating}
        self.counts["presses"] += 1

        return before

    def answer(
        self, key: Key, rating: State, sentence: str, *, slot: int, before: frozenset[State]
    ) -> None:
        """The member read this sentence."""
        expected = {
            texts.outcome_sentence(_outcome(key, slot, old=old, new=rating)) for old in before
        }
        if sentence in expected:
            self.possible[key] = frozenset({rating})
            self.counts["acknowledged"] += 1
            self.any_acknowledged.set()
        elif "nothing was recorded" in sentence.replace("*", ""):
            self.possible[key] = before
            self.counts["refused"] += 1
        else:
            self.problems.append(f"{key}: told {sentence!r}, not one of {sorted(expected)}")

    def compare(self, rows: Mapping[Key, str]) -> list[str]:
        """What is wrong with the dataset's rows, as sentences; what is right is certain now."""
        wrong = [
            f"{key}: the dataset says {rows.get(key)}, possible is {sorted(map(str, states))}"
            for key, states in self.possible.items()
            if rows.get(key) not in states
        ]
        wrong += [
            f"{key}: the dataset has a vote that nobody cast"
            for key in rows.keys() - self.possible.keys()
        ]
        for key in self.possible:
            rating = rows.get(key)
            self.possible[key] = frozenset({None if rating is None else Rating(rating)})

        return wrong


def _outcome(key: Key, slot: int, *, old: State, new: State) -> VoteOutcome:
    return VoteOutcome(kind=_kind(old, new), slot=slot, rating=new, previous=old)


def _kind(old: State, new: State) -> VoteKind:
    if new is None:
        return VoteKind.NOTHING_TO_UNDO if old is None else VoteKind.UNDONE

    if old is None:
        return VoteKind.RECORDED

    return VoteKind.UNCHANGED if old is new else VoteKind.REPLACED
