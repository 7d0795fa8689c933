"""/me, /top, /leaderboard and /oxherd stats: votes count by agreement, and servers are apart."""

import asyncio
import random
import re
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from storage.acts import Order
from storage.dataset.changes import open_for_reading
from storage.dataset.memory import MemoryRepository
from storage.estimate.live import LiveEstimate
from storage.folder import DataFolder
from storage.journal.queries import Journal
from storage.journal.rating.answers import answer as record_answer
from storage.journal.standing import images, members, server
from storage.journal.standing.figures import Place, Trust
from storage.vote import Answer, Rating
from tests.support.discord.servers import other_server, serve_both
from tests.support.discord.world import image_ids, seen, text_of, vote_ids, world
from tests.support.storage.data import NOON, PROVENANCE, a_set, four_images
from tests.support.storage.desk import Desk

GOOD, BAD = Rating.GOOD, Rating.BAD
SERVER = 20  # of the desk's requests
LONG_AGO = NOON - timedelta(days=365)
NO_TRUST = Trust(voters={}, certain=0)
CAREFUL, OTHERS, HASTY, RANDOM = 1, (2, 3, 4), 5, 6


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with Desk.open(DataFolder(tmp_path), MemoryRepository) as desk:
        yield desk


def show(desk: Desk, number: int) -> list[str]:
    """Sets without the bytes of their images; the images' ids."""

    def record(journal: Journal) -> list[str]:
        ids = []
        for name in (f"set-{each}" for each in range(number)):
            made = four_images(name)
            journal.add_request(a_set(name), now=NOON)
            journal.add_images(name, made, provenance=PROVENANCE, now=NOON)
            journal.mark_posted(name, message_id=1, now=NOON)
            ids += [image.image_id for image in made]

        return ids

    return desk.note(record)


def vote(desk: Desk, votes: dict[str, dict[int, Rating]]) -> None:
    def record(journal: Journal) -> None:
        for image_id, of_image in votes.items():
            for voter_id, rating in of_image.items():
                journal.vote(image_id, voter_id, rating, now=NOON)

    desk.note(record)


def leaderboard(desk: Desk, guild_id: int = SERVER) -> dict[int, Place]:
    with open_for_reading(desk.folder.journal) as journal:
        return {
            place.member_id: place
            for place in members.leaderboard(
                journal, guild_id, LONG_AGO, trust=LiveEstimate(guild_id).follow(journal)
            )
        }


def test_votes_count_by_agreement_and_not_by_number(desk: Desk) -> None:
    chance = random.Random(1)
    ids = show(desk, 30)
    right = {image_id: BAD if number % 3 == 0 else GOOD for number, image_id in enumerate(ids)}
    votes: dict[str, dict[int, Rating]] = {
        image_id: dict.fromkeys(OTHERS, rating) for image_id, rating in right.items()
    }
    for number, image_id in enumerate(ids):
        votes[image_id][HASTY] = GOOD  # two of three are good, so this agrees often
        votes[image_id][RANDOM] = chance.choice((GOOD, BAD))
        if number < 40:
            votes[image_id][CAREFUL] = right[image_id]

    vote(desk, votes)
    places = leaderboard(desk)

    assert places[OTHERS[0]].counting > places[CAREFUL].counting > 30
    for careless in (HASTY, RANDOM):
        assert careless not in places or places[careless].counting < 10


def test_a_vote_on_gold_is_compared_with_the_right_answer(desk: Desk) -> None:
    gold, other, *_ = show(desk, 1)
    desk.note(
        lambda journal: journal.connection.execute(
            "UPDATE images SET gold = 'bad' WHERE image_id = ?", (gold,)
        )
    )
    vote(desk, {gold: {1: GOOD, 2: GOOD, 3: BAD}, other: {1: GOOD}})

    found = {}
    with open_for_reading(desk.folder.journal) as journal:
        for member in (1, 3):
            figures = members.figures_of(journal, SERVER, member, trust=NO_TRUST, today=NOON.date())
            found[member] = figures.agreement.compared, figures.agreement.agreed

    assert found == {1: (1, 0), 3: (1, 1)}


def test_a_lucky_vote_does_not_lead(desk: Desk) -> None:
    ids = show(desk, 5)
    vote(desk, {image_id: dict.fromkeys(OTHERS, GOOD) for image_id in ids[:10]})
    vote(desk, {image_id: dict.fromkeys(OTHERS, BAD) for image_id in ids[10:]})
    vote(desk, {ids[0]: {CAREFUL: GOOD}})

    assert max(leaderboard(desk).values(), key=lambda place: place.counting).member_id in OTHERS


def test_what_is_set_aside_and_who_is_forgotten_has_no_place(desk: Desk) -> None:
    ids = show(desk, 5)
    for rating, some in ((GOOD, ids[:10]), (BAD, ids[10:])):
        vote(desk, {image_id: dict.fromkeys(OTHERS, rating) for image_id in some})

    assert set(leaderboard(desk)) == set(OTHERS)
    order = Order(guild_id=SERVER, moderator_id=9)
    desk.note(lambda journal: journal.moderation.ban(OTHERS[0], order, until=None, now=NOON))
    assert set(leaderboard(desk)) == set(OTHERS[1:])

    desk.note(lambda journal: journal.forget(OTHERS[1], requests=False, now=NOON))
    assert leaderboard(desk) == {}  # with nobody to compare with


def test_the_live_estimate_is_that_of_all_votes_whatever_changes(desk: Desk) -> None:
    chance = random.Random(2)
    ids = show(desk, 20)
    right = {image_id: chance.choice((GOOD, BAD)) for image_id in ids}
    wrong = {GOOD: BAD, BAD: GOOD}
    vote(
        desk,
        {
            image_id: {
                voter: rating if chance.random() < 0.9 else wrong[rating]
                for voter in (*OTHERS, HASTY)
            }
            for image_id, rating in right.items()
        },
    )
    live = LiveEstimate(SERVER)
    order = Order(guild_id=SERVER, moderator_id=9)
    changes: list[Callable[[Journal], object]] = [
        lambda journal: [journal.vote(each, CAREFUL, right[each], now=NOON) for each in ids[:30]],
        lambda journal: [journal.vote(each, HASTY, BAD, now=NOON) for each in ids[:30]],
        lambda journal: journal.undo(ids[0], HASTY, BAD, now=NOON),
        lambda journal: journal.moderation.mark_gold(ids[1], BAD, order, now=NOON),
        lambda journal: _repeat(journal, ids[3], OTHERS[2], answer=GOOD),
        lambda journal: journal.moderation.ban(OTHERS[0], order, until=None, now=NOON),
        lambda journal: journal.moderation.remove(ids[2], order, now=NOON),
        lambda journal: journal.forget(OTHERS[1], requests=False, now=NOON),
    ]
    for change in (lambda journal: None, *changes):
        desk.note(change)
        with open_for_reading(desk.folder.journal) as journal:
            followed, anew = live.follow(journal), LiveEstimate(SERVER).follow(journal)

        assert followed.voters.keys() == anew.voters.keys()
        for voter_id, reliability in anew.voters.items():
            assert followed.voters[voter_id].votes == reliability.votes
            assert followed.voters[voter_id].use == pytest.approx(reliability.use, abs=0.03)

    assert set(followed.voters) == {CAREFUL, OTHERS[2], HASTY}


def _repeat(journal: Journal, image_id: str, rater_id: int, *, answer: Rating) -> None:
    """Show the rater again what they voted on, and record what they answer."""
    (exposure_id,) = journal.connection.execute(
        "INSERT INTO exposures (image_id, rater_id, kind, shown_at, offered)"
        " VALUES (?, ?, 'repeat', ?, 1) RETURNING exposure_id",
        (image_id, rater_id, NOON.isoformat()),
    ).fetchone()
    record_answer(journal, exposure_id, rater_id, Answer(answer), guild_id=SERVER, now=NOON)


def test_no_server_knows_of_another(desk: Desk) -> None:
    ids = show(desk, 2)
    vote(desk, {image_id: dict.fromkeys(OTHERS, GOOD) for image_id in ids})
    with open_for_reading(desk.folder.journal) as journal:
        trust = LiveEstimate(SERVER + 1).follow(journal)
        assert images.best_since(journal, SERVER + 1, LONG_AGO, limit=9) == []
        assert members.leaderboard(journal, SERVER + 1, LONG_AGO, trust=trust) == []
        theirs = members.figures_of(journal, SERVER + 1, OTHERS[0], trust=trust, today=NOON.date())
        there = server.figures(
            journal, SERVER + 1, trust=trust, raters=3, days=30, today=NOON.date()
        )

    assert (theirs.votes, theirs.reliability) == (0, None)
    assert (there.votes, there.voters, there.waiting, there.certain) == (0, 0, 0, 0)


def test_the_best_image_has_many_good_votes_and_not_one(desk: Desk) -> None:
    one, many, mixed, author = show(desk, 1)
    nine = dict.fromkeys(range(100, 109), GOOD)
    vote(desk, {one: {100: GOOD}, many: {**nine, 109: BAD}, mixed: {100: GOOD, 101: BAD}})
    vote(desk, {author: {a_set("set-0").requester_id: GOOD}})  # one's own does not count

    with open_for_reading(desk.folder.journal) as journal:
        best = images.best_since(journal, SERVER, LONG_AGO, limit=9)
        later = images.best_since(journal, SERVER, NOON + timedelta(days=1), limit=9)

    assert [(image.image_id, image.good, image.bad) for image in best] == [
        (many, 9, 1),
        (one, 1, 0),
    ]
    assert later == []


def test_a_streak_ends_today_or_yesterday() -> None:
    today = date(2026, 3, 2)
    days = [today - timedelta(days=number) for number in (1, 2, 3, 5)]

    assert members.streak(days, today=today) == 3
    assert members.streak([*days, today], today=today) == 4
    assert members.streak(days, today=today + timedelta(days=1)) == 0


def test_the_servers_figures(desk: Desk) -> None:
    ids = show(desk, 1)
    vote(desk, {ids[0]: {1: GOOD, 2: GOOD, 3: BAD}, ids[1]: {1: GOOD}})
    with open_for_reading(desk.folder.journal) as journal:
        found = server.figures(
            journal, SERVER, trust=NO_TRUST, raters=3, days=30, today=NOON.date()
        )

    assert (found.votes, found.voters, found.waiting) == (4, 3, 3)
    assert (found.agreement.compared, found.agreement.agreed) == (1, 0)  # 3; 1 and 2 see a tie
    assert len(found.days) == 30
    assert (found.days[-1].day, found.days[-1].good, found.days[-1].bad) == (NOON.date(), 3, 1)


async def _liked(w: Any, message: Any, slot: int, *members: Any) -> None:
    for member in members:
        await w.press(member, message, vote_ids(message)[slot, GOOD])


async def test_a_member_sees_their_figures_and_their_images_that_others_like(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        message = await w.imagine(w.alice, "a fox")
        await _liked(w, message, 2, w.alice, w.bob, w.member("third"))
        answer = seen(await w.alice.slash(w.channel, "me"))
        assert answer.ephemeral
        assert "## 1 vote" in text_of(answer.message)
        assert "what you asked for yourself do not count here" in text_of(answer.message)
        assert "1. a fox · 2 👍 0 👎" in text_of(answer.message)
        assert [file.filename for file in answer.message.attachments] == [
            f"{image_ids(message)[1]}.jpg"
        ]

        answer = seen(await w.bob.slash(w.channel, "me"))
        assert "You have voted on 1 day in a row." in text_of(answer.message)
        assert "Most others agree with 100% of the 1 vote" in text_of(answer.message)


async def test_the_best_images_are_those_of_channels_that_the_member_may_see(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        hidden = w.guild.create_text_channel("hidden")
        message = await w.imagine(w.alice, "a fox")
        await _liked(w, message, 2, w.bob, w.member("third"))
        asked_there = await w.alice.slash(hidden, "imagine", prompt="a secret")
        await w.posted()
        secret = seen(asked_there).message
        await _liked(w, secret, 1, w.bob, w.member("fourth"), w.member("fifth"))

        answer = seen(await w.bob.slash(w.channel, "top"))
        assert "1. a secret · 3 👍 0 👎" in text_of(answer.message)
        assert "2. a fox · 2 👍 0 👎" in text_of(answer.message)

        await _hide(w, hidden)
        answer = seen(await w.bob.slash(w.channel, "top"))
        assert "a secret" not in text_of(answer.message)
        assert "1. a fox · 2 👍 0 👎" in text_of(answer.message)


async def _hide(w: Any, channel: Any) -> None:
    """Only those who are allowed see the channel from now on."""
    everyone = w.client.get_guild(w.guild.id).default_role
    await w.client.get_channel(channel.id).set_permissions(everyone, view_channel=False)
    await w.env.settle()


async def test_the_leaderboard_has_members_of_this_server_alone(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        other = other_server(w)
        await serve_both(w, other)
        third, left = w.member("third"), w.member("left")
        for rating in (GOOD, BAD):
            for _ in range(3):
                message = await w.imagine(w.alice, "a fox")
                for slot in range(1, 5):
                    for voter in (w.bob, third, left):
                        await w.press(voter, message, vote_ids(message)[slot, rating])

        w.guild.remove_member(left)
        said = text_of(seen(await w.bob.slash(w.channel, "leaderboard")).message)
        assert f"1. <@{w.bob.id}> · 19 count · 100% of 24 agreed" in said
        assert f"<@{third.id}>" in said
        assert f"<@{left.id}>" not in said
        assert f"<@{w.alice.id}>" not in said

        there = text_of(seen(await other.member.slash(other.channel, "leaderboard")).message)
        assert there.startswith("Nobody has a place yet")


async def test_the_leaderboard_asks_for_more_than_a_hundred_members(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        here = [w.member(f"member {number}") for number in range(12)]
        ids = [image for _ in range(2) for image in image_ids(await w.imagine(w.alice, "a fox"))]
        store = w.parts.store
        await asyncio.gather(
            *(
                store.vote(image, voter, GOOD if number % 2 else BAD)
                for voter, votes in {
                    **dict.fromkeys(range(1, 101), 8),  # have left the server
                    **dict.fromkeys([member.id for member in here], 6),
                    w.bob.id: 4,
                }.items()
                for number, image in enumerate(ids[:votes])
            )
        )

        said = text_of(seen(await w.bob.slash(w.channel, "leaderboard")).message)

        places = re.findall(r"^(\d+)\. <@(\d+)>", said, re.MULTILINE)
        first = sorted(member.id for member in here)[:10]
        assert places == [
            *((str(number), str(member)) for number, member in enumerate(first, start=1)),
            ("13", str(w.bob.id)),
        ]


async def test_moderators_read_figures_and_see_a_plot(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        moderator = w.moderator()
        message = await w.imagine(w.alice, "a fox")
        await _liked(w, message, 2, w.bob, w.alice)
        answer = seen(await moderator.slash(w.channel, "oxherd stats"))

        assert "**2 votes** by 2 members" in answer.content
        assert "4 images have fewer than 3 votes." in answer.content
        [plot] = answer.message.attachments
        assert (await plot.read()).startswith(b"\x89PNG")
