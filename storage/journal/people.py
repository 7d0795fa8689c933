"""Who voted, as the journal stores it: the only place that leads from a pseudonym to a person."""

import hashlib
import hmac
import json
import secrets
import sqlite3
from typing import Any

from storage.vote import VoterIds

# Discord's ids have been above 2**53 since before anybody could join, so no number is both. Numbers
# of this size are exact also where a reader takes them for floating point.
_PSEUDONYMS = range(2**52, 2**53)

# No digits, so that no reader takes one for a number.
_LETTERS = "abcdefghijkmnpqrstuvwxyz"
_SERVER_LETTERS = 12


class People:
    """The people of one open journal. Methods run inside a transaction of the caller's."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def add(self, user_id: int) -> None:
        """Give the person a pseudonym, unless they have one.

        A number that is a pseudonym already, of somebody in a dataset that was taken over, stands
        for itself: nobody here knows who that is.
        """
        own = user_id if user_id in _PSEUDONYMS else secrets.choice(_PSEUDONYMS)
        self._connection.execute(
            "INSERT INTO people VALUES (?, ?) ON CONFLICT (user_id) DO NOTHING", (user_id, own)
        )

    def data_of(self, user_id: int) -> dict[str, Any]:
        """Everything that is kept of the person, as JSON."""
        requests = self._connection.execute(
            "SELECT set_id, state, guild_id, channel_id, message_id, created_at, posted_at, request"
            " FROM sets WHERE requester_id = ? ORDER BY created_at",
            (user_id,),
        ).fetchall()
        votes = self._connection.execute(
            "SELECT image_id, rating, reasons, previous, previous_reasons, voted_at, own_request,"
            " shown_in, seconds, consent, set_aside FROM votes WHERE voter_id = ?"
            " ORDER BY voted_at",
            (user_id,),
        )
        pseudonym = self._connection.execute(
            "SELECT pseudonym FROM people WHERE user_id = ?", (user_id,)
        ).fetchone()

        return {
            "user_id": user_id,
            "pseudonym": pseudonym and pseudonym[0],
            "requests": [
                {
                    **dict(row),
                    "request": json.loads(row["request"]),
                    "images": [
                        dict(image)
                        for image in self._connection.execute(
                            "SELECT image_id, slot, seed, made_at, removed_at, withheld FROM images"
                            " WHERE set_id = ? ORDER BY slot",
                            (row["set_id"],),
                        )
                    ],
                }
                for row in requests
            ],
            "votes": [
                {
                    **dict(row),
                    "reasons": json.loads(row["reasons"]),
                    "previous_reasons": json.loads(row["previous_reasons"]),
                }
                for row in votes
            ],
            "shown": [
                dict(row)
                for row in self._connection.execute(
                    "SELECT image_id, kind, shown_at, answer, seconds FROM exposures"
                    " WHERE rater_id = ? ORDER BY exposure_id",
                    (user_id,),
                )
            ],
            # Which model made which image is not said: the arena may be open.
            "arena_prompts": [
                json.loads(request)["prompt"]
                for (request,) in self._connection.execute(
                    "SELECT request FROM arena_pairs JOIN sets ON set_id = left_set"
                    " WHERE asker_id = ? ORDER BY created_at, number",
                    (user_id,),
                )
            ],
            "arena_votes": [
                dict(row)
                for row in self._connection.execute(
                    "SELECT pair_id, choice, voted_at, shown_in, seconds, consent, set_aside"
                    " FROM arena_votes WHERE voter_id = ? ORDER BY voted_at",
                    (user_id,),
                )
            ],
            "arena_showings": [
                dict(row)
                for row in self._connection.execute(
                    "SELECT pair_id, shown_at, answered FROM arena_showings"
                    " WHERE rater_id = ? ORDER BY shown_at",
                    (user_id,),
                )
            ],
            "ballots": [
                dict(row)
                for row in self._connection.execute(
                    "SELECT set_id, shown_at FROM ballots WHERE voter_id = ? ORDER BY shown_at",
                    (user_id,),
                )
            ],
            "consents": [
                dict(row)
                for row in self._connection.execute(
                    "SELECT guild_id, version, agreed_at FROM consents WHERE user_id = ?",
                    (user_id,),
                )
            ],
            "alarms": [
                dict(row)
                for row in self._connection.execute(
                    "SELECT guild_id, kind, rating, raised_at FROM alarms WHERE author_id = ?",
                    (user_id,),
                )
            ],
            "acts": [
                dict(row)
                for row in self._connection.execute(
                    "SELECT guild_id, kind, reason, acted_at, until, votes, images,"
                    " coalesce(moderator_id IN (:own, :hash), 0) AS by_you FROM acts"
                    " WHERE member_id IN (:own, :hash) OR moderator_id IN (:own, :hash)"
                    " ORDER BY act_id",
                    {"own": user_id, "hash": self.hashed_id(user_id)},
                )
            ],
            "guidelines_read": [
                dict(row)
                for row in self._connection.execute(
                    "SELECT guild_id, edition FROM guidelines_read WHERE user_id = ?", (user_id,)
                )
            ],
            "bans": [
                dict(row)
                for row in self._connection.execute(
                    "SELECT guild_id, until, reason FROM bans WHERE member_id IN (?, ?)",
                    (user_id, self.hashed_id(user_id)),
                )
            ],
        }

    def hashed_id(self, user_id: int) -> int:
        """What stands for somebody who is forgotten, in what has to outlast that, like a ban.

        Below zero, where no id is. Who has an id and the journal can compute it, and so find out
        whether this person is meant; nobody can compute the id from it.
        """
        (salt,) = self._connection.execute("SELECT salt FROM privacy").fetchone()
        digest = hmac.digest(salt, str(user_id).encode(), hashlib.sha256)

        return -1 - int.from_bytes(digest[:7])

    def server(self, guild_id: int | None) -> str | None:
        """The server's pseudonym, made if absent; None for None."""
        if guild_id is None:
            return None

        made = "".join(secrets.choice(_LETTERS) for _ in range(_SERVER_LETTERS))
        self._connection.execute(
            "INSERT INTO servers VALUES (?, ?) ON CONFLICT (guild_id) DO NOTHING", (guild_id, made)
        )
        (pseudonym,) = self._connection.execute(
            "SELECT pseudonym FROM servers WHERE guild_id = ?", (guild_id,)
        ).fetchone()

        return str(pseudonym)

    def voter_ids(self) -> VoterIds:
        """What the dataset says of who voted."""
        (found,) = self._connection.execute("SELECT voter_ids FROM privacy").fetchone()

        return VoterIds(found)

    def set_voter_ids(self, voter_ids: VoterIds) -> bool:
        """Set what the dataset says of who voted; whether that is a change, after which every vote
        is to be committed again."""
        if voter_ids is self.voter_ids():
            return False

        self._connection.execute("UPDATE privacy SET voter_ids = ?", (voter_ids,))

        return True
