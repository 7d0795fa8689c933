"""The time, for whoever is not given another clock."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """An aware datetime in UTC."""
    return datetime.now(UTC)
