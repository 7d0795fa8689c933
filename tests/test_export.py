"""`oxherd export`: what trainers read is what people voted, byte for byte, and nothing is lost."""

import hashlib
import json
import re
import shutil
from collections import Counter
from pathlib import Path

import pandas
import pyarrow.parquet
import pytest
from typer.testing import CliRunner, Result

from bot.commands import app
from storage.export.export import export
from storage.export.selection import Options, SplitBy, same_prompt
from storage.export.targets import TARGETS
from storage.export.verify import Verified, verify
from tests.support.storage.collected import OTHER_MODEL, Collected
from tests.support.storage.data import files_below

EVERY = list(TARGETS)


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("exports")


@pytest.fixture
def exported(request: pytest.FixtureRequest, collected: Collected, exports: Path) -> Path:
    """The export of a target, made once."""
    out = exports / str(request.param)
    if not out.exists():
        write(request.param, out, collected)

    return out


def write(target: str, out: Path, collected: Collected, **options: object) -> dict[str, int]:
    done = export(
        TARGETS[target],
        out,
        dataset=collected.dataset,
        revision=None,
        options=Options(**options),  # type: ignore[arg-type]  # by name, as typed in the tests
        tell=lambda *_: None,
    )

    return {"used": done.selection.used, **done.selection.left_out}


def check(out: Path, collected: Collected) -> Verified:
    return verify(out, dataset=collected.dataset, tell=lambda *_: None)


def oxherd(*arguments: str | Path) -> Result:
    done = CliRunner().invoke(app, ["export", *map(str, arguments)])
    assert isinstance(done.exception, SystemExit | None), done.exc_info

    return done


@pytest.mark.parametrize("exported", EVERY, indirect=True)
def test_every_row_is_what_the_votes_say(exported: Path, collected: Collected) -> None:
    found = check(exported, collected)

    assert found.problems == []
    assert found.rows > 0
    assert found.compared_with is not None


@pytest.mark.parametrize("exported", EVERY, indirect=True)
def test_used_and_left_out_add_up_to_the_votes(exported: Path, collected: Collected) -> None:
    about = json.loads((exported / "export.json").read_text())

    assert about["votes"] == len(collected.votes)
    assert about["used"] + sum(about["left_out"].values()) == len(collected.votes)
    card = (exported / "README.md").read_text()
    assert f"| used | {about['used']} |" in card
    assert f"commit `{about['commit']}`" in card
    assert "Licence: CC0-1.0" in card


@pytest.mark.parametrize("exported", EVERY, indirect=True)
def test_the_same_again_is_the_same_bytes(
    exported: Path, collected: Collected, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    write(exported.name, tmp_path / "elsewhere", collected)

    assert files_below(tmp_path / "elsewhere") == files_below(exported)


@pytest.mark.parametrize("exported", EVERY, indirect=True)
def test_no_file_names_a_person(exported: Path, collected: Collected) -> None:
    content = b"".join(files_below(exported).values())

    assert not [vote.voter for vote in collected.votes if str(vote.voter).encode() in content]


@pytest.mark.parametrize("exported", EVERY, indirect=True)
def test_its_sums_are_those_of_all_other_files(exported: Path) -> None:
    files = files_below(exported)
    sums = files.pop("SHA256SUMS").decode().splitlines()

    assert sorted(sums) == sorted(
        f"{hashlib.sha256(content).hexdigest()}  {name}" for name, content in files.items()
    )


def test_pairs_are_one_voters_good_times_bad_images_of_one_set(
    collected: Collected, tmp_path: Path
) -> None:
    write("diffusers-dpo", tmp_path / "out", collected)

    rows = [
        row
        for split in ("train", "validation", "test")
        for row in pyarrow.parquet.read_table(tmp_path / "out" / split).to_pylist()
    ]
    said = Counter(
        (row["caption"], *(hashlib.sha256(png).hexdigest() for png in (better, worse)))
        for row in rows
        for images in [(row["jpg_0"], row["jpg_1"])]
        for better, worse in [images if row["label_0"] else images[::-1]]
    )
    assert said == Counter(
        (prompt, collected.sha256(good), collected.sha256(bad))
        for prompt, good, bad in collected.pairs()
    )
    assert {row["label_0"] for row in rows} == {0, 1}


def test_no_prompt_is_in_two_splits_in_any_spelling(collected: Collected, tmp_path: Path) -> None:
    write("parquet", tmp_path / "out", collected, validation=0.3, test=0.3)

    sides = [
        {same_prompt(prompt) for prompt in pandas.read_parquet(tmp_path / "out" / split).prompt}
        for split in ("train", "validation", "test")
    ]
    assert all(sides)
    assert sum(map(len, sides)) == len(set.union(*sides))
    assert same_prompt("A Fox  Number 1") in set.union(*sides)


def test_split_by_voter_has_no_voter_in_two_splits(collected: Collected, tmp_path: Path) -> None:
    counts = write(
        "parquet",
        tmp_path / "out",
        collected,
        split_by=SplitBy.VOTER,
        validation=0.3,
        test=0.3,
        raw_ids=True,
    )

    voters = [
        {
            vote["voter"]
            for votes in pandas.read_parquet(tmp_path / "out" / split).votes
            for vote in votes
        }
        for split in ("train", "validation", "test")
    ]
    assert sum(map(len, voters)) == len(set.union(*voters))
    assert counts["its voter and its prompt are in different splits"] > 0
    assert check(tmp_path / "out", collected).problems == []


def test_filters_leave_out_what_they_say(collected: Collected, tmp_path: Path) -> None:
    raters = Counter(vote.image_id for vote in collected.votes if vote.model == OTHER_MODEL)

    counts = write("imagefolder", tmp_path / "out", collected, model=OTHER_MODEL, min_raters=2)

    assert counts["a different model"] == sum(vote.model != OTHER_MODEL for vote in collected.votes)
    assert counts["the image has too few raters"] == sum(
        number for number in raters.values() if number < 2
    )
    assert counts["used"] == sum(number for number in raters.values() if number >= 2)


def test_an_earlier_commit_is_exported_as_it_was(collected: Collected, tmp_path: Path) -> None:
    short = collected.first_commit[:10]

    done = oxherd("parquet", tmp_path / "out", "--dataset", collected.dataset, "--revision", short)

    assert done.exit_code == 0, done.stderr
    about = json.loads((tmp_path / "out" / "export.json").read_text())
    assert about["commit"] == collected.first_commit
    assert 0 < about["votes"] < len(collected.votes)
    assert oxherd("--verify", tmp_path / "out", "--dataset", collected.dataset).exit_code == 0


def test_a_copy_without_history_is_exported_too(collected: Collected, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(collected.dataset, copy, ignore=shutil.ignore_patterns(".oxen"))
    next((copy / "images").rglob("*.png")).unlink()

    done = oxherd("parquet", tmp_path / "out", "--dataset", copy)

    assert done.exit_code == 0, done.stderr
    assert re.search(r"[1-9] +left out: the image is not in this copy of the dataset", done.stdout)


def test_the_list_says_what_each_target_is_for() -> None:
    done = oxherd("--list")

    assert done.exit_code == 0
    assert all(name in done.stdout for name in TARGETS)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nothing", "OUT"], "'nothing' is no target."),
        (["parquet", "OUT", "--dataset", "EMPTY"], "EMPTY is no dataset of oxherd"),
        (["parquet", "OUT", "--dataset", "DATASET", "--revision", "zzz"], "'zzz' is not a commit"),
        (["parquet", "FULL", "--dataset", "DATASET"], "FULL is not empty."),
        (["parquet", "OUT", "--dataset", "DATASET", "--test", "1"], "leave some to train on"),
        (["parquet", "OUT", "--dataset", "DATASET", "--model", "none"], "There is nothing to"),
        (["--verify", "FULL"], "FULL was not written by `oxherd export`"),
    ],
)
def test_what_cannot_be_is_a_sentence_and_leaves_nothing(
    arguments: list[str], sentence: str, collected: Collected, tmp_path: Path
) -> None:
    (tmp_path / "FULL").mkdir()
    (tmp_path / "FULL" / "mine.txt").write_text("mine")
    (tmp_path / "EMPTY").mkdir()
    places = {name: str(tmp_path / name) for name in ("OUT", "EMPTY", "FULL")}
    before = files_below(tmp_path)

    done = oxherd(
        *({**places, "DATASET": str(collected.dataset)}.get(word, word) for word in arguments)
    )

    assert done.exit_code == 1
    assert sentence in done.stderr.replace(f"{tmp_path}/", "")
    assert files_below(tmp_path) == before
    assert not (tmp_path / "OUT").exists()


def test_an_image_that_was_changed_on_the_disk_is_not_exported(
    collected: Collected, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(collected.dataset, copy, ignore=shutil.ignore_patterns(".oxen"))
    next((copy / "images").rglob("*.png")).write_bytes(b"changed")

    done = oxherd("parquet", tmp_path / "out", "--dataset", copy)

    assert done.exit_code == 1
    assert "is not the image" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]
