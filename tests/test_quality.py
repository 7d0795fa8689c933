"""`oxherd quality`: the estimate is right more often than a count of votes, and says when."""

import csv
import json
from itertools import permutations
from pathlib import Path

import numpy as np
import pandas
import pytest
from typer.testing import CliRunner, Result

from benchmarks.quality import SCENARIOS, figures, missed_bars, simulate
from bot.commands import app
from storage.dataset.oxen import OxenRepository, OxenSettings
from storage.estimate.estimator import Estimator, Evidence
from storage.export.export import export
from storage.export.selection import Options, Truth
from storage.export.targets import TARGETS
from storage.folder import DataFolder
from storage.journal.file import JournalFile
from storage.journal.queries import Journal
from storage.quality.agreement import interval, krippendorff_alpha
from storage.quality.evidence import evidence_of, set_aside_beside
from storage.reading.collection import collected as collecting_votes
from storage.reading.oxen import checked_out
from storage.vote import Rating
from tests.support.storage.collected import Collected
from tests.support.storage.data import NOON
from tests.support.storage.desk import Desk


def oxherd(*arguments: str | Path) -> Result:
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert isinstance(done.exception, SystemExit | None), done.exc_info

    return done


def test_the_estimate_reaches_its_bars_and_a_count_of_votes_does_not() -> None:
    found = {
        method: {
            "scenarios": {
                name: figures(scenario, method=method, seeds=3)
                for name, scenario in SCENARIOS.items()
            },
            "update": {"hundred_more_s": 0},
            "live": {"hundred_more_s": 0},
        }
        for method in ("estimate", "majority")
    }

    assert missed_bars(found["estimate"]) == []
    assert len(missed_bars(found["majority"])) == len(SCENARIOS)


def test_new_votes_lead_to_the_estimate_of_all_votes() -> None:
    made = simulate(SCENARIOS["78 % right, 5 an image"], seed=1)
    at_once, later = Estimator(), Estimator()
    at_once.add(made.image, made.voter, made.good)
    later.add(made.image[:-100], made.voter[:-100], made.good[:-100])
    later.estimate()
    later.add(made.image[-100:], made.voter[-100:], made.good[-100:])

    whole, refined = at_once.estimate(), later.estimate()

    assert np.abs(whole.good - refined.good).max() < 0.02
    for voter, again in zip(whole.voters, refined.voters, strict=True):
        assert again.use == pytest.approx(voter.use, abs=0.02)


def test_gold_and_changed_answers_lower_the_use_of_a_voter() -> None:
    images, voters, good = [0, 0, 1, 1, 2, 2], [0, 1] * 3, [1, 1, 1, 0, 0, 0]
    estimates = []
    for evidence in (Evidence(), Evidence(gold={1: False}), Evidence(changed={0: 4})):
        estimator = Estimator(evidence)
        estimator.add(images, voters, good)
        estimates.append(estimator.estimate())

    plain, gold, changed = ([voter.use for voter in each.voters] for each in estimates)
    assert estimates[1].good[1] < 0.01
    assert gold[0] < plain[0]
    assert gold[1] > plain[1]
    assert changed[0] < plain[0]
    assert changed[1] == pytest.approx(plain[1], abs=0.1)


def test_alpha_is_what_its_definition_says() -> None:
    counts = [(3, 0), (2, 1), (0, 4), (1, 1), (1, 0)]
    ratings = [[1] * good + [0] * bad for good, bad in counts if good + bad > 1]
    flat = [rating for image in ratings for rating in image]
    observed = sum(
        (a != b) / (len(image) - 1) for image in ratings for a, b in permutations(image, 2)
    ) / len(flat)
    expected = sum(a != b for a, b in permutations(flat, 2)) / (len(flat) * (len(flat) - 1))

    assert krippendorff_alpha(counts) == pytest.approx(1 - observed / expected)
    assert krippendorff_alpha([(2, 0), (0, 2)]) == 1
    assert krippendorff_alpha([(2, 0), (1, 0)]) is None


def test_an_interval_holds_the_share_and_narrows_with_votes() -> None:
    low, high = interval(60, 100)
    narrow_low, narrow_high = interval(6_000, 10_000)

    assert low < narrow_low < 0.6 < narrow_high < high
    assert interval(0, 0) == (0.0, 1.0)


def test_the_tables_have_each_image_and_each_voter(collected: Collected, tmp_path: Path) -> None:
    done = oxherd("quality", tmp_path / "out", "--dataset", collected.dataset)

    assert done.exit_code == 0, done.stderr
    assert f"{len(collected.votes)} by 5 voters" in done.stdout
    images, voters = (
        list(csv.DictReader((tmp_path / "out" / name).read_text(encoding="utf-8").splitlines()))
        for name in ("images.csv", "voters.csv")
    )
    assert {row["image_id"] for row in images} == {vote.image_id for vote in collected.votes}
    assert {row["voter_id"] for row in voters} == {str(vote.voter) for vote in collected.votes}
    assert sum(int(row["votes"]) for row in voters) == len(collected.votes)
    assert all(0.5 <= float(row["certainty"]) <= 1 for row in images)
    figures = json.loads((tmp_path / "out" / "quality.json").read_text())
    assert sum(share["votes"] for share in figures["slots"]) == len(collected.votes)


def test_json_has_every_figure(collected: Collected) -> None:
    done = oxherd("quality", "--json", "--dataset", collected.dataset)

    found = json.loads(done.stdout)
    assert found["votes"] == len(collected.votes)
    assert found["months"][0]["month"] == "2026-05"
    assert len(found["seconds"]) == 3


def test_exports_take_the_estimated_labels(collected: Collected, tmp_path: Path) -> None:
    oxherd("quality", tmp_path / "quality", "--dataset", collected.dataset)
    with (tmp_path / "quality" / "images.csv").open(encoding="utf-8", newline="") as file:
        estimated = {row["image_id"]: row for row in csv.DictReader(file)}

    for target, options in (
        ("parquet", Options(min_certainty=0.7)),
        ("diffusion-kto", Options(pairs=Truth.LABELS, validation=0, test=0)),
    ):
        export(
            TARGETS[target],
            tmp_path / target,
            dataset=collected.dataset,
            revision=None,
            options=options,
            tell=lambda *_: None,
        )

    table = pandas.concat(pandas.read_parquet(path) for path in (tmp_path / "parquet").glob("t*"))
    assert set(table.image_id) <= {
        image for image, row in estimated.items() if float(row["certainty"]) >= 0.7
    }
    assert all(
        estimated[image]["label"] == said
        for image, said in zip(table.image_id, table.label, strict=True)
    )
    ratings = pandas.read_csv(tmp_path / "diffusion-kto" / "train_processed_v3.csv")
    assert ratings.file_name.is_unique
    assert all(
        (estimated[Path(name).stem]["label"] == "good") == (said == "exclusive_win")
        for name, said in zip(ratings.file_name, ratings.split, strict=True)
    )


def test_pairs_of_labels_have_no_voter_to_split_by() -> None:
    done = oxherd("export", "parquet", "out", "--pairs", "labels", "--split-by", "voter")

    assert done.exit_code == 1
    assert "an estimated label is made from the votes of many" in done.stderr


def test_gold_repeats_and_votes_set_aside_are_found(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    with JournalFile.open(folder.journal) as file:
        (journal_id,) = file.connection.execute("SELECT journal_id FROM watermark").fetchone()

    def open_repository() -> OxenRepository:
        return OxenRepository.open(
            OxenSettings(path=folder.dataset, config_dir=folder.oxen_config, journal_id=journal_id)
        )

    with Desk.open(folder, open_repository) as desk:
        first, second, third, _ = desk.show("set-0")
        for image_id, voter in ((first, 1), (second, 1), (second, 2), (third, 2)):
            desk.vote(image_id, voter, Rating.BAD)

        desk.note(lambda journal: _mark(journal, gold=second, set_aside=third))
        desk.settle()

    with (
        checked_out(folder.dataset) as checkout,
        collecting_votes(checkout, lambda *_: None) as collection,
    ):
        numbers = np.array([1, 2]), np.array([1, 2])
        evidence = evidence_of(collection, images=numbers[0], voters=numbers[1])

    assert evidence.gold == {1: True}
    assert evidence.changed == {0: 1}
    assert set_aside_beside(folder.dataset) == {"banned": 1}
    assert set_aside_beside(tmp_path / "elsewhere") == {}


def _mark(journal: Journal, *, gold: str, set_aside: str) -> None:
    """Voter 1 answered a repeat of the gold image differently."""
    connection = journal.connection
    connection.execute("UPDATE images SET gold = 'good' WHERE image_id = ?", (gold,))
    connection.execute(
        "INSERT INTO exposures (image_id, rater_id, kind, shown_at, answer, offered)"
        " VALUES (?, 1, 'repeat', ?, 'good', 0)",
        (gold, NOON.isoformat()),
    )
    connection.execute("UPDATE votes SET set_aside = 'banned' WHERE image_id = ?", (set_aside,))
