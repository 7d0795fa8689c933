"""Records what a rater answers: a vote, unless the image was skipped, reported, or a repeat."""

from datetime import datetime

from storage.clock import moment, seconds_between
from storage.journal.counters import next_number
from storage.journal.queries import Journal
from storage.journal.rating.showings import Showings
from storage.vote import (
    Answer,
    AnsweredBefore,
    Rating,
    ShownIn,
    ShownKind,
    VoteKind,
    VoteOutcome,
)


def answer(
    journal: Journal,
    exposure_id: int,
    rater_id: int,
    given: Answer,
    *,
    guild_id: int | None,
    now: datetime,
) -> VoteOutcome | AnsweredBefore | None:
    """What became of it; None for what is no vote. Runs inside a transaction of the caller's.

    A repeat changes no vote: it is only kept beside what was shown.
    """
    showings = Showings(journal.connection)
    shown = showings.find(exposure_id)
    if shown is None or shown["rater_id"] != rater_id:
        return VoteOutcome(kind=VoteKind.UNKNOWN_IMAGE)

    image_id, rating = shown["image_id"], given.rating
    if shown["answer"] is not None:
        return AnsweredBefore(
            answer=Answer(shown["answer"]), rating=_counted(journal, image_id, rater_id)
        )

    ban = journal.moderation.ban_of(rater_id, guild_id, now=now)
    if ban is not None:
        return VoteOutcome(kind=VoteKind.BANNED_VOTER, ban=ban)

    shown_at = moment(shown["shown_at"])
    assert shown_at is not None
    seconds = seconds_between(shown_at, now)
    outcome = None
    if shown["kind"] == ShownKind.REPEAT:
        _note_repeat(journal, image_id, rater_id)
    elif rating is not None:
        outcome = journal.vote(
            image_id,
            rater_id,
            rating,
            guild_id=guild_id,
            shown_in=ShownIn.RATE,
            seconds=seconds,
            now=now,
        )

    showings.close(exposure_id, given, seconds=seconds)

    return outcome


def _note_repeat(journal: Journal, image_id: str, rater_id: int) -> None:
    """The dataset has the answer beside the vote: that is a change to commit."""
    journal.connection.execute(
        "UPDATE votes SET seq = ? WHERE image_id = ? AND voter_id = ?",
        (next_number(journal.connection, "seq"), image_id, rater_id),
    )


def _counted(journal: Journal, image_id: str, voter_id: int) -> Rating | None:
    """The person's vote on the image that counts now."""
    row = journal.connection.execute(
        "SELECT counted FROM votes WHERE image_id = ? AND voter_id = ?", (image_id, voter_id)
    ).fetchone()

    return None if row is None or row["counted"] is None else Rating(row["counted"])
