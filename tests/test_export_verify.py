"""`oxherd export --verify` refuses what a trainer would silently train wrong on."""

import hashlib
import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from bot.commands import app
from storage.export.export import export
from storage.export.selection import Options
from storage.export.targets import TARGETS
from storage.export.verify import verify
from tests.support.storage.collected import Collected
from tests.support.storage.data import files_below

Row = dict[str, Any]


@pytest.fixture
def made(request: pytest.FixtureRequest, collected: Collected, tmp_path: Path) -> Path:
    """A sound export, to be spoilt."""
    target = getattr(request, "param", "diffusers-dpo")
    export(
        TARGETS[target],
        tmp_path / "out",
        dataset=collected.dataset,
        revision=None,
        options=Options(),
        tell=lambda *_: None,
    )

    return tmp_path / "out"


def oxherd(*arguments: str | Path) -> Result:
    done = CliRunner().invoke(app, ["export", *map(str, arguments)])
    assert isinstance(done.exception, SystemExit | None), done.exc_info

    return done


def spoil(file: Path, change: Callable[[list[Row]], None], schema: pyarrow.Schema) -> None:
    """Change the rows of a Parquet file as a wrong writer would have written them."""
    rows = pyarrow.parquet.read_table(file).to_pylist()
    change(rows)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema=schema), file)


def sign(out: Path) -> None:
    """Make the sums right again, so that only the rows can give the wrong ones away."""
    files = files_below(out)
    del files["SHA256SUMS"]
    (out / "SHA256SUMS").write_text(
        "".join(
            f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items()
        )
    )


def flip(rows: list[Row]) -> None:
    rows[0]["label_0"] = 1 - rows[0]["label_0"]


def tie(rows: list[Row]) -> None:
    rows[0]["label_0"] = 0.5


def guard(rows: list[Row]) -> None:
    row = next(row for row in rows if row["caption"].startswith(("=", "'", "-", "0")))
    row["caption"] = f"'{row['caption']}"


def encode_again(rows: list[Row]) -> None:
    out = io.BytesIO()
    Image.open(io.BytesIO(rows[0]["jpg_1"])).save(out, "JPEG", quality=95)
    rows[0]["jpg_1"] = out.getvalue()


def twice(rows: list[Row]) -> None:
    rows.append(rows[0])


def shorten(rows: list[Row]) -> None:
    del rows[0]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (flip, "a label is the other way round"),
        (tie, "a tie, which would train as a win"),
        (guard, "a prompt has the guard of the dataset's CSV"),
        (encode_again, "an image is not, byte for byte, one that people voted on"),
        (twice, "a row is there too often"),
        (shorten, "1 rows that the votes make are missing"),
    ],
)
def test_a_wrong_row_is_found(
    change: Callable[[list[Row]], None], sentence: str, made: Path, collected: Collected
) -> None:
    file = made / "train" / "00000.parquet"
    schema = pyarrow.parquet.read_schema(file)
    label = pyarrow.float64() if change is tie else pyarrow.int64()
    spoil(file, change, schema.set(2, pyarrow.field("label_0", label)))
    sign(made)

    done = oxherd("--verify", made, "--dataset", collected.dataset)

    assert done.exit_code == 1
    assert sentence in done.stdout
    assert "not as it was written" not in done.stdout


def test_a_prompt_in_two_splits_is_found(made: Path, collected: Collected) -> None:
    train, test = (made / split / "00000.parquet" for split in ("train", "test"))
    moved = pyarrow.parquet.read_table(train).to_pylist()[0]
    spoil(test, lambda rows: rows.append(moved), pyarrow.parquet.read_schema(test))
    sign(made)

    done = oxherd("--verify", made, "--dataset", collected.dataset)

    assert done.exit_code == 1
    assert "the prompt is in two splits" in done.stdout
    assert "a row is in the wrong split" in done.stdout


@pytest.mark.parametrize("made", ["imagefolder", "diffusion-kto", "hpsv2", "hpsv3"], indirect=True)
def test_a_path_that_leads_nowhere_is_found(made: Path, collected: Collected) -> None:
    gone = next(made.rglob("*.png"))
    gone.unlink()
    sign(made)

    done = oxherd("--verify", made, "--dataset", collected.dataset)

    assert done.exit_code == 1
    assert f"{gone.parent.name}/{gone.name} of a row is gone" in done.stdout


def test_without_the_dataset_changed_files_are_found(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OXHERD_DATA", str(tmp_path / "nothing"))
    sound = oxherd("--verify", made)
    with (made / "train" / "00000.parquet").open("ab") as file:
        file.write(b"more")

    (made / "test" / "mine.txt").write_text("mine")
    wrong = oxherd("--verify", made)

    assert sound.exit_code == 0
    assert "were not compared with the votes" in " ".join(sound.stdout.split())
    assert wrong.exit_code == 1
    assert "train/00000.parquet is not as it was written" in wrong.stdout
    assert "test/mine.txt was not written by the export" in wrong.stdout


def test_a_dataset_without_the_commit_is_a_sentence(
    made: Path, collected: Collected, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(collected.dataset, copy, ignore=shutil.ignore_patterns(".oxen"))

    done = oxherd("--verify", made, "--dataset", copy)

    assert done.exit_code == 1
    assert "has no history" in done.stderr


def test_a_sound_export_is_said_to_be_sound(made: Path, collected: Collected) -> None:
    found = verify(made, dataset=collected.dataset, tell=lambda *_: None)

    assert found.problems == []
    assert oxherd("--verify", made, "--dataset", collected.dataset).exit_code == 0
