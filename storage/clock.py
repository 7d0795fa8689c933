"""The time: which it is, whether to trust it, and how the journal and the dataset write it."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

log = logging.getLogger(__name__)

_JUMP = timedelta(minutes=1)
_STEADY_AFTER_S = 3600.0


def utc_now() -> datetime:
    """An aware datetime in UTC."""
    return datetime.now(UTC)


def timestamp(moment: datetime) -> str:
    """UTC with microseconds, always the same width: `2026-01-31T09:30:00.000000Z`."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def moment(text: str | None) -> datetime | None:
    """The time that `timestamp` wrote; None for None."""
    return None if text is None else datetime.fromisoformat(text)


def seconds_between(first: datetime, last: datetime) -> float | None:
    """How long it was; None if the clock was set back in between."""
    seconds = (last - first).total_seconds()

    return seconds if seconds >= 0 else None


class SteadyClock:
    """Knows whether the clock has run evenly for an hour, so that it may decide what is old.

    A clock that is wrong is mostly put right within minutes, and that is a jump too.
    """

    def __init__(self, now: Callable[[], datetime], monotonic: Callable[[], float]) -> None:
        """monotonic: seconds that no change of the clock affects."""
        self._now = now
        self._monotonic = monotonic
        self._last = (now(), monotonic())
        self._even_since_s = monotonic()

    def is_steady(self) -> bool:
        """Whether the clock has run evenly for an hour, as far as these calls saw it."""
        before, before_s = self._last
        now, now_s = self._last = (self._now(), self._monotonic())
        jump = now - before - timedelta(seconds=now_s - before_s)
        if abs(jump) > _JUMP:
            log.warning(
                "the clock jumped by %s to %s: no image is deleted by age for an hour", jump, now
            )
            self._even_since_s = now_s

        return now_s - self._even_since_s >= _STEADY_AFTER_S
