"""What moderators did and set, as the journal stores it.

Nothing is deleted: a vote that is set aside keeps its row and its place in the dataset, so bringing
it back makes the same files as before.
"""

import json
import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta

from storage.acts import Act, ActKind, Ban, GoldImage, Order, Report, ServerRules, SetAside
from storage.clock import moment, timestamp
from storage.journal.consent import Consents
from storage.journal.counters import next_number
from storage.journal.moderation.brigades import Brigades
from storage.journal.moderation.guidelines import GuidelineBook
from storage.journal.people import People
from storage.vote import Rating, ShownIn

_ONE_ACT_WITHIN = timedelta(hours=1)

TIME_IS_OVER = "its time is over"


class Moderation:
    """The moderators' part of one open journal. Methods run inside a transaction of the caller's.

    Everything is kept by server. A request whose server is not known, because the journal was made
    anew from the dataset, counts as one of every server.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.brigades = Brigades(connection)
        self.guidelines = GuidelineBook(connection)

    def ban(self, member_id: int, order: Order, *, until: datetime | None, now: datetime) -> Act:
        """Keep the member from voting, and set their votes aside; a second ban replaces the first.

        until: when it ends; None: never.
        """
        ends = None if until is None else timestamp(until)
        self._connection.execute(
            "INSERT OR REPLACE INTO bans VALUES (?, ?, ?, ?)",
            (order.guild_id, member_id, ends, order.reason),
        )

        return self._on_votes(
            ActKind.BAN, member_id, order, old=(None,), new=SetAside.BANNED, until=until, now=now
        )

    def unban(self, member_id: int, order: Order, *, now: datetime) -> Act | None:
        """End the ban and bring its votes back; None if there is no ban."""
        ended = self._connection.execute(
            "DELETE FROM bans WHERE guild_id = ? AND member_id IN (?, ?)",
            (order.guild_id, *self._known_as(member_id)),
        )
        if not ended.rowcount:
            return None

        return self._on_votes(
            ActKind.UNBAN, member_id, order, old=(SetAside.BANNED,), new=None, now=now
        )

    def end_bans(self, *, now: datetime) -> list[Act]:
        """End the bans whose time is over, and bring their votes back."""
        over = self._connection.execute(
            "SELECT guild_id, member_id FROM bans WHERE until <= ?", (timestamp(now),)
        ).fetchall()
        acts = [
            self.unban(
                member_id,
                Order(guild_id=guild_id, moderator_id=None, reason=TIME_IS_OVER),
                now=now,
            )
            for guild_id, member_id in over
        ]

        return [act for act in acts if act is not None]

    def discard_votes(self, member_id: int, order: Order, *, now: datetime) -> Act:
        """Set aside all votes that the member gave until now; they may give new ones."""
        return self._on_votes(
            ActKind.DISCARD_VOTES,
            member_id,
            order,
            old=(None, SetAside.BANNED),
            new=SetAside.DISCARDED,
            now=now,
        )

    def restore_votes(self, member_id: int, order: Order, *, now: datetime) -> Act:
        """Bring back the votes that were discarded; those of a banned member when that ends."""
        banned = self.ban_of(member_id, order.guild_id, now=now) is not None

        return self._on_votes(
            ActKind.RESTORE_VOTES,
            member_id,
            order,
            old=(SetAside.DISCARDED, SetAside.BRIGADE, SetAside.HASTY, SetAside.GOLD),
            new=SetAside.BANNED if banned else None,
            now=now,
        )

    def set_alarm_aside(self, alarm_id: int, order: Order, *, now: datetime) -> Act | None:
        """Set aside the votes that an alarm is about; None if the server has nothing left to set
        aside."""
        alarm = self.brigades.find(alarm_id, guild_id=order.guild_id)
        if alarm is None or not alarm.votes:
            return None

        seq = next_number(self._connection, "seq")
        self._connection.execute(
            "UPDATE votes SET set_aside = ?, seq = ?"
            " WHERE rowid IN (SELECT value FROM json_each(?))",
            (SetAside.BRIGADE, seq, json.dumps(alarm.votes)),
        )

        return self._record(
            ActKind.SET_ASIDE,
            replace(order, guild_id=alarm.guild_id or order.guild_id),
            member_id=alarm.author_id,
            set_id=alarm.set_id,
            votes=len(alarm.votes),
            seq=seq,
            now=now,
        )

    def is_hasty(self, seconds: float, shown_in: ShownIn, guild_id: int | None) -> bool:
        """Whether nobody can have looked at an image in this time, as the server's moderators see
        it."""
        rules = ServerRules() if guild_id is None else self.rules(guild_id)
        least = {ShownIn.RATE: rules.rate_seconds, ShownIn.POST: rules.post_seconds}

        return seconds < least[shown_in]

    def note_haste(self, member_id: int, guild_id: int | None, *, seq: int, now: datetime) -> bool:
        """Record that a vote of the member was set aside because it came too soon, as one act an
        hour; whether it is the first one."""
        before = self._connection.execute(
            "SELECT act_id, acted_at FROM acts"
            " WHERE member_id = ? AND kind = ? AND guild_id IS ? ORDER BY act_id DESC LIMIT 1",
            (member_id, ActKind.HASTE, guild_id),
        ).fetchone()
        if before is not None and before["acted_at"] > timestamp(now - _ONE_ACT_WITHIN):
            self._connection.execute(
                "UPDATE acts SET votes = votes + 1 WHERE act_id = ?", (before["act_id"],)
            )
        else:
            order = Order(guild_id=guild_id, moderator_id=None)
            self._record(ActKind.HASTE, order, member_id=member_id, votes=1, seq=seq, now=now)

        return before is None

    def mark_gold(
        self, image_id: str, rating: Rating | None, order: Order, *, now: datetime
    ) -> Act | None:
        """Mark the right rating of an image, or that it is not gold any more (None). None if the
        server has no such image to show, or nothing changes."""
        row = self._connection.execute(
            "SELECT set_id FROM images JOIN sets USING (set_id)"
            " WHERE image_id = :image AND gold IS NOT :rating"
            " AND (can_be_rated OR :rating IS NULL) AND coalesce(guild_id, :guild) = :guild",
            {"image": image_id, "rating": rating, "guild": order.guild_id},
        ).fetchone()
        if row is None:
            return None

        seq = next_number(self._connection, "seq")
        self._connection.execute(
            "UPDATE images SET gold = ?, guild = ? WHERE image_id = ?",
            (rating, order.guild_id, image_id),
        )
        self._connection.execute(
            "UPDATE votes SET seq = ? WHERE image_id = ? AND rating IS NOT NULL", (seq, image_id)
        )

        return self._record(
            ActKind.UNGOLD if rating is None else ActKind.GOLD,
            order,
            set_id=row["set_id"],
            images=1,
            seq=seq,
            now=now,
        )

    def gold(self, guild_id: int, *, limit: int) -> list[GoldImage]:
        """The gold images of the server, those first on which most votes are wrong."""
        rows = self._connection.execute(
            """
            SELECT image_id, set_id, gold AS rating,
                iif(gold = 'good', good, bad) AS right, iif(gold = 'good', bad, good) AS wrong
            FROM images WHERE guild = ? AND gold IS NOT NULL
            ORDER BY wrong * 1.0 / max(1, good + bad) DESC, image_id LIMIT ?
            """,
            (guild_id, limit),
        )

        return [GoldImage(**dict(row)) for row in rows]

    def remove(self, subject: str, order: Order, *, now: datetime) -> Act | None:
        """Take an image, or all images of a set, out of the dataset; None if the server has none
        with this id that is in."""
        return self._on_images(ActKind.REMOVE, subject, order, taken_out=timestamp(now), now=now)

    def restore(self, subject: str, order: Order, *, now: datetime) -> Act | None:
        """Bring removed images back; None if the server has none with this id."""
        return self._on_images(ActKind.RESTORE, subject, order, taken_out=None, now=now)

    def rules(self, guild_id: int) -> ServerRules:
        """What moderators have set for the server."""
        row = self._connection.execute(
            "SELECT rules FROM rules WHERE guild_id = ?", (guild_id,)
        ).fetchone()

        return ServerRules() if row is None else ServerRules.from_json(row["rules"])

    def set_rules(self, kind: ActKind, rules: ServerRules, order: Order, *, now: datetime) -> Act:
        """Set them anew, as an act of this kind."""
        self._connection.execute(
            "INSERT OR REPLACE INTO rules VALUES (?, ?)",
            (order.guild_id, json.dumps(asdict(rules))),
        )

        return self._record(kind, order, now=now)

    def note_arena(
        self,
        kind: ActKind,
        order: Order,
        *,
        votes: int = 0,
        seq: int | None = None,
        now: datetime,
    ) -> Act:
        """Record that an arena was opened or closed. votes: how many were set aside. seq: of the
        change in the dataset."""
        return self._record(kind, order, votes=votes, seq=seq, now=now)

    def set_guidelines(
        self,
        text: str,
        order: Order,
        *,
        good: str | None,
        bad: str | None,
        again: bool,
        now: datetime,
    ) -> Act:
        """Replace the server's guidelines."""
        assert order.guild_id is not None
        self.guidelines.set(order.guild_id, text, good=good, bad=bad, again=again)

        return self._record(ActKind.GUIDELINES, order, now=now)

    def set_consent_text(self, text: str, order: Order, *, now: datetime) -> int:
        """Set what people of the server have to agree to; its version. Empty: nobody is asked."""
        assert order.guild_id is not None
        People(self._connection).server(order.guild_id)
        self._record(ActKind.CONSENT, order, now=now)

        return Consents(self._connection).set_text(order.guild_id, text, now=now)

    def is_shown(self, image_id: str, guild_id: int | None = None) -> bool:
        """Whether the server has this image, and all its members can see it: not as a spoiler.
        None: any server."""
        return (
            self._connection.execute(
                "SELECT 1 FROM images JOIN sets USING (set_id) WHERE image_id = ?"
                " AND coalesce(guild_id, ?) IS coalesce(?, guild_id) AND seq IS NOT NULL"
                " AND withheld IS NULL AND taken_out IS NULL AND removed_at IS NULL AND NOT erased"
                " AND NOT doubtful",
                (image_id, guild_id, guild_id),
            ).fetchone()
            is not None
        )

    def cancelled(
        self, member_id: int | None, set_id: str | None, order: Order, *, now: datetime
    ) -> Act:
        """Record that a member's requests were cancelled, or one request."""
        return self._record(ActKind.CANCEL, order, member_id=member_id, set_id=set_id, now=now)

    def report(self, set_id: str) -> Report:
        """Record that a member reported the request; what it was before, or that it is new."""
        row = self._connection.execute(
            "SELECT state FROM reports WHERE set_id = ?", (set_id,)
        ).fetchone()
        if row is None:
            self._connection.execute("INSERT INTO reports VALUES (?, ?)", (set_id, Report.OPEN))

        return Report.NEW if row is None else Report(row["state"])

    def take_back_report(self, set_id: str) -> None:
        """The moderators were not told, so it can be reported again."""
        self._connection.execute("DELETE FROM reports WHERE set_id = ?", (set_id,))

    def decide(
        self, kind: ActKind, set_id: str, member_id: int | None, order: Order, *, now: datetime
    ) -> Act:
        """Record what moderators decided on a report, on the request or its author."""
        self._connection.execute(
            "UPDATE reports SET state = ? WHERE set_id = ?", (Report.DECIDED, set_id)
        )

        return self._record(kind, order, member_id=member_id, set_id=set_id, now=now)

    def asked_since(self, since: datetime, member_id: int, guild_id: int | None) -> int:
        """How many requests of the member were accepted in the server, cancelled ones included."""
        (number,) = self._connection.execute(
            "SELECT count(*) FROM sets WHERE requester_id = ? AND created_at > ? AND guild_id IS ?",
            (member_id, timestamp(since), guild_id),
        ).fetchone()

        return int(number)

    def ban_of(self, member_id: int, guild_id: int | None, *, now: datetime) -> Ban | None:
        """The ban that holds now, if there is one."""
        # Every vote asks; the hash costs more than the question, and few servers banned a person
        # who had themselves forgotten.
        rows = self._connection.execute(
            "SELECT member_id, reason, until FROM bans WHERE guild_id = ?"
            " AND (member_id = ? OR member_id < 0) AND (until IS NULL OR until > ?)",
            (guild_id, member_id, timestamp(now)),
        ).fetchall()
        known_as = self._known_as(member_id) if rows else ()
        for row in rows:
            if row["member_id"] in known_as:
                return Ban(reason=row["reason"], until=moment(row["until"]))

        return None

    def _known_as(self, member_id: int) -> tuple[int, int]:
        """What a ban has for a member: the id, or its hash if they had themselves forgotten."""
        return member_id, People(self._connection).hashed_id(member_id)

    def votes_to_move(self, *, after_seq: int) -> int:
        """How many votes the acts after this change set aside or bring back."""
        (votes,) = self._connection.execute(
            "SELECT coalesce(sum(votes), 0) FROM acts WHERE seq > ?", (after_seq,)
        ).fetchone()

        return int(votes)

    def untold(self, *, limit: int, but_of: Collection[int | None] = ()) -> list[Act]:
        """The oldest acts that moderators were not told, but those of these servers."""
        rows = self._connection.execute(
            """
            SELECT * FROM acts
            WHERE told = 0 AND coalesce(guild_id, 0) NOT IN (SELECT value FROM json_each(?))
            ORDER BY act_id LIMIT ?
            """,
            (json.dumps([guild_id or 0 for guild_id in but_of]), limit),
        ).fetchall()

        return [_act(row) for row in rows]

    def mark_told(self, acts: Sequence[Act]) -> None:
        """Record that moderators were told these acts, or that there is nowhere to tell them."""
        self._connection.executemany(
            "UPDATE acts SET told = 1 WHERE act_id = ?", [(act.act_id,) for act in acts]
        )

    def _on_votes(
        self,
        kind: ActKind,
        member_id: int,
        order: Order,
        *,
        old: Sequence[SetAside | None],
        new: SetAside | None,
        until: datetime | None = None,
        now: datetime,
    ) -> Act:
        """Set aside, or bring back, the member's votes of the old states, in arenas too; None:
        votes that count.

        They share one number, so that one commit holds them all.
        """
        seq = next_number(self._connection, "seq")
        values = {
            "new": new,
            "old": json.dumps([state or "" for state in old]),
            "seq": seq,
            "member": member_id,
            "guild": order.guild_id,
        }
        moved = self._connection.execute(
            """
            UPDATE votes SET set_aside = :new, seq = :seq
            WHERE voter_id = :member AND rating IS NOT NULL
                AND coalesce(set_aside, '') IN (SELECT value FROM json_each(:old))
                AND (SELECT coalesce(guild_id, :guild) = :guild FROM images JOIN sets USING (set_id)
                    WHERE images.image_id = votes.image_id)
            """,
            values,
        )
        moved_in_arenas = self._connection.execute(
            """
            UPDATE arena_votes SET set_aside = :new, seq = :seq
            WHERE voter_id = :member AND choice IS NOT NULL
                AND coalesce(set_aside, '') IN (SELECT value FROM json_each(:old))
                AND (SELECT coalesce(guild_id, :guild) = :guild
                    FROM arena_pairs JOIN arenas USING (arena_id)
                    WHERE arena_pairs.pair_id = arena_votes.pair_id)
            """,
            values,
        )

        return self._record(
            kind,
            order,
            member_id=member_id,
            until=until,
            votes=moved.rowcount + moved_in_arenas.rowcount,
            seq=seq,
            now=now,
        )

    def _on_images(
        self, kind: ActKind, subject: str, order: Order, *, taken_out: str | None, now: datetime
    ) -> Act | None:
        """Change which of the images are taken out. They and their votes share one number."""
        found = self._connection.execute(
            """
            SELECT image_id, set_id, guild_id FROM images JOIN sets USING (set_id)
            WHERE (image_id = :subject OR set_id = :subject)
                AND coalesce(guild_id, :guild) IS coalesce(:guild, guild_id)
                AND (taken_out IS NULL) = :to_be_taken_out
            """,
            {
                "subject": subject,
                "guild": order.guild_id,
                "to_be_taken_out": taken_out is not None,
            },
        ).fetchall()
        if not found:
            return None

        images = json.dumps([row["image_id"] for row in found])
        seq = next_number(self._connection, "seq")
        # What only the remote has leaves for good: if it is restored, its bytes are missing.
        self._connection.execute(
            """
            UPDATE images SET taken_out = ?, seq = iif(seq IS NULL, NULL, ?), remote_only = 0
            WHERE image_id IN (SELECT value FROM json_each(?))
            """,
            (taken_out, seq, images),
        )
        self._connection.execute(
            """
            UPDATE votes SET seq = ?
            WHERE rating IS NOT NULL AND image_id IN (SELECT value FROM json_each(?))
            """,
            (seq, images),
        )
        self._connection.execute(
            """
            UPDATE arena_votes SET seq = ? WHERE choice IS NOT NULL AND pair_id IN (
                SELECT pair_id FROM arena_pairs JOIN images ON set_id IN (left_set, right_set)
                WHERE image_id IN (SELECT value FROM json_each(?)))
            """,
            (seq, images),
        )

        return self._record(
            kind,
            replace(order, guild_id=found[0]["guild_id"] or order.guild_id),
            set_id=found[0]["set_id"],
            images=len(found),
            seq=seq,
            now=now,
        )

    def _record(
        self,
        kind: ActKind,
        order: Order,
        *,
        member_id: int | None = None,
        set_id: str | None = None,
        until: datetime | None = None,
        votes: int = 0,
        images: int = 0,
        seq: int | None = None,
        now: datetime,
    ) -> Act:
        row = self._connection.execute(
            "INSERT INTO acts (guild_id, kind, moderator_id, member_id, set_id, reason, until,"
            " votes, images, acted_at, seq) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING *",
            (
                order.guild_id,
                kind,
                order.moderator_id,
                member_id,
                set_id,
                order.reason,
                None if until is None else timestamp(until),
                votes,
                images,
                timestamp(now),
                seq,
            ),
        ).fetchone()

        return _act(row)


def _act(row: sqlite3.Row) -> Act:
    acted_at = moment(row["acted_at"])
    assert acted_at is not None

    return Act(
        act_id=row["act_id"],
        guild_id=row["guild_id"],
        kind=ActKind(row["kind"]),
        moderator_id=row["moderator_id"],
        member_id=row["member_id"],
        set_id=row["set_id"],
        reason=row["reason"],
        until=moment(row["until"]),
        votes=row["votes"],
        images=row["images"],
        acted_at=acted_at,
    )
