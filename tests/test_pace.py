"""Votes that come faster than anybody can look are kept, and set aside."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from storage.acts import ActKind, Order
from storage.dataset.memory import MemoryRepository
from storage.folder import DataFolder
from storage.journal.queries import Journal
from storage.vote import Rating, ShownIn, VoteKind, VoteOutcome
from tests.support.discord.world import buttons, seen, text_of, world
from tests.support.storage.data import NOON, dataset
from tests.support.storage.desk import Desk

GUILD, REQUESTER, VOTER = 20, 10, 7  # of `a_set`
ORDER = Order(guild_id=GUILD, moderator_id=1)


@pytest.fixture
def repository() -> MemoryRepository:
    return MemoryRepository()


@pytest.fixture
def desk(tmp_path: Path, repository: MemoryRepository) -> Iterator[Desk]:
    with Desk.open(DataFolder(tmp_path), lambda: repository) as desk:
        yield desk


@pytest.fixture
def vote(desk: Desk) -> Callable[..., VoteOutcome]:
    def vote(image_id: str, seconds: float, now: datetime = NOON) -> VoteOutcome:
        return desk.note(
            partial(
                Journal.vote,
                image_id=image_id,
                voter_id=VOTER,
                rating=Rating.GOOD,
                guild_id=GUILD,
                shown_in=ShownIn.RATE,
                seconds=seconds,
                now=now,
            )
        )

    return vote


def acts(desk: Desk) -> list[tuple[ActKind, int]]:
    found = desk.note(lambda journal: journal.moderation.untold(limit=100))

    return [(act.kind, act.votes) for act in found]


def test_hasty_votes_are_kept_but_not_in_the_dataset_and_are_one_act_an_hour(
    desk: Desk, repository: MemoryRepository, vote: Callable[..., VoteOutcome]
) -> None:
    images = desk.show("a-set")

    outcomes = [
        vote(images[0], 0.2),
        vote(images[1], 0.2, NOON + timedelta(minutes=59)),
        vote(images[2], 0.2, NOON + timedelta(minutes=61)),
        vote(images[3], 2.0, NOON + timedelta(minutes=62)),
    ]
    desk.settle()

    assert [(outcome.kind, outcome.first_haste) for outcome in outcomes] == [
        (VoteKind.HASTY, True),
        (VoteKind.HASTY, False),
        (VoteKind.HASTY, False),
        (VoteKind.RECORDED, False),
    ]
    assert acts(desk) == [(ActKind.HASTE, 2), (ActKind.HASTE, 1)]
    assert set(dataset(repository.files).ratings) == {(images[3], VOTER)}
    assert any("3 votes set aside" in commit.message for commit in repository.log(9))


def test_restore_votes_brings_hasty_ones_back(
    desk: Desk, repository: MemoryRepository, vote: Callable[..., VoteOutcome]
) -> None:
    image, *_ = desk.show("a-set")
    vote(image, 0.2)

    desk.note(lambda journal: journal.moderation.restore_votes(VOTER, ORDER, now=NOON))
    desk.settle()

    assert set(dataset(repository.files).ratings) == {(image, VOTER)}


def test_a_later_press_that_is_not_hasty_counts(
    desk: Desk, repository: MemoryRepository, vote: Callable[..., VoteOutcome]
) -> None:
    image, *_ = desk.show("a-set")
    vote(image, 0.2)

    again = vote(image, 3.0)
    desk.settle()

    assert again.kind is VoteKind.RECORDED
    assert set(dataset(repository.files).ratings) == {(image, VOTER)}


async def test_a_rater_is_told_once_and_goes_on(tmp_path: Path) -> None:
    async with world(tmp_path, gold_share=0, repeat_share=0) as w:
        await w.imagine(w.alice, "a fox")
        mod = w.moderator()
        said = await mod.slash(w.channel, "oxherd pace", rate=60, reason="a test")
        await w.bob.slash(w.channel, "rate")

        read = []
        for _ in range(2):
            panel = w.private(w.bob)[-1]
            await w.bob.click(panel, custom_id=buttons(panel)[0])
            read.append(text_of(w.private(w.bob)[-1]))

        await w.committed()

        assert "A vote counts from 60 s after an image was shown" in text_of(seen(said).message)
        assert read[0].startswith("-# That was faster than anybody can look at an image")
        assert read[1].startswith("-# 👍 recorded.")
        assert w.rows() == []


async def test_in_the_channel_the_ballot_says_that_a_hasty_vote_does_not_count(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        message = await w.imagine(w.alice, "a fox")
        await w.moderator().slash(w.channel, "oxherd pace", post=60)

        await w.vote(w.bob, message, 1, Rating.GOOD)
        ballot = await w.vote(w.bob, message, 2, Rating.GOOD)
        await w.committed()

        assert "1 👍 · 2 – · 3 – · 4 –" in text_of(ballot)
        assert "your 👍 for image 2 is kept but does not count" in text_of(ballot)
        assert [row["slot"] for row in w.rows()] == ["1"]
