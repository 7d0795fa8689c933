"""Shows pairs to members, and records which image they prefer, in the journal."""

from datetime import datetime

from storage.acts import SetAside
from storage.clock import seconds_between, timestamp
from storage.journal.arena.arenas import pair
from storage.journal.arena.values import Pair, PairVote, PairVoteKind
from storage.journal.queries import Journal
from storage.vote import Choice, ShownIn


def next_pair(
    journal: Journal, rater_id: int, guild_id: int | None, *, now: datetime
) -> Pair | None:
    """The pair that a rater is shown now: what they have not answered yet, or any one of those with
    the fewest votes. None if no pair needs their vote. Runs inside a transaction of the caller's.
    """
    row = journal.connection.execute(
        """
        SELECT shown_pairs.*
        FROM arenas JOIN shown_pairs USING (arena_id)
            LEFT JOIN arena_showings ON arena_showings.pair_id = shown_pairs.pair_id
                AND rater_id = :rater
        WHERE arenas.guild_id IS :guild AND closed_at IS NULL
            AND shown_pairs.votes < arenas.votes AND coalesce(answered, 0) = 0
            AND NOT EXISTS (SELECT 1 FROM arena_votes
                WHERE arena_votes.pair_id = shown_pairs.pair_id AND voter_id = :rater)
        ORDER BY answered IS NULL, shown_pairs.votes, random() LIMIT 1
        """,
        {"rater": rater_id, "guild": guild_id},
    ).fetchone()
    if row is None:
        return None

    journal.connection.execute(
        "INSERT OR REPLACE INTO arena_showings VALUES (?, ?, ?, 0)",
        (row["pair_id"], rater_id, timestamp(now)),
    )

    return pair(row)


def show_again(
    journal: Journal, pair_id: str, rater_id: int, guild_id: int | None, *, now: datetime
) -> Pair | None:
    """The pair, to be answered once more by somebody who was shown it; None if it cannot be any
    more. Runs inside a transaction of the caller's."""
    row = journal.connection.execute(
        """
        SELECT shown_pairs.*
        FROM arenas JOIN shown_pairs USING (arena_id) JOIN arena_showings USING (pair_id)
        WHERE arenas.guild_id IS ? AND closed_at IS NULL AND pair_id = ? AND rater_id = ?
        """,
        (guild_id, pair_id, rater_id),
    ).fetchone()
    if row is None:
        return None

    journal.connection.execute(
        "UPDATE arena_showings SET shown_at = ?, answered = 0 WHERE pair_id = ? AND rater_id = ?",
        (timestamp(now), pair_id, rater_id),
    )

    return pair(row)


def vote(
    journal: Journal,
    pair_id: str,
    voter_id: int,
    choice: Choice | None,
    *,
    guild_id: int | None,
    shown_in: ShownIn,
    now: datetime,
) -> PairVote:
    """Make `choice` the member's vote on the pair; None skips it. Runs inside a transaction of the
    caller's.

    guild_id: the server of the press; pairs of others are unknown there.
    """
    found = journal.connection.execute(
        "SELECT guild_id, closed_at, left_set, right_set, EXISTS (SELECT 1 FROM shown_pairs"
        " WHERE shown_pairs.pair_id = arena_pairs.pair_id) AS is_shown"
        " FROM arena_pairs JOIN arenas USING (arena_id) WHERE pair_id = ?",
        (pair_id,),
    ).fetchone()
    if found is None or found["guild_id"] != guild_id:
        return PairVote(kind=PairVoteKind.UNKNOWN)

    ban = journal.moderation.ban_of(voter_id, guild_id, now=now)
    if ban is not None:
        return PairVote(kind=PairVoteKind.BANNED, ban=ban)

    known = journal.connection.execute(
        "SELECT counted FROM arena_votes WHERE pair_id = ? AND voter_id = ?", (pair_id, voter_id)
    ).fetchone()
    previous = None if known is None or known["counted"] is None else Choice(known["counted"])
    if found["closed_at"] is not None:
        return PairVote(kind=PairVoteKind.CLOSED, choice=previous)

    if not found["is_shown"]:
        return PairVote(kind=PairVoteKind.GONE)

    seconds = None
    if shown_in is ShownIn.RATE:
        showing = journal.connection.execute(
            "SELECT shown_at, answered FROM arena_showings WHERE pair_id = ? AND rater_id = ?",
            (pair_id, voter_id),
        ).fetchone()
        if showing is None:
            return PairVote(kind=PairVoteKind.UNKNOWN)

        if showing["answered"]:
            return PairVote(kind=PairVoteKind.ANSWERED, choice=previous)

        seconds = _answered(journal, pair_id, voter_id, now=now)

    if choice is None:
        return PairVote(kind=PairVoteKind.SKIPPED, choice=previous)

    if choice is previous:
        return PairVote(kind=PairVoteKind.UNCHANGED, choice=choice)

    is_hasty = seconds is not None and journal.moderation.is_hasty(seconds, shown_in, guild_id)
    seq = journal.next_seq()
    values = {
        "pair": pair_id,
        "voter": voter_id,
        "choice": choice,
        "now": timestamp(now),
        "seq": seq,
        "shown_in": shown_in,
        "seconds": seconds,
        "consent": journal.consents.version_of(voter_id, guild_id),
        "set_aside": SetAside.HASTY if is_hasty else None,
    }
    if known is None:
        for set_id in (found["left_set"], found["right_set"]):
            _give_place(journal, set_id)

        journal.people.add(voter_id)
        row, shard = journal.next_arena_row()
        journal.connection.execute(
            "INSERT INTO arena_votes (pair_id, voter_id, choice, voted_at, arena_row, arena_shard,"
            " seq, shown_in, seconds, consent, set_aside) VALUES (:pair, :voter, :choice, :now,"
            " :row, :shard, :seq, :shown_in, :seconds, :consent, :set_aside)",
            {**values, "row": row, "shard": shard},
        )
    else:
        journal.connection.execute(
            "UPDATE arena_votes SET choice = :choice, voted_at = :now, seq = :seq,"
            " shown_in = :shown_in, seconds = :seconds, consent = :consent,"
            " set_aside = :set_aside WHERE pair_id = :pair AND voter_id = :voter",
            values,
        )

    if is_hasty:
        first = journal.moderation.note_haste(voter_id, guild_id, seq=seq, now=now)
        return PairVote(kind=PairVoteKind.HASTY, seq=seq, first_haste=first)

    kind = PairVoteKind.RECORDED if previous is None else PairVoteKind.REPLACED

    return PairVote(kind=kind, seq=seq, choice=choice)


def _give_place(journal: Journal, set_id: str) -> None:
    """At the first vote, the image of this side gets its place in the dataset."""
    image_id, shard = journal.connection.execute(
        "SELECT image_id, image_shard FROM images WHERE set_id = ?", (set_id,)
    ).fetchone()
    if shard is None:
        journal.give_image_shard(image_id)


def _answered(journal: Journal, pair_id: str, rater_id: int, *, now: datetime) -> float | None:
    """Record that the rater answered what they were shown; after how many seconds. None if the
    clock was put back."""
    (shown_at,) = journal.connection.execute(
        "UPDATE arena_showings SET answered = 1 WHERE pair_id = ? AND rater_id = ?"
        " RETURNING shown_at",
        (pair_id, rater_id),
    ).fetchone()

    return seconds_between(datetime.fromisoformat(shown_at), now)
