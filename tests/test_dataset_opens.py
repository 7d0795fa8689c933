"""The dataset opens with what trainers use, and says what people wrote."""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.dataset.columns import SHOWN_COLUMNS, TRAIN_COLUMNS
from storage.dataset.layout import concatenated, csv_file, guarded, unguarded
from storage.dataset.oxen import OxenRepository, OxenSettings
from storage.folder import DataFolder
from storage.journal.queries import Journal
from storage.journal.shards import ShardSizes
from storage.vote import Rating
from tests.support.storage.collected import Collected
from tests.support.storage.data import NOON, PROVENANCE, a_set, four_images
from tests.support.storage.desk import Desk

# Each as a set's whole prompt, so that each is alone in its shard's column.
HOSTILE_PROMPTS = [
    "a fox in the snow",
    '=HYPERLINK("https://example.org"; "fox")',
    "007",
    "1e5",
    "NaN",
    "null",
    "True",
    "-fox",
    "+fox",
    "@everyone",
    "＝1+1",
    "\u200b=1+1",
    "\u00ad\u3164 ＋fox",
    "'quoted'",
    'say "fox", twice',
    "two\nlines",
    "carriage\rreturn",
    " spaces around ",
    "🦊 ünï",
]
WITHHELD = {3: (2,), 4: (2, 3)}  # set number -> slots; the other sets were not looked at
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))


@pytest.fixture(scope="module")
def dataset_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A real repository with one vote on each prompt, one row a shard."""
    folder = DataFolder(tmp_path_factory.mktemp("data"))

    def open_repository() -> OxenRepository:
        return OxenRepository.open(
            OxenSettings(path=folder.dataset, config_dir=folder.oxen_config, journal_id="0")
        )

    one_a_file = ShardSizes(train_rows=1, shown_rows=4, images=4)
    with Desk.open(folder, open_repository, shard_sizes=one_a_file) as desk:
        for number, prompt in enumerate(HOSTILE_PROMPTS):
            request = a_set(f"set-{number:02d}", prompt=prompt)
            images = four_images(request.set_id, withheld=WITHHELD.get(number, ()))
            desk.spool.put({image.image_id: image.png for image in images if not image.withheld})
            provenance = PROVENANCE if number % 2 else {}
            desk.note(partial(Journal.add_request, new=request, now=NOON))
            desk.note(
                partial(
                    Journal.add_images,
                    set_id=request.set_id,
                    images=images,
                    provenance=provenance,
                    now=NOON,
                )
            )
            seconds = number / 7 if number % 2 else None
            desk.vote(images[0].image_id, 10**17 + number, Rating.GOOD, seconds=seconds)

        desk.settle()
        desk.writer().snapshot()
        yield folder.dataset


def test_datasets_loads_every_shard_with_the_same_columns(
    dataset_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(dataset_folder)
    import datasets

    loaded = datasets.load_dataset(
        "csv", data_files="train/*/*.csv", cache_dir=str(tmp_path / "cache")
    )["train"]

    assert tuple(loaded.column_names) == TRAIN_COLUMNS
    assert [unguarded(prompt) for prompt in loaded["prompt"]] == HOSTILE_PROMPTS
    assert set(loaded["rating"]) == {"good"}
    assert all((dataset_folder / path).is_file() for path in loaded["path"])
    types = {
        name: str(feature.dtype).removeprefix("large_") for name, feature in loaded.features.items()
    }
    assert types == dict.fromkeys(TRAIN_COLUMNS, "string") | {
        "voter_id": "int64",
        "slot": "int64",
        "seed": "int64",
        "seconds": "float64",
        "exposures": "int64",
    }


@pytest.mark.parametrize("options", [{}, {"keep_default_na": False}], ids=["plain", "as the card"])
def test_pandas_reads_what_people_wrote(dataset_folder: Path, options: dict[str, Any]) -> None:
    files = sorted((dataset_folder / "train").glob("*/*.csv"))

    rows = pandas.concat([pandas.read_csv(file, **options) for file in files])

    assert list(map(unguarded, rows["prompt"])) == HOSTILE_PROMPTS
    assert list(rows["voter_id"]) == [10**17 + n for n in range(len(HOSTILE_PROMPTS))]
    assert {unguarded(model) for model in rows["model"]} == {"tiny/model", ""}


def test_the_folder_shows_its_images(
    collected: Collected, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets

    loaded = datasets.load_dataset(
        str(collected.dataset), split="train", cache_dir=str(tmp_path / "cache")
    )

    assert loaded.column_names == ["image"]
    assert len(loaded) == len({vote.image_id for vote in collected.votes})
    assert loaded[0]["image"].size == (16, 16)


def test_the_card_joins_each_vote_with_its_image(
    collected: Collected, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(collected.dataset)
    card = Path("README.md").read_text(encoding="utf-8")
    _, joining = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    names: dict[str, Any] = {}

    exec(joining, names)

    pictures = names["pictures"]
    assert len(pictures) == len(collected.votes)
    assert pictures[0]["image"].size == (16, 16)
    assert {"rating", "steps", "sha256"} <= set(pictures.column_names)


def test_the_snapshot_is_the_shards_one_after_the_other(dataset_folder: Path) -> None:
    rows = pandas.read_csv(dataset_folder / "train.csv")

    assert list(map(unguarded, rows["prompt"])) == HOSTILE_PROMPTS


def test_generations_hold_every_image_shown(dataset_folder: Path) -> None:
    files = sorted((dataset_folder / "generations").glob("*/*.csv"))

    rows = pandas.concat([pandas.read_csv(file) for file in files])

    assert len(rows) == 4 * len(HOSTILE_PROMPTS)
    assert not rows.drop(columns=["unsafe_score", "strength"]).isna().any().any()
    assert set(rows["guidance_scale"]) == {7.5}
    assert rows["withheld"].value_counts().to_dict() == {
        "no": 4 * len(HOSTILE_PROMPTS) - 3,
        "classifier": 3,
    }
    looked_at = rows[rows["set_id"].isin({"set-03", "set-04"})]
    assert rows["unsafe_score"].count() == looked_at["unsafe_score"].count() == 8
    assert list(looked_at["unsafe_score"])[:4] == [0.123, 0.246, 0.369, 0.492]
    assert not list((dataset_folder.parent / "spool").glob("set-03-2*"))


def test_datasets_loads_every_shard_of_generations_too(
    dataset_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(dataset_folder)
    import datasets

    loaded = datasets.load_dataset(
        "csv", data_files="generations/*/*.csv", cache_dir=str(tmp_path / "cache")
    )["train"]

    assert tuple(loaded.column_names) == SHOWN_COLUMNS
    assert loaded.features["unsafe_score"].dtype == "float64"
    assert loaded.filter(lambda row: row["withheld"] != "no").num_rows == 3


@given(text=TEXT)
def test_guarded_text_comes_back_and_is_no_formula(text: str) -> None:
    cell = guarded(text)

    assert unguarded(cell) == text
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert cell


@given(texts=st.lists(TEXT, min_size=1, max_size=4))
def test_any_text_survives_pandas(
    texts: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("csv") / "texts.csv"
    path.write_bytes(csv_file(("text", "more"), ([guarded(text), "x"] for text in texts)))

    rows = pandas.read_csv(path)

    assert list(map(unguarded, rows["text"])) == texts


@given(st.lists(st.lists(TEXT, max_size=3), min_size=1, max_size=3))
def test_concatenated_shards_are_one_file(shards: list[list[str]]) -> None:
    files = [csv_file(("text",), ([guarded(text)] for text in shard)) for shard in shards]
    everything = [text for shard in shards for text in shard]

    assert concatenated(files) == csv_file(("text",), ([guarded(text)] for text in everything))
