"""How long to wait before something that failed is tried again."""

import random


class Backoff:
    """Pauses, each twice as long as the one before up to `longest_s`, less up to half by chance."""

    def __init__(self, *, first_s: float, longest_s: float) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._next_s = first_s

    def next_s(self) -> float:
        """The pause after one more failure, in seconds."""
        longest_s = self._next_s
        self._next_s = min(2 * longest_s, self._longest_s)

        return longest_s * random.uniform(0.5, 1.0)

    def reset(self) -> None:
        """Start again from the first pause: something succeeded."""
        self._next_s = self._first_s
