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


@dataclass(frozen=True, slots=True)
class State:
    """A vote, and the one that Undo brings back."""

    rating: Rating | None = None
    previous: Rating | None = None


@dataclass(frozen=True, slots=True)
class Undo:
    """A press on Undo, under a ballot that shows this vote."""

    rating: Rating


Press = Rating | Undo

NO_VOTE = frozenset({State()})


@dataclass(slots=True, eq=False)
class Ledger:
    """Every (image, voter) that was ever pressed, and the states it may be in.

    At most one press per key may be in flight.
    """

    possible: dict[Key, frozenset[State]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    any_acknowledged: asyncio.Event = field(default_factory=asyncio.Event)

    def press(self, key: Key, press: Press) -> frozenset[State]:
        """Somebody presses; the states that were possible before, for `answer`."""
        before = self.possible.get(key, NO_VOTE)
        self.possible[key] = before | {_after(state, press) for state in before}
        self.counts["presses"] += 1

        return before

    def answer(
        self, key: Key, press: Press, text: str, *, slot: int, before: frozenset[State]
    ) -> None:
        """The member read this text, whose last line says what the press did."""
        sentence = text.splitlines()[-1]
        expected = {state: _sentence(state, press, slot) for state in before}
        meant = frozenset(state for state, said in expected.items() if said == sentence)
        if meant:
            self.possible[key] = frozenset(_after(state, press) for state in meant)
            self.counts["acknowledged"] += 1
            self.any_acknowledged.set()
            self._check_marks(key, text, slot)
        elif "nothing was recorded" in sentence.replace("*", ""):
            self.possible[key] = before
            self.counts["refused"] += 1
        else:
            wanted = sorted(set(expected.values()))
            self.problems.append(f"{key}: told {sentence!r}, not one of {wanted}")

    def compare(self, rows: Mapping[Key, str]) -> list[str]:
        """What is wrong with the dataset's rows, as sentences; what is right is certain now."""
        wrong = [
            f"{key}: the dataset says {rows.get(key)}, possible is {sorted(map(str, states))}"
            for key, states in self.possible.items()
            if rows.get(key) not in {state.rating for state in states}
        ]
        wrong += [
            f"{key}: the dataset has a vote that nobody cast"
            for key in rows.keys() - self.possible.keys()
        ]
        for key, states in self.possible.items():
            there = {state for state in states if state.rating == rows.get(key)}
            self.possible[key] = frozenset(there or states)

        return wrong

    def _check_marks(self, key: Key, text: str, slot: int) -> None:
        """The ballot shows the vote that its last line speaks of."""
        marks = text.splitlines()[-2].split(" · ")
        shown = {f"{slot} {_face(state.rating)}" for state in self.possible[key]}
        if not shown & set(marks):
            self.problems.append(f"{key}: the ballot shows {marks}, not one of {sorted(shown)}")


def _after(state: State, press: Press) -> State:
    match press:
        case Rating():
            return state if press is state.rating else State(press, state.rating)
        case Undo(rating) if rating is state.rating:
            return State(state.previous)
        case _:
            return state


def _sentence(old: State, press: Press, slot: int) -> str:
    rating = _after(old, press).rating
    outcome = VoteOutcome(kind=_kind(old, press), slot=slot, rating=rating, previous=old.rating)

    return texts.outcome_sentence(outcome)


def _kind(old: State, press: Press) -> VoteKind:
    if isinstance(press, Undo):
        if old.rating is None:
            return VoteKind.NOTHING_TO_UNDO

        if press.rating is not old.rating:
            return VoteKind.OUTDATED

        return VoteKind.UNDONE if old.previous is None else VoteKind.RESTORED

    if old.rating is None:
        return VoteKind.RECORDED

    return VoteKind.UNCHANGED if old.rating is press else VoteKind.REPLACED


def _face(rating: Rating | None) -> str:
    return "–" if rating is None else texts.emoji(rating)
