"""How often a member may do something: token buckets."""

import time
from collections.abc import Callable, Hashable

_MOST_BUCKETS = 10_000


class Pace:
    """A bucket for each member, which fills evenly. In memory: a restart fills all of them."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._buckets: dict[Hashable, tuple[float, float]] = {}  # tokens left, and when

    def wait_s(self, who: Hashable, *, per_minute: int) -> float:
        """Take a token, and return 0; or the seconds until there is one."""
        now_s = self._now_s()
        tokens, at_s = self._buckets.pop(who, (float(per_minute), now_s))
        tokens = min(per_minute, tokens + (now_s - at_s) * per_minute / 60)
        taken = tokens >= 1
        self._buckets[who] = (tokens - taken, now_s)  # at the end: the first is the oldest
        if len(self._buckets) > _MOST_BUCKETS:
            del self._buckets[next(iter(self._buckets))]

        return 0.0 if taken else (1 - tokens) * 60 / per_minute
