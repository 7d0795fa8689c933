"""Records and finds requests, images and votes in the journal.

Committed transactions survive `kill -9` and power cuts (WAL, synchronous FULL), but not the loss of
the disk.
"""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from storage.acts import SetAside
from storage.clock import seconds_between, timestamp
from storage.errors import RequestForgotten
from storage.journal.consent import Consents
from storage.journal.counters import next_number
from storage.journal.forgetting import erase_old, forget
from storage.journal.missing import MissingImages
from storage.journal.moderation.acts import Moderation
from storage.journal.people import People
from storage.journal.remote_watermark import RemoteProgress
from storage.journal.rows import ballot, stored_set
from storage.journal.shards import ShardSizes
from storage.journal.standing.weekly import WeeklyPosts
from storage.journal.watermark import Progress
from storage.people import Forgotten
from storage.vote import (
    Ballot,
    NewImage,
    NewSet,
    Rating,
    SetState,
    ShownIn,
    StoredSet,
    VoteKind,
    VoteOutcome,
    is_elsewhere,
)

SHARD_SIZES = ShardSizes()


class Journal:
    """One open journal. Methods run inside a transaction of the caller's."""

    def __init__(
        self, connection: sqlite3.Connection, *, shard_sizes: ShardSizes = SHARD_SIZES
    ) -> None:
        self.connection = connection
        self.shard_sizes = shard_sizes
        self.progress = Progress(connection)
        self.missing = MissingImages(connection)
        self.people = People(connection)
        self.consents = Consents(connection)
        self.remote = RemoteProgress(connection)
        self.moderation = Moderation(connection)
        self.weekly_posts = WeeklyPosts(connection)

    # Which journal this is

    def is_empty(self) -> bool:
        """Whether it has no request."""
        return self.connection.execute("SELECT 1 FROM sets").fetchone() is None

    def id(self) -> str:
        """The id that the dataset's card names."""
        (journal_id,) = self.connection.execute("SELECT journal_id FROM watermark").fetchone()

        return str(journal_id)

    def follow(self, journal_id: str) -> None:
        """Take the id that a dataset's card names: this journal is to continue that one."""
        self.connection.execute("UPDATE watermark SET journal_id = ?", (journal_id,))

    # Requests and their images

    def add_request(self, new: NewSet, *, now: datetime) -> None:
        """Record a request, in the state `waiting`."""
        self.connection.execute(
            "INSERT INTO sets (set_id, state, requester_id, guild_id, channel_id, interaction_id,"
            " request, created_at, server) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                new.set_id,
                SetState.WAITING,
                new.requester_id,
                new.guild_id,
                new.channel_id,
                new.interaction_id,
                json.dumps(dict(new.request)),
                timestamp(now),
                self.people.server(new.guild_id),
            ),
        )

    def set_state(self, set_id: str, state: SetState) -> None:
        """Record what became of the request."""
        self.connection.execute(
            "UPDATE sets SET state = ? WHERE set_id = ? AND state != 'forgotten'", (state, set_id)
        )

    def set_message(self, set_id: str, *, channel_id: int, message_id: int) -> None:
        """Record which message shows the set."""
        self.connection.execute(
            "UPDATE sets SET channel_id = ?, message_id = ?"
            " WHERE set_id = ? AND state != 'forgotten'",
            (channel_id, message_id, set_id),
        )

    def count_try(self, set_id: str, *, by: int) -> None:
        """Record that a worker began the request (1), or that this try does not count (-1)."""
        self.connection.execute("UPDATE sets SET tries = tries + ? WHERE set_id = ?", (by, set_id))

    def add_images(
        self,
        set_id: str,
        images: Sequence[NewImage],
        *,
        provenance: Mapping[str, str],
        request: Mapping[str, Any] | None = None,
        now: datetime,
    ) -> None:
        """Record images. The bytes of those that are not withheld are already in the spool.

        request: as it was made; None as it was recorded. Raises RequestForgotten.
        """
        self._refuse_forgotten(set_id)
        self.connection.execute(
            "UPDATE sets SET provenance = ?, request = coalesce(?, request) WHERE set_id = ?",
            (
                json.dumps(dict(provenance), sort_keys=True),
                None if request is None else json.dumps(dict(request)),
                set_id,
            ),
        )
        self.connection.executemany(
            # An arena keeps its images until it is closed.
            "INSERT INTO images (image_id, set_id, slot, seed, sha256, made_at, unvoted_since,"
            " unsafe_score, withheld, doubtful, guild, paired)"
            " SELECT ?, set_id, ?, ?, ?, ?, iif(state = 'arena', NULL, ?), ?, ?, ?, guild_id,"
            " state = 'arena' FROM sets WHERE set_id = ?",
            [
                (
                    image.image_id,
                    image.slot,
                    image.seed,
                    image.sha256,
                    timestamp(now),
                    timestamp(now),
                    image.unsafe_score,
                    image.withheld,
                    image.doubtful,
                    set_id,
                )
                for image in images
            ],
        )

    def mark_posted(self, set_id: str, *, message_id: int, now: datetime) -> None:
        """Record that the set was posted: its images get rows in `generations`.

        Raises RequestForgotten.
        """
        self._refuse_forgotten(set_id)
        self.connection.execute(
            "UPDATE sets SET message_id = ? WHERE set_id = ?", (message_id, set_id)
        )
        self._show(set_id, now=now)

    def _show(self, set_id: str, *, now: datetime) -> None:
        self.connection.execute(
            "UPDATE sets SET state = ?, posted_at = coalesce(posted_at, ?) WHERE set_id = ?",
            (SetState.POSTED, timestamp(now), set_id),
        )
        unseen = self.connection.execute(
            "SELECT image_id FROM images WHERE set_id = ? AND seq IS NULL ORDER BY slot", (set_id,)
        ).fetchall()
        for (image_id,) in unseen:
            self.give_shown_row(image_id, seq=self.next_seq())

    def give_shown_row(self, image_id: str, *, seq: int) -> None:
        """Give the image a row in `generations`, with this change."""
        row = self._next("shown_row") - 1
        self.connection.execute(
            "UPDATE images SET shown_row = ?, shown_shard = ?, seq = ? WHERE image_id = ?",
            (row, row // self.shard_sizes.shown_rows, seq, image_id),
        )

    def give_image_shard(self, image_id: str) -> None:
        """Give the image a folder in the dataset, for good."""
        shard = (self._next("image") - 1) // self.shard_sizes.images
        self.connection.execute(
            "UPDATE images SET image_shard = ? WHERE image_id = ?", (shard, image_id)
        )

    def next_arena_row(self) -> tuple[int, int]:
        """The next row of the table of arenas' votes, and its shard."""
        row = self._next("arena_row") - 1

        return row, row // self.shard_sizes.train_rows

    def next_seq(self) -> int:
        """The number of a new change."""
        return self._next("seq")

    def _refuse_forgotten(self, set_id: str) -> None:
        """Whoever asked may be forgotten while the images are made."""
        if self.connection.execute(
            "SELECT 1 FROM sets WHERE set_id = ? AND state = 'forgotten'", (set_id,)
        ).fetchone():
            raise RequestForgotten.of(set_id)

    # Votes

    def vote(
        self,
        image_id: str,
        voter_id: int,
        rating: Rating | None,
        *,
        guild_id: int | None = None,
        shown_in: ShownIn = ShownIn.POST,
        seconds: float | None = None,
        now: datetime,
    ) -> VoteOutcome:
        """Make `rating` the voter's vote on the image; None removes the vote.

        guild_id: the server of the press, if it is known; images of others are unknown there.
        seconds: from being shown to the press; None for a press in the channel, where that is
        counted from the voter's first press on the set on.
        """
        image = self.connection.execute(
            "SELECT set_id, slot, image_shard, seq, removed_at, remote_only, withheld, paired,"
            " taken_out, requester_id, guild_id"
            " FROM images JOIN sets USING (set_id) WHERE image_id = ?",
            (image_id,),
        ).fetchone()
        if image is None or image["paired"] or is_elsewhere(image["guild_id"], guild_id):
            return VoteOutcome(kind=VoteKind.UNKNOWN_IMAGE)

        ban = self.moderation.ban_of(voter_id, image["guild_id"] or guild_id, now=now)
        if ban is not None:
            return VoteOutcome(kind=VoteKind.BANNED_VOTER, ban=ban)

        known = self._known(image_id, voter_id)

        def outcome(kind: VoteKind, previous: Rating | None = None) -> VoteOutcome:
            gone = kind in (
                VoteKind.REMOVED_IMAGE,
                VoteKind.WITHHELD_IMAGE,
                VoteKind.TAKEN_OUT_IMAGE,
            )
            return VoteOutcome(
                kind=kind,
                set_id=image["set_id"],
                slot=image["slot"],
                rating=None if gone else rating,
                previous=previous,
                ballot=self.ballot(image["set_id"], voter_id),
                is_first=kind is VoteKind.RECORDED and known is None,
            )

        if image["withheld"] is not None:
            return outcome(VoteKind.WITHHELD_IMAGE)

        if image["taken_out"] is not None:
            return outcome(VoteKind.TAKEN_OUT_IMAGE)

        if image["removed_at"] is not None:
            return outcome(VoteKind.REMOVED_IMAGE)

        previous = _counted(known)
        if rating is previous:
            kind = VoteKind.NOTHING_TO_UNDO if rating is None else VoteKind.UNCHANGED
            return outcome(kind, previous)

        if seconds is None and shown_in is ShownIn.POST:
            seconds = self._since_ballot(image["set_id"], voter_id, now=now)

        if image["seq"] is None:  # a press proves that the set was posted
            self._show(image["set_id"], now=now)

        if image["image_shard"] is None:
            self.give_image_shard(image_id)

        guild_id = image["guild_id"] or guild_id
        consent = self.consents.version_of(voter_id, guild_id)
        is_hasty = (
            rating is not None
            and seconds is not None
            and self.moderation.is_hasty(seconds, shown_in, guild_id)
        )
        set_aside = SetAside.HASTY if is_hasty else None
        seq = self._next("seq")
        if known is None:
            row = self._next("train_row") - 1
            asked_by = image["requester_id"]  # 0: a dataset that was taken over does not say
            self.people.add(voter_id)
            self.connection.execute(
                "INSERT INTO votes (image_id, voter_id, rating, voted_at, train_row, train_shard,"
                " seq, own_request, shown_in, seconds, consent, set_aside)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    image_id,
                    voter_id,
                    rating,
                    timestamp(now),
                    row,
                    row // self.shard_sizes.train_rows,
                    seq,
                    asked_by == voter_id if asked_by else None,
                    shown_in,
                    seconds,
                    consent,
                    set_aside,
                ),
            )
        else:
            self.connection.execute(
                "UPDATE votes SET rating = ?, previous = ?, previous_reasons = reasons,"
                " reasons = '[]', voted_at = ?, seq = ?, shown_in = ?, seconds = ?, consent = ?,"
                " set_aside = ? WHERE image_id = ? AND voter_id = ?",
                (
                    rating,
                    None if rating is None else previous,
                    timestamp(now),
                    seq,
                    shown_in,
                    seconds,
                    consent,
                    set_aside,
                    image_id,
                    voter_id,
                ),
            )

        if rating is None:
            self._note_unvoted(image_id, remote_only=image["remote_only"], now=now)
            return outcome(VoteKind.UNDONE, previous)

        self.connection.execute(
            "UPDATE images SET unvoted_since = NULL WHERE image_id = ?", (image_id,)
        )

        if is_hasty:
            first = self.moderation.note_haste(voter_id, guild_id, seq=seq, now=now)

            return replace(outcome(VoteKind.HASTY, previous), first_haste=first)

        return outcome(VoteKind.REPLACED if previous else VoteKind.RECORDED, previous)

    def undo(
        self,
        image_id: str,
        voter_id: int,
        rating: Rating,
        *,
        guild_id: int | None = None,
        now: datetime,
    ) -> VoteOutcome:
        """Take back the voter's vote `rating`: the one that it replaced counts again, if any.

        If that is not their vote any more, nothing changes. So undoing twice takes back one vote.
        """
        known = self._known(image_id, voter_id)
        current = _counted(known)
        if rating is not current:
            same = self.vote(image_id, voter_id, current, guild_id=guild_id, now=now)
            outdated = same.kind is VoteKind.UNCHANGED
            return replace(same, kind=VoteKind.OUTDATED) if outdated else same

        back = None if known is None or known["previous"] is None else Rating(known["previous"])
        outcome = self.vote(image_id, voter_id, back, guild_id=guild_id, now=now)
        if known is None or outcome.kind is not VoteKind.REPLACED:
            return outcome

        self.connection.execute(
            "UPDATE votes SET previous = NULL, reasons = ?, seconds = NULL"
            " WHERE image_id = ? AND voter_id = ?",
            (known["previous_reasons"], image_id, voter_id),
        )

        return self._now(outcome, voter_id, kind=VoteKind.RESTORED)

    def explain(
        self,
        image_id: str,
        voter_id: int,
        rating: Rating,
        reasons: Sequence[str],
        *,
        guild_id: int | None = None,
        now: datetime,
    ) -> VoteOutcome:
        """Make these the reasons for the voter's vote `rating`, if that is their vote still.

        Those that are not offered, and were not given before, are left out.
        """
        current = _counted(self._known(image_id, voter_id))
        same = self.vote(image_id, voter_id, current, guild_id=guild_id, now=now)
        if same.kind is not VoteKind.UNCHANGED:
            return same

        if rating is not current:
            return replace(same, kind=VoteKind.OUTDATED)

        assert same.ballot is not None  # the image is shown, and there is a vote on it
        [mark] = [mark for mark in same.ballot.marks if mark.image_id == image_id]
        given = [reason for reason in same.ballot.reasons_for(mark) if reason in reasons]
        self.connection.execute(
            "UPDATE votes SET reasons = ?, seq = ? WHERE image_id = ? AND voter_id = ?",
            (json.dumps(given, ensure_ascii=False), self._next("seq"), image_id, voter_id),
        )

        return self._now(same, voter_id, kind=VoteKind.EXPLAINED)

    def _since_ballot(self, set_id: str, voter_id: int, *, now: datetime) -> float | None:
        """How long the voter has had a ballot for the set, in seconds; None for the first press,
        which only shows it. Nobody can know when they saw the message with the images."""
        row = self.connection.execute(
            "SELECT shown_at FROM ballots WHERE set_id = ? AND voter_id = ?", (set_id, voter_id)
        ).fetchone()
        if row is not None:
            return seconds_between(datetime.fromisoformat(row["shown_at"]), now)

        self.connection.execute(
            "INSERT INTO ballots VALUES (?, ?, ?)", (set_id, voter_id, timestamp(now))
        )

        return None

    def _known(self, image_id: str, voter_id: int) -> sqlite3.Row | None:
        """The voter's row for the image, which may be of a vote that is undone or set aside."""
        row: sqlite3.Row | None = self.connection.execute(
            "SELECT counted, previous, previous_reasons FROM votes"
            " WHERE image_id = ? AND voter_id = ?",
            (image_id, voter_id),
        ).fetchone()

        return row

    def _now(self, outcome: VoteOutcome, voter_id: int, *, kind: VoteKind) -> VoteOutcome:
        """The outcome with what is recorded now."""
        assert outcome.set_id is not None  # there was a vote

        return replace(outcome, kind=kind, ballot=self.ballot(outcome.set_id, voter_id))

    def ballot(self, set_id: str, voter_id: int) -> Ballot | None:
        """The member's votes on the images of a set that are shown; None if none is."""
        rows = self.connection.execute(
            "SELECT images.image_id, slot, counted AS rating, coalesce(reasons, '[]') AS reasons,"
            " request, rules, coalesce(guidelines.text, '') != '' AS has_guidelines,"
            " (SELECT value FROM counters WHERE name = 'seq') AS as_of"
            " FROM images JOIN sets USING (set_id) LEFT JOIN rules USING (guild_id)"
            " LEFT JOIN guidelines ON guidelines.guild_id = sets.guild_id"
            " LEFT JOIN votes ON votes.image_id = images.image_id AND voter_id = ?"
            " WHERE images.set_id = ? AND withheld IS NULL AND taken_out IS NULL AND NOT erased"
            " ORDER BY slot",
            (voter_id, set_id),
        ).fetchall()

        return ballot(set_id, voter_id, rows)

    def _note_unvoted(self, image_id: str, *, remote_only: bool, now: datetime) -> None:
        """If that was the last vote, note its end; without bytes on this host, remove the image."""
        column = "removed_at" if remote_only else "unvoted_since"
        self.connection.execute(
            f"UPDATE images SET {column} = ? WHERE image_id = ? AND NOT EXISTS ("
            "SELECT 1 FROM votes WHERE votes.image_id = images.image_id AND rating IS NOT NULL)",
            (timestamp(now), image_id),
        )

    # People

    def forget(self, user_id: int, *, requests: bool, now: datetime) -> Forgotten:
        """Take a person out: their votes and, with `requests`, their requests with all images."""
        return forget(self.connection, user_id, requests=requests, seq=self._next("seq"), now=now)

    def erase_old(
        self, *, unvoted_before: datetime, closed_before: datetime, now: datetime
    ) -> list[str]:
        """Take out some requests without votes, and some that were cancelled or failed, that were
        made before; the ids of their images."""
        return erase_old(
            self.connection,
            unvoted_before=unvoted_before,
            closed_before=closed_before,
            seq=lambda: self._next("seq"),
            now=now,
        )

    # Finding

    def find_set(self, subject: str, *, paired: bool = False) -> StoredSet | None:
        """The set with this id, or that of the image with this id, with all its images; None if
        there is none, or it is forgotten.

        paired: whether it may be of an arena, whose model nobody is to learn; then `subject` may be
        a pair's id too, for its left side.
        """
        row = self.connection.execute(
            "SELECT * FROM sets WHERE state != 'forgotten' AND (:paired OR state != 'arena')"
            " AND set_id = coalesce((SELECT set_id FROM images WHERE image_id = :id),"
            " (SELECT left_set FROM arena_pairs WHERE pair_id = :id), :id)",
            {"id": subject, "paired": paired},
        ).fetchone()
        if row is None:
            return None

        images = self.connection.execute(
            "SELECT * FROM images WHERE set_id = ? ORDER BY slot", (row["set_id"],)
        ).fetchall()

        return stored_set(row, images)

    def add_copy(self, set_id: str, *, channel_id: int, message_id: int) -> None:
        """Record a message that shows the set again; nothing for one that is forgotten."""
        self.connection.execute(
            "INSERT INTO copies SELECT ?, ?, set_id FROM sets"
            " WHERE set_id = ? AND state != 'forgotten'",
            (message_id, channel_id, set_id),
        )

    def copies(self, set_id: str) -> list[tuple[int, int]]:
        """The messages that show the set again: channel and message."""
        rows = self.connection.execute(
            "SELECT channel_id, message_id FROM copies WHERE set_id = ? ORDER BY message_id",
            (set_id,),
        )

        return [(row["channel_id"], row["message_id"]) for row in rows]

    def image_shard(self, image_id: str) -> int | None:
        """The number of the image's folder in the dataset; None if it was never there."""
        row = self.connection.execute(
            "SELECT image_shard FROM images WHERE image_id = ?", (image_id,)
        ).fetchone()

        return None if row is None else row["image_shard"]

    def unfinished_sets(self) -> list[StoredSet]:
        """Sets that are waiting, in the order in which they were recorded."""
        rows = self.connection.execute(
            "SELECT set_id FROM sets WHERE state = 'waiting' ORDER BY rowid"
        ).fetchall()
        found = (self.find_set(set_id) for (set_id,) in rows)

        return [stored for stored in found if stored is not None]

    # Images without votes

    def drop_unvoted(self, *, before: datetime, now: datetime, limit: int = 256) -> list[str]:
        """Mark at most `limit` images as removed that have no vote, and were made and last voted on
        before `before`; their ids.

        Images with changes that are not committed yet are left for later.
        """
        rows = self.connection.execute(
            """
            SELECT image_id FROM images
            WHERE removed_at IS NULL AND withheld IS NULL AND taken_out IS NULL
                AND unvoted_since < :before
                AND NOT EXISTS (
                    SELECT 1 FROM votes WHERE votes.image_id = images.image_id
                        AND seq > (SELECT committed_seq FROM watermark))
            ORDER BY unvoted_since LIMIT :limit
            """,
            {"before": timestamp(before), "limit": limit},
        ).fetchall()
        dropped = [image_id for (image_id,) in rows]
        self.connection.executemany(
            "UPDATE images SET removed_at = ? WHERE image_id = ?",
            [(timestamp(now), image_id) for image_id in dropped],
        )

        return dropped

    def unneeded(self, image_ids: Sequence[str]) -> list[str]:
        """Those of `image_ids` that were removed or withheld."""
        rows = self.connection.execute(
            "SELECT image_id FROM json_each(?) JOIN images ON image_id = value"
            " WHERE removed_at IS NOT NULL OR withheld IS NOT NULL",
            (json.dumps(image_ids),),
        )

        return [image_id for (image_id,) in rows]

    def unknown(self, image_ids: Sequence[str]) -> list[str]:
        """Those of `image_ids` that are not in the journal."""
        rows = self.connection.execute(
            "SELECT value FROM json_each(?) LEFT JOIN images ON image_id = value"
            " WHERE image_id IS NULL",
            (json.dumps(image_ids),),
        )

        return [image_id for (image_id,) in rows]

    def _next(self, counter: str) -> int:
        return next_number(self.connection, counter)


def _counted(known: sqlite3.Row | None) -> Rating | None:
    """The vote that counts, of a voter's row for an image."""
    return None if known is None or known["counted"] is None else Rating(known["counted"])
