"""The time: which it is, and how the journal and the dataset write it."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """An aware datetime in UTC."""
    return datetime.now(UTC)


def timestamp(moment: datetime) -> str:
    """UTC with microseconds, always the same width: `2026-01-31T09:30:00.000000Z`."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def moment(text: str | None) -> datetime | None:
    """The time that `timestamp` wrote; None for None."""
    return None if text is None else datetime.fromisoformat(text)
