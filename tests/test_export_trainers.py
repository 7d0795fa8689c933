"""Each export as its trainer reads it: by the trainer's library, or by a loader that does the same.

The loaders here follow the code of the projects, which reads some things unlike its manuals.
"""

import csv
import hashlib
import io
import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import pandas
import pytest
from PIL import Image

from generation.emoji import MODEL
from storage.export.export import export
from storage.export.selection import Options, same_prompt, split_of
from storage.export.targets import TARGETS
from tests.support.storage.collected import MISSING, Collected

SPLITS = ("train", "validation", "test")

DPO_SCRIPT = os.environ.get("DIFFUSERS_DPO_SCRIPT")
"""`examples/research_projects/diffusion_dpo/train_diffusion_dpo.py` of diffusers' repository, which
no package carries. It needs torchvision and wandb besides."""

Said = tuple[str, ...]


@pytest.fixture
def out(request: pytest.FixtureRequest, collected: Collected, tmp_path: Path) -> Path:
    """The export that a test is about."""
    export(
        TARGETS[request.param],
        tmp_path / "out",
        dataset=collected.dataset,
        revision=None,
        options=Options(),
        tell=lambda *_: None,
    )

    return tmp_path / "out"


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`datasets.load_dataset`, without a network and with a cache of its own."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets

    return lambda *arguments, **options: datasets.load_dataset(
        *map(str, arguments), cache_dir=str(tmp_path / "cache"), **options
    )


# webdataset leaves its files to the garbage collector.
files_left_open = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def target(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("out", [name], indirect=True)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def pairs(collected: Collected, split: str) -> Counter[Said]:
    """Prompt, better and worse image of each pair that the split is to have."""
    return Counter(
        (prompt, collected.sha256(good), collected.sha256(bad))
        for prompt, good, bad in collected.pairs()
        if split_of(same_prompt(prompt), Options()) == split
    )


def ratings(collected: Collected, split: str, *, without: Iterable[str] = ()) -> Counter[Said]:
    """Prompt, image and rating of each vote that the split is to have."""
    return Counter(
        (vote.prompt, collected.sha256(vote.image_id), "good" if vote.good else "bad")
        for vote in collected.votes
        if split_of(same_prompt(vote.prompt), Options()) == split and vote.prompt not in without
    )


def images(collected: Collected, split: str) -> Counter[Said]:
    """Prompt, image and counts of each image that the split is to have."""
    good = Counter(vote.image_id for vote in collected.votes if vote.good)
    bad = Counter(vote.image_id for vote in collected.votes if not vote.good)

    return Counter(
        {
            (vote.prompt, collected.sha256(image), str(good[image]), str(bad[image]))
            for vote in collected.votes
            for image in [vote.image_id]
            if split_of(same_prompt(vote.prompt), Options()) == split
        }
    )


@pytest.mark.parametrize("out", ["diffusers-dpo", "salesforce-dpo"], indirect=True)
def test_the_dpo_scripts_swap_where_they_should(
    out: Path, collected: Collected, load: Callable[..., Any]
) -> None:
    for split in SPLITS:
        said = Counter[Said]()
        for example in load(out, split=split):
            for name in ("jpg_0", "jpg_1"):
                assert Image.open(io.BytesIO(example[name])).convert("RGB").size == (16, 16)

            pair = (example["jpg_0"], example["jpg_1"])
            winner, loser = pair[::-1] if example["label_0"] == 0 else pair
            said[example["caption"], sha256(winner), sha256(loser)] += 1

        assert said == pairs(collected, split)


@pytest.mark.long
@pytest.mark.skipif(DPO_SCRIPT is None, reason="DIFFUSERS_DPO_SCRIPT names no script")
@target("diffusers-dpo")
def test_diffusers_own_script_trains_the_shipped_model(out: Path, tmp_path: Path) -> None:
    lora = tmp_path / "lora"
    arguments = {
        "pretrained_model_name_or_path": MODEL,
        "dataset_name": out,
        "dataset_split_name": "train",
        "cache_dir": tmp_path / "cache",
        "resolution": 128,
        "max_train_steps": 2,
        "output_dir": lora,
        "seed": 1,
    }
    done = subprocess.run(
        [sys.executable, str(DPO_SCRIPT), *(f"--{name}={is_}" for name, is_ in arguments.items())],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert (lora / "pytorch_lora_weights.safetensors").stat().st_size > 100_000


@files_left_open
@target("orpo-wds")
def test_the_orpo_script_takes_the_better_for_the_winner(out: Path, collected: Collected) -> None:
    import webdataset

    for split in SPLITS:
        shards = [str(path) for path in sorted((out / split).glob("*.tar"))]
        decoded = list(
            webdataset.WebDataset(shards, shardshuffle=False)
            .decode("pil")
            .rename(
                original_prompt="original_prompt.txt",
                jpg_0="jpg_0.jpg",
                jpg_1="jpg_1.jpg",
                label_0="label_0.txt",
                label_1="label_1.txt",
            )
        )
        raw = list(webdataset.WebDataset(shards, shardshuffle=False))
        said = Counter[Said]()
        for sample, content in zip(decoded, raw, strict=True):
            label = sample["label_0"]
            if label == 0.5:
                label = random.choice((0, 1))

            names = ("jpg_1.jpg", "jpg_0.jpg") if label == 0 else ("jpg_0.jpg", "jpg_1.jpg")
            assert sample["jpg_0"].size == sample["jpg_1"].size == (16, 16)
            said[sample["original_prompt"], *(sha256(content[name]) for name in names)] += 1

        assert said == pairs(collected, split)


@target("diffusion-kto")
def test_diffusion_kto_reads_each_vote(out: Path, collected: Collected) -> None:
    for split in SPLITS:
        table = pandas.read_csv(out / f"{split}_processed_v3.csv")
        assert not table.caption.isna().any()
        table = table[~(table.split == "intersections")]
        said = Counter(
            (str(caption), sha256((out / str(name)).read_bytes()), "good" if good else "bad")
            for name, caption, good in zip(
                table.file_name, table.caption, table.split == "exclusive_win", strict=True
            )
        )
        assert said == ratings(collected, split, without=MISSING)
        assert list(table.file_name) == list(table.file_path)
        assert list(table.split) == list(table.label)

    about = json.loads((out / "export.json").read_text())
    assert about["left_out"] == {
        "the prompt is text that the trainer takes for missing": sum(
            vote.prompt in MISSING for vote in collected.votes
        )
    }


@target("pickscore")
def test_pickscore_reads_pairs_with_their_weights(
    out: Path, collected: Collected, load: Callable[..., Any]
) -> None:
    import datasets

    folders = {"train": "train", "validation": "validation_unique", "test": "test_unique"}
    for split, folder in folders.items():
        dataset = load(out, "default", split=folder).filter(lambda row: row["has_label"])
        said = Counter[Said]()
        for example in dataset:
            first, second = sha256(example["jpg_0"]), sha256(example["jpg_1"])
            assert (example["label_0"], example["label_1"]) in {(1, 0), (0, 1)}
            best = (first, second) if example["label_0"] else (second, first)
            said[example["caption"], *best] += 1
            assert example["are_different"]
            assert collected.sha256(example["image_0_uid"]) == first

        assert said == pairs(collected, split)
        of_prompt = Counter(dataset["caption"])
        assert all(row["num_example_per_prompt"] == of_prompt[row["caption"]] for row in dataset)
        # As the loader does to limit the examples of a prompt.
        frame = dataset.to_pandas().drop("__index_level_0__", axis=1)
        limited = datasets.Dataset.from_pandas(frame.groupby("caption").head(1))
        assert len(limited) == len(of_prompt)


@target("imagereward")
def test_imagereward_makes_the_pairs_of_each_ranking(out: Path, collected: Collected) -> None:
    files = {"train": "train.json", "validation": "valid.json", "test": "test.json"}
    for split, name in files.items():
        said = Counter[Said]()
        for item in json.loads((out / name).read_text(encoding="utf-8")):
            hashes = [sha256((out / image).read_bytes()) for image in item["generations"]]
            labels = item["ranking"]
            for left in range(len(labels)):
                for right in range(left + 1, len(labels)):
                    if labels[left] < labels[right]:
                        said[item["prompt"], hashes[left], hashes[right]] += 1
                    elif labels[left] > labels[right]:
                        said[item["prompt"], hashes[right], hashes[left]] += 1

        assert said == pairs(collected, split)


@target("hpsv2")
def test_hpsv2_reads_both_orders(out: Path, collected: Collected) -> None:
    for split in SPLITS:
        said = Counter[Said]()
        rows = json.loads((out / f"{split}.json").read_text(encoding="utf-8"))
        for row in rows:
            hashes = [sha256((out / path).read_bytes()) for path in row["file_path"]]
            better = row["human_preference"].index(1)
            said[row["prompt"], hashes[better], hashes[1 - better]] += 1

        assert said == pairs(collected, split)

    rows = json.loads((out / "train.json").read_text(encoding="utf-8"))
    assert {tuple(row["human_preference"]) for row in rows} == {(1, 0), (0, 1)}


@target("hpsv3")
def test_hpsv3_takes_the_first_path_for_the_winner(
    out: Path, collected: Collected, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(out)
    for split in SPLITS:
        said = Counter[Said]()
        for row in json.loads(Path(f"{split}.json").read_text(encoding="utf-8")):
            assert row["choice_dist"] == sorted(row["choice_dist"], reverse=True)
            paths = (Path(row["path1"]), Path(row["path2"]))
            said[row["prompt"], *(sha256(path.read_bytes()) for path in paths)] += 1

        assert said == pairs(collected, split)


@target("trl")
def test_trl_reads_conversations_about_images(
    out: Path, collected: Collected, load: Callable[..., Any]
) -> None:
    import datasets
    from trl.data_utils import is_conversational, prepare_multimodal_messages

    for split in SPLITS:
        kto, dpo = (load(out, method, split=split) for method in ("kto", "dpo"))
        assert kto.column_names == ["images", "prompt", "completion", "label"]
        assert dpo.column_names == ["images", "prompt", "chosen", "rejected"]
        for example in chain(kto.select(range(1)), dpo.select(range(1))):
            assert is_conversational(example)
            (message,) = prepare_multimodal_messages(example["prompt"], images=example["images"])
            shown = [part["image"] for part in message["content"] if part["type"] == "image"]
            assert [image.size for image in shown] == [(16, 16)] * len(example["images"])

        raw = datasets.List(datasets.Image(decode=False))
        kto, dpo = (dataset.cast_column("images", raw) for dataset in (kto, dpo))
        assert ratings(collected, split) == Counter(
            (
                example["prompt"][0]["content"].split("\n\n", 1)[1],
                sha256(example["images"][0]["bytes"]),
                "good" if example["label"] else "bad",
            )
            for example in kto
        )
        assert pairs(collected, split) == Counter(
            (example["prompt"][0]["content"].split("\n\n", 1)[1], *best)
            for example in dpo
            for hashes in [[sha256(image["bytes"]) for image in example["images"]]]
            for first in [example["chosen"][0]["content"] == "The first."]
            for best in [hashes if first else hashes[::-1]]
        )


@target("imagefolder")
def test_imagefolder_shows_the_images_with_their_columns(
    out: Path, collected: Collected, load: Callable[..., Any]
) -> None:
    for split in SPLITS:
        dataset = load("imagefolder", data_dir=str(out), split=split)
        said = Counter(
            (row["prompt"], row["sha256"], str(row["good"]), str(row["bad"])) for row in dataset
        )
        assert said == images(collected, split)
        assert dataset[0]["image"].size == (16, 16)
        assert {"negative_prompt", "steps", "model", "votes"} <= set(dataset.column_names)


@files_left_open
@target("webdataset")
def test_webdataset_has_image_prompt_and_json(
    out: Path, collected: Collected, load: Callable[..., Any]
) -> None:
    import webdataset

    for split in SPLITS:
        shards = [str(path) for path in sorted((out / split).glob("*.tar"))]
        samples = list(webdataset.WebDataset(shards, shardshuffle=False))
        said = Counter(
            (sample["txt"].decode(), sha256(sample["png"]), str(about["good"]), str(about["bad"]))
            for sample in samples
            for about in [json.loads(sample["json"])]
        )
        assert said == images(collected, split)
        assert load(out, split=split)[0]["png"].size == (16, 16)


@target("parquet")
def test_parquet_has_one_row_an_image(out: Path, collected: Collected) -> None:
    for split in SPLITS:
        table = pandas.read_parquet(out / split)
        said = Counter(
            (row["prompt"], sha256(row["image"]), str(row["good"]), str(row["bad"]))
            for row in table.to_dict("records")
        )
        assert said == images(collected, split)
        assert all(
            len(cast) == good + bad
            for cast, good, bad in zip(table.votes, table.good, table.bad, strict=True)
        )


def test_no_csv_of_an_export_is_guarded(collected: Collected, tmp_path: Path) -> None:
    export(
        TARGETS["diffusion-kto"],
        tmp_path / "out",
        dataset=collected.dataset,
        revision=None,
        options=Options(),
        tell=lambda *_: None,
    )

    with (tmp_path / "out" / "train_processed_v3.csv").open(encoding="utf-8", newline="") as file:
        prompts = {row["caption"] for row in csv.DictReader(file)}

    assert prompts <= {vote.prompt for vote in collected.votes}
