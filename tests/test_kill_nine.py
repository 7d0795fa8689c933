"""What SIGKILL cannot take away. The long run is `python -m tests.chaos.kill_nine --kills 200`."""

import asyncio
from pathlib import Path

import pytest

from bot.chat.texts import emoji, outcome_sentence
from storage.vote import Rating, VoteKind, VoteOutcome
from tests.chaos.kill_nine import chaos
from tests.support.storage import kept_dataset
from tests.support.storage.vote_ledger import Ledger, Undo

KEY = ("an image", 7)


@pytest.mark.parametrize("kills", [2, pytest.param(6, marks=pytest.mark.long)])
def test_no_acknowledged_vote_is_lost_or_doubled_by_kill_nine_under_load(
    tmp_path: Path, kills: int
) -> None:
    report = asyncio.run(chaos(tmp_path / "data", kills=kills, seed=7, check_every=4, most_s=2.0))

    assert report["problems"] == []
    assert sum(report["kills"].values()) == kills
    assert report["votes"]["acknowledged"] > 0
    assert report["rows"] > 0
    assert report["unknown_requests"] == []


def test_the_ledger_notices_a_lost_a_changed_and_an_invented_vote() -> None:
    ledger = told(Rating.GOOD)

    assert ledger.compare({KEY: "good"}) == []
    assert len(ledger.compare({})) == 1
    assert len(told(Rating.GOOD).compare({KEY: "bad"})) == 1
    assert len(told(Rating.GOOD).compare({KEY: "good", ("another", 7): "good"})) == 1


def test_the_ledger_takes_either_state_of_a_vote_whose_answer_nobody_saw() -> None:
    for rows in ({KEY: "good"}, {KEY: "bad"}):
        ledger = told(Rating.GOOD)
        ledger.press(KEY, Rating.BAD)

        assert ledger.compare(rows) == []


def test_the_ledger_notices_an_answer_that_forgot_the_last_one() -> None:
    ledger = told(Rating.GOOD)
    before = ledger.press(KEY, Rating.BAD)

    ledger.answer(KEY, Rating.BAD, sentence(Rating.BAD), slot=1, before=before)

    assert len(ledger.problems) == 1


def test_the_ledger_notices_a_ballot_that_does_not_show_the_vote_it_speaks_of() -> None:
    ledger = Ledger()
    before = ledger.press(KEY, Rating.GOOD)

    text = sentence(Rating.GOOD).replace("1 👍", "1 –")
    ledger.answer(KEY, Rating.GOOD, text, slot=1, before=before)

    assert len(ledger.problems) == 1


def test_the_ledger_expects_the_vote_before_after_an_undo() -> None:
    ledger = told(Rating.GOOD)
    ledger.press(KEY, Rating.BAD)
    ledger.compare({KEY: "bad"})
    ledger.press(KEY, Undo(Rating.BAD))

    assert ledger.compare({KEY: "good"}) == []
    assert len(ledger.compare({})) == 1


def test_a_stranger_notices_doubled_rows_and_images_that_are_missing_wrong_or_extra(
    tmp_path: Path,
) -> None:
    rows = ["x,images/0/x.png,good,7,x", "x,images/0/x.png,bad,7,x", "y,images/0/y.png,good,7,y"]
    files = {
        "train/0.csv": "\n".join(["prompt,path,rating,voter_id,image_id", *rows]),
        "generations/0.csv": "image_id,sha256\nx,0\ny,0\ny,0",
        "images/0/y.png": "not what was shown",
        "images/0/z.png": "nobody voted on it",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    problems = kept_dataset.read(tmp_path).problems

    assert len(problems) == 5


def told(rating: Rating) -> Ledger:
    """One member was told that their first vote is recorded."""
    ledger = Ledger()
    before = ledger.press(KEY, rating)
    ledger.answer(KEY, rating, sentence(rating), slot=1, before=before)

    return ledger


def sentence(rating: Rating) -> str:
    """The answer to a first vote, under the ballot's marks."""
    return f"1 {emoji(rating)}\n" + outcome_sentence(
        VoteOutcome(kind=VoteKind.RECORDED, slot=1, rating=rating)
    )
