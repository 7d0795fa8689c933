"""Which image a rater is shown next, and what becomes of the answer."""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from storage.dataset.changes import open_for_reading
from storage.dataset.memory import MemoryRepository
from storage.estimate.live import LiveEstimate
from storage.folder import DataFolder
from storage.journal.queries import Journal
from storage.journal.rating import showings
from storage.journal.rating.answers import answer
from storage.journal.rating.showings import AIMS, OFFERED_FOR, REPEAT_AFTER, Aims, Search, Showings
from storage.vote import (
    Answer,
    AnsweredBefore,
    Rating,
    Shown,
    ShownKind,
    VoteKind,
    VoteOutcome,
)
from tests.support.storage.data import NOON, a_set
from tests.support.storage.desk import Desk

GUILD, REQUESTER = 20, 10  # of `a_set`
PLAIN = replace(AIMS, gold_share=0, repeat_share=0)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with Desk.open(DataFolder(tmp_path), MemoryRepository) as desk:
        yield desk


def show(
    desk: Desk,
    rater: int,
    *,
    aims: Aims = PLAIN,
    guild: int | None = GUILD,
    after: timedelta = timedelta(),
    chance: random.Random | None = None,
) -> Shown | None:
    found = desk.note(
        lambda journal: Showings(journal.connection).next(
            rater, guild, aims=aims, chance=chance or random.Random(1), now=NOON + after
        )
    )
    assert not isinstance(found, Search)

    return found


def press(
    desk: Desk,
    shown: Shown | None,
    rater: int,
    given: Answer = Answer.GOOD,
    *,
    after: timedelta = timedelta(seconds=5),
) -> VoteOutcome | AnsweredBefore | None:
    assert shown is not None

    return desk.note(
        lambda journal: answer(
            journal, shown.exposure_id, rater, given, guild_id=GUILD, now=NOON + after
        )
    )


def rate(desk: Desk, rater: int, given: Answer = Answer.GOOD, *, aims: Aims = PLAIN) -> str | None:
    """Look at one image and answer; its id."""
    shown = show(desk, rater, aims=aims)
    if shown is None:
        return None

    press(desk, shown, rater, given)

    return shown.image_id


def mark_gold(desk: Desk, image_id: str) -> None:
    desk.note(
        lambda journal: journal.connection.execute(
            "UPDATE images SET gold = 'good' WHERE image_id = ?", (image_id,)
        )
    )


def counts(desk: Desk, image_id: str) -> tuple[int, int, int]:
    """What the triggers count: 👍, 👎, and people who look at it now."""
    row = desk.note(
        lambda journal: journal.connection.execute(
            "SELECT good, bad, offered FROM images WHERE image_id = ?", (image_id,)
        ).fetchone()
    )

    return tuple(row)


def test_each_image_gets_its_votes_from_different_people_and_then_none(desk: Desk) -> None:
    images = desk.show("a-set")

    seen = {rater: [rate(desk, rater) for _ in range(5)] for rater in (1, 2, 3)}

    for shown in seen.values():
        assert sorted(filter(None, shown)) == images
        assert shown[4] is None
    assert show(desk, 4) is None
    assert [counts(desk, image) for image in images] == [(3, 0, 0)] * 4


def test_what_somebody_looks_at_is_kept_free_until_their_time_is_over(desk: Desk) -> None:
    images = desk.show("a-set")
    one_each = replace(PLAIN, raters=1)

    shown = [show(desk, rater, aims=one_each) for rater in range(1, 6)]
    late = show(desk, 6, aims=one_each, after=OFFERED_FOR)

    assert sorted(one.image_id for one in shown[:4] if one) == images
    assert shown[4] is None
    assert late is not None


def test_a_skipped_image_is_free_for_others_and_never_shown_to_that_person(desk: Desk) -> None:
    images = desk.show("a-set")
    one_each = replace(PLAIN, raters=1)

    skipped = [rate(desk, 1, Answer.SKIPPED, aims=one_each) for _ in range(5)]
    voted = [rate(desk, 2, aims=one_each) for _ in range(5)]

    assert sorted(filter(None, skipped)) == sorted(filter(None, voted)) == images
    assert (skipped[4], voted[4]) == (None, None)


def test_images_with_a_disagreement_come_after_those_with_too_few_votes(desk: Desk) -> None:
    split, agreed, *fresh = desk.show("a-set")
    for image, ratings in {
        split: (Rating.GOOD, Rating.GOOD, Rating.BAD),
        agreed: (Rating.GOOD, Rating.GOOD, Rating.GOOD),
    }.items():
        for voter, rating in enumerate(ratings, start=100):
            desk.vote(image, voter, rating)

    shown = [rate(desk, 1) for _ in range(4)]

    assert sorted(filter(None, shown[:2])) == fresh
    assert shown[2:] == [split, None]


def test_by_the_estimate_unclear_labels_get_more_votes_and_certain_ones_none(desk: Desk) -> None:
    ids = [image for number in range(13) for image in desk.show(f"set-{number}")]
    certain, unclear, *others = ids
    reliable, careless = (100, 101, 102), (200, 201, 202)
    chance = random.Random(1)
    votes = [(certain, 100, "good"), (certain, 101, "good"), (certain, 200, "bad")]
    votes += [(unclear, voter, "good") for voter in careless]
    for image in others:
        right = chance.choice(("good", "bad"))
        votes += [(image, voter, right) for voter in reliable]
        votes += [(image, voter, chance.choice(("good", "bad"))) for voter in careless]

    desk.note(lambda journal: [journal.vote(i, v, Rating(r), now=NOON) for i, v, r in votes])
    before = rate(desk, 1)
    note_certain(desk)
    shown = [rate(desk, rater) for rater in range(2, 9)]

    assert before == certain  # two against one
    assert shown == [unclear] * 6 + [None]


def note_certain(desk: Desk) -> None:
    estimate = LiveEstimate(GUILD)
    with open_for_reading(desk.folder.journal) as journal:
        estimate.follow(journal)

    desk.note(lambda journal: Showings(journal.connection).note_certain(estimate.turned()))


def test_no_image_gets_more_than_one_vote_too_many_while_another_lacks_one(desk: Desk) -> None:
    split, *lacking = desk.show("a-set")
    for voter, rating in enumerate((Rating.GOOD, Rating.BAD, Rating.GOOD, Rating.BAD), start=100):
        desk.vote(split, voter, rating)

    for image in lacking:  # lack votes, but not of this person
        desk.vote(image, 1, Rating.GOOD)

    assert show(desk, 1) is None


def test_own_requests_come_last(desk: Desk) -> None:
    desk.show("own")
    desk.show_set(replace(a_set("others"), requester_id=REQUESTER + 1))

    shown = [rate(desk, REQUESTER) or "" for _ in range(8)]

    assert [image.partition("-")[0] for image in shown] == ["others"] * 4 + ["own"] * 4


@pytest.mark.parametrize(
    "change",
    [
        "removed_at = 'now'",
        "taken_out = 'now'",
        "missing_since = 'now'",
        "remote_only = 1",
        "erased = 1",
        "seq = NULL",
    ],
)
def test_only_images_that_are_there_are_shown(desk: Desk, change: str) -> None:
    desk.show("a-set")
    desk.note(lambda journal: journal.connection.execute(f"UPDATE images SET {change}"))

    assert show(desk, 1) is None


def test_withheld_images_and_those_of_other_servers_are_not_shown(desk: Desk) -> None:
    desk.show("a-set", withheld=[1, 2, 3])

    assert rate(desk, 1) == "a-set-4"
    assert show(desk, 1) is None
    assert show(desk, 2, guild=GUILD + 1) is None


def test_an_unanswered_image_is_shown_again_and_its_time_begins_anew(desk: Desk) -> None:
    desk.show("a-set")
    first = show(desk, 1)

    again = show(desk, 1, after=timedelta(seconds=60))
    press(desk, again, 1, after=timedelta(seconds=63))

    assert again == first
    [seconds] = desk.note(
        lambda journal: journal.connection.execute("SELECT seconds FROM votes").fetchone()
    )
    assert seconds == 3


def test_a_second_press_says_what_is_recorded_and_changes_nothing(desk: Desk) -> None:
    desk.show("a-set")
    shown = show(desk, 1)
    press(desk, shown, 1)

    again = press(desk, shown, 1, Answer.BAD)

    assert again == AnsweredBefore(answer=Answer.GOOD, rating=Rating.GOOD)
    assert shown is not None
    assert counts(desk, shown.image_id) == (1, 0, 0)


def test_nobody_answers_for_somebody_else(desk: Desk) -> None:
    desk.show("a-set")
    shown = show(desk, 1)

    outcome = press(desk, shown, 2)

    assert isinstance(outcome, VoteOutcome)
    assert outcome.kind is VoteKind.UNKNOWN_IMAGE
    assert shown is not None
    assert counts(desk, shown.image_id) == (0, 0, 1)


def test_gold_is_mixed_in_once_to_each_and_takes_the_place_of_nothing(desk: Desk) -> None:
    gold, *others = desk.show("a-set")
    mark_gold(desk, gold)
    only_gold = replace(PLAIN, gold_share=1)

    seen = []
    while (shown := show(desk, 1, aims=only_gold)) is not None:
        seen.append((shown.kind, shown.image_id))
        press(desk, shown, 1)

    assert seen[0] == (ShownKind.GOLD, gold)
    assert sorted(seen[1:]) == [(ShownKind.NORMAL, image) for image in others]


def test_a_repeat_is_recorded_beside_the_vote_and_does_not_change_it(desk: Desk) -> None:
    for number in range(8):
        desk.show(f"set-{number}")

    before = [rate(desk, 1) for _ in range(REPEAT_AFTER + 2)]
    often = replace(PLAIN, repeat_share=1)

    repeat = show(desk, 1, aims=often)
    outcome = press(desk, repeat, 1, Answer.BAD)

    assert repeat is not None
    assert repeat.kind is ShownKind.REPEAT
    assert repeat.image_id in before[:3]
    assert outcome is None
    assert counts(desk, repeat.image_id) == (1, 0, 0)
    answers = desk.note(
        lambda journal: journal.connection.execute(
            "SELECT kind, answer FROM exposures WHERE image_id = ? ORDER BY exposure_id",
            (repeat.image_id,),
        ).fetchall()
    )
    assert [tuple(row) for row in answers] == [("normal", "good"), ("repeat", "bad")]


def test_the_shares_are_as_set(desk: Desk) -> None:
    for number in range(100):
        images = desk.show(f"set-{number}")
        mark_gold(desk, images[0])

    chance = random.Random(7)
    kinds: Counter[ShownKind] = Counter()
    for rater in range(1, 9):
        for _ in range(100):
            shown = show(desk, rater, aims=AIMS, chance=chance)
            assert shown is not None
            kinds[shown.kind] += 1
            press(desk, shown, rater)

    share = {kind: number / kinds.total() for kind, number in kinds.items()}
    assert share[ShownKind.GOLD] == pytest.approx(0.10, abs=0.03)
    assert share[ShownKind.REPEAT] == pytest.approx(0.05, abs=0.02)


def test_seconds_of_a_vote_in_the_channel_begin_with_the_ballot(desk: Desk) -> None:
    first, second, *_ = desk.show("a-set")
    for image, at in ((first, NOON), (second, NOON + timedelta(seconds=4))):
        desk.note(partial(Journal.vote, image_id=image, voter_id=1, rating=Rating.GOOD, now=at))

    found = desk.note(
        lambda journal: journal.connection.execute("SELECT seconds FROM votes ORDER BY seq")
    )

    assert [seconds for (seconds,) in found] == [None, 4]


def test_nobody_knows_the_seconds_of_a_vote_that_undo_brought_back(desk: Desk) -> None:
    image, *_ = desk.show("a-set")
    for rating, at in ((Rating.GOOD, NOON), (Rating.BAD, NOON + timedelta(seconds=4))):
        desk.note(partial(Journal.vote, image_id=image, voter_id=1, rating=rating, now=at))

    desk.note(
        partial(
            Journal.undo,
            image_id=image,
            voter_id=1,
            rating=Rating.BAD,
            now=NOON + timedelta(seconds=6),
        )
    )

    found = desk.note(
        lambda journal: journal.connection.execute("SELECT rating, seconds FROM votes").fetchone()
    )
    assert tuple(found) == ("good", None)


def test_the_counters_follow_bans_and_forgetting(desk: Desk) -> None:
    image, *_ = desk.show("a-set")
    desk.vote(image, 1, Rating.GOOD)
    desk.vote(image, 2, Rating.BAD)
    desk.vote(image, 2, Rating.GOOD)
    desk.vote(image, 3, Rating.BAD)
    desk.vote(image, 3, None)
    show(desk, 4, aims=replace(PLAIN, raters=9))

    before = counts(desk, image)
    for person in (1, 4):
        desk.note(partial(Journal.forget, user_id=person, requests=False, now=NOON))

    assert before[:2] == (2, 0)
    assert counts(desk, image) == (1, 0, 0)


def test_a_rater_who_knows_most_images_is_found_one_in_short_transactions(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(showings, "LOOKED_AT", 3)
    images = [image for number in range(3) for image in desk.show(f"set-{number}")]
    for image in images[:-1]:
        desk.vote(image, 1, Rating.GOOD)

    for voter in (2, 3):  # so it comes last: among images with as many votes, chance decides
        desk.vote(images[-1], voter, Rating.GOOD)

    searches = 0
    found: Shown | Search | None = Search()
    while isinstance(found, Search):
        searches += 1
        found = desk.note(partial(_continued, search=found))

    assert found is not None
    assert found.image_id == images[-1]
    assert searches == 4


def _continued(journal: Journal, *, search: Search) -> Shown | Search | None:
    return Showings(journal.connection).next(
        1, GUILD, aims=PLAIN, chance=random.Random(1), now=NOON, search=search
    )
