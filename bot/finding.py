"""One thing that `doctor` looked at."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Fine, or what to do about it."""

    subject: str
    ok: bool
    detail: str
