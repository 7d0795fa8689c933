"""`oxherd replay` makes an image again from its row, and says what differs if it differs.

The rows are those of a real dataset: members asked for images in the simulated Discord, a tiny
diffusers model made them, and the writer committed them.
"""

import asyncio
import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from safetensors.torch import load_file, save_file

from bot.cli.replay import Replayed, replay, request_of, spec_of
from bot.cli.strangers_row import require_offered
from bot.demo.run import demo_settings
from bot.errors import CannotReplay
from bot.settings import Settings
from generation.diffusion.backend import DiffusersBackend
from generation.request import Size
from generation.worker.specs import DiffusersSpec, Dtype
from storage.dataset.columns import SHOWN_COLUMNS
from storage.dataset.layout import csv_file, guarded
from storage.dataset.reader import find_recorded
from storage.vote import Rating
from tests.support.discord.world import (
    Real,
    dataset_rows,
    image_ids,
    quick_settings,
    seen,
    set_button,
    world,
)
from tests.support.generation.inline_worker import inline_workers
from tests.support.generation.requests import Onlooker, a_request
from tests.support.generation.tiny_model import SIDE_PX, save_tiny_model

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SHARD = Path("dataset") / "generations" / "000" / "00000.csv"
FORMULA = "=1+1 'a fox', sitting"

pytestmark = [
    pytest.mark.stalls("reads the small dataset, and compares, where nothing else waits"),
    # diffusers' schedulers speak to NumPy in its old way
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


class Made(NamedTuple):
    """A bot's folder after it made images, and their ids in slot order."""

    settings: Settings
    images: list[str]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def made_before(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Four images of the tiny model; the first was voted on, the others wait."""
    data = tmp_path_factory.mktemp("bot") / "data"

    async def use() -> Made:
        async with world(data, Real.OXEN, **of(model)) as here:
            message = await here.imagine(here.alice, FORMULA, negative_prompt="-", seed=2**32 - 2)
            await here.vote(here.alice, message, 1, Rating.GOOD)
            await here.committed()

            return Made(here.settings, image_ids(message))

    return asyncio.run(use())


@pytest.fixture
def made(made_before: Made, model: Path, tmp_path: Path) -> Made:
    """The same, in a folder that may be changed, with a model that may be."""
    shutil.copytree(made_before.settings.data, tmp_path / "data")
    shutil.copytree(model, tmp_path / model.name)

    return Made(quick_settings(tmp_path / "data", **of(tmp_path / model.name)), made_before.images)


@pytest.fixture(scope="module")
def drawn_before(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Four images of the placeholder, which nobody voted on."""
    data = tmp_path_factory.mktemp("placeholder") / "data"

    async def use() -> Made:
        async with world(data, Real.OXEN) as here:
            message = await here.imagine(here.alice, "a fox")
            await here.committed()

            return Made(here.settings, image_ids(message))

    return asyncio.run(use())


@pytest.fixture
def drawn(drawn_before: Made, tmp_path: Path) -> Made:
    """The same, in a folder that may be changed."""
    shutil.copytree(drawn_before.settings.data, tmp_path / "data")

    return Made(quick_settings(tmp_path / "data"), drawn_before.images)


@pytest.fixture
def on_a_thread() -> Iterator[None]:
    """For tests in which it does not matter that the image is made in a process of its own."""
    with inline_workers():
        yield


def of(model: Path) -> dict[str, str]:
    return {"backend": "diffusers", "model": str(model), "sizes": f"{SIDE_PX}x{SIDE_PX}"}


async def again(
    made: Made, *, slot: int = 1, dataset: Path | None = None, model: str | None = None
) -> Replayed:
    return await replay(
        made.settings,
        made.images[slot - 1],
        dataset=dataset,
        model=model,
        device="cpu",
        tell=lambda progress: None,
    )


def rewrite(made: Made, change: Callable[[dict[str, str]], object]) -> None:
    """Change every row of the dataset."""
    rows = dataset_rows(made.settings.data, "generations")
    for row in rows:
        change(row)

    cells = [[row[column] for column in SHOWN_COLUMNS] for row in rows]
    (made.settings.data / SHARD).write_bytes(csv_file(SHOWN_COLUMNS, cells))


def set_version(row: dict[str, str], name: str, value: str) -> None:
    row["versions"] = json.dumps({**json.loads(row["versions"]), name: value})


def differing(replayed: Replayed) -> list[str]:
    return [difference.name for difference in replayed.differences]


@pytest.mark.parametrize("allowed", [True, False])
def test_pickles_are_allowed_where_the_bot_allows_them(made_before: Made, allowed: bool) -> None:
    recorded = find_recorded(made_before.settings.data / "dataset", made_before.images[0])
    settings = made_before.settings.model_copy(update={"allow_pickles": allowed})

    spec = spec_of(recorded, settings, compiled=settings.data)

    assert isinstance(spec, DiffusersSpec)
    assert spec.allow_pickles is allowed


def test_every_slot_is_made_again_by_a_row_of_its_own(made_before: Made) -> None:
    dataset = made_before.settings.data / "dataset"
    rows = [find_recorded(dataset, image_id) for image_id in made_before.images]
    spec = spec_of(rows[0], made_before.settings, compiled=dataset)
    assert isinstance(spec, DiffusersSpec)
    backend = DiffusersBackend(spec, device="cpu")
    backend.load()
    for recorded in rows:
        request, place = request_of(recorded)

        assert len(request.seeds) == 4
        assert [request.seeds[place]] == recorded.request["seeds"]
        image = backend.generate(request, Onlooker()).images[place]
        assert image.sha256 == recorded.sha256


@pytest.mark.usefixtures("on_a_thread")
async def test_a_copy_of_the_dataset_is_enough(made_before: Made, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    generations = made_before.settings.data / "dataset" / "generations"
    shutil.copytree(generations, copy / "generations")
    elsewhere = made_before.settings.model_copy(update={"data": tmp_path / "nothing"})

    replayed = await again(Made(elsewhere, made_before.images), slot=2, dataset=copy)

    assert replayed.same_bytes
    assert replayed.differences == []
    assert replayed.recorded.request["prompt"] == FORMULA
    assert replayed.recorded.request["seeds"] == [2**32 - 1]
    assert not elsewhere.data.exists()


@pytest.mark.usefixtures("on_a_thread")
async def test_different_weights_are_named_and_the_images_compared(made: Made) -> None:
    weights = Path(made.settings.model) / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    save_file({name: tensor * 1.5 for name, tensor in tensors.items()}, weights)

    replayed = await again(made)

    assert not replayed.same_bytes
    assert differing(replayed) == ["revision"]
    assert replayed.pixels is not None
    assert 0 < replayed.pixels.mean < replayed.pixels.largest


@pytest.mark.usefixtures("on_a_thread")
@pytest.mark.filterwarnings("ignore:The configuration file of this scheduler:FutureWarning")
async def test_a_different_scheduler_is_named(made: Made) -> None:
    config = Path(made.settings.model) / "scheduler" / "scheduler_config.json"
    index = Path(made.settings.model) / "model_index.json"
    for file in (config, index):
        file.write_text(file.read_text().replace("PNDMScheduler", "DDIMScheduler"))

    replayed = await again(made)

    assert not replayed.same_bytes
    assert differing(replayed) == ["revision", "scheduler"]


@pytest.mark.usefixtures("on_a_thread")
async def test_the_recorded_number_format_layout_and_batch_are_taken_and_not_those_of_today(
    made: Made,
) -> None:
    record_third_of_two(made, dtype="bfloat16")

    replayed = await again(made, slot=3)

    assert replayed.recorded.made_by["dtype"] == "bfloat16"
    assert "layout" in replayed.recorded.made_by
    assert replayed.differences == []
    assert len(request_of(replayed.recorded)[0].seeds) == 2
    assert replayed.same_bytes


def test_an_image_of_a_compiled_model_is_made_by_one_and_an_uncompiled_models_is_not(
    made: Made, tmp_path: Path
) -> None:
    for version, compiles in (("", "off"), ("layout", "layout"), ("compiled", "on")):
        if version:
            rewrite(made, partial(set_version, name=version, value="any"))

        recorded = find_recorded(made.settings.data / "dataset", made.images[0])
        spec = spec_of(recorded, made.settings, compiled=tmp_path)

        assert isinstance(spec, DiffusersSpec)
        assert spec.compile == compiles
        assert spec.compiled_folder == tmp_path
        assert spec.compiled_size == Size(SIDE_PX, SIDE_PX)


@pytest.fixture
def threads_as_before() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("on_a_thread", "threads_as_before")
async def test_the_recorded_number_of_threads_is_taken(made: Made) -> None:
    threads = str(torch.get_num_threads() + 1)
    rewrite(made, lambda row: set_version(row, "threads", threads))

    replayed = await again(made, slot=2)

    assert differing(replayed) == []


@pytest.fixture
def made_of_hub(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """The same images, as made of a model that is in the hub's cache and not in the settings."""
    hub = tmp_path / "hub" / "models--somebody--tiny"
    shutil.copytree(made.settings.model, hub / "snapshots" / COMMIT)
    (hub / "refs").mkdir()
    (hub / "refs" / "main").write_text("f" * 40, encoding="utf-8")  # a later one, not here
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    rewrite(made, lambda row: row.update(model="somebody/tiny", revision=COMMIT))

    settings = quick_settings(made.settings.data, sizes=f"{SIDE_PX}x{SIDE_PX}")

    return Made(settings, made.images)


@pytest.mark.usefixtures("on_a_thread")
async def test_a_model_of_the_hub_is_loaded_at_its_recorded_commit(made_of_hub: Made) -> None:
    replayed = await again(made_of_hub)

    assert replayed.same_bytes
    assert replayed.differences == []


async def test_a_strangers_row_gets_a_model_that_is_not_offered_only_if_it_is_confirmed(
    made_of_hub: Made,
) -> None:
    dataset = made_of_hub.settings.data / "dataset"

    for confirmed in (None, "somebody/else"):
        with pytest.raises(CannotReplay, match=r"'somebody/tiny', which the .* with --model\."):
            await again(made_of_hub, dataset=dataset, model=confirmed)

    # what is confirmed is let in; the test before this one makes an image of that model
    recorded = find_recorded(dataset, made_of_hub.images[0])
    request, _ = request_of(recorded)
    require_offered(recorded, request, made_of_hub.settings, model="somebody/tiny")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"steps": "101"}, "the number of steps is 101; 1 to 100 is allowed"),
        ({"guidance_scale": "20.5"}, "the guidance is 20.5; 0 to 20.0 is allowed"),
        ({"width_px": "8192"}, f"the size '8192x{SIDE_PX}' is not offered"),
        ({"prompt": "x" * 501}, "the prompt is 501 characters long; 500 is the most"),
    ],
)
async def test_a_strangers_row_gets_no_more_than_the_settings_offer(
    made: Made, changes: dict[str, str], problem: str
) -> None:
    rewrite(made, lambda row: row.update(changes))

    with pytest.raises(CannotReplay, match=re.escape(f"than the settings allow: {problem}")):
        await again(made, dataset=made.settings.data / "dataset")


@pytest.mark.parametrize("place", ["generations", "generations/000/00000.csv"])
async def test_a_link_in_a_strangers_dataset_is_not_followed(
    made: Made, tmp_path: Path, place: str
) -> None:
    link = made.settings.data / "dataset" / place
    link.rename(tmp_path / "elsewhere")
    link.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(CannotReplay, match=f"{place} is a link, which is not followed"):
        await again(made, dataset=made.settings.data / "dataset")


@pytest.mark.usefixtures("on_a_thread")
async def test_a_link_to_a_strangers_image_is_not_followed(drawn: Made) -> None:
    image = drawn.settings.data / "dataset" / "images/000/00000" / f"{drawn.images[0]}.png"
    image.parent.mkdir(parents=True)
    image.symlink_to("/etc/passwd")

    with pytest.raises(CannotReplay, match="is a link, which is not followed"):
        await again(drawn, dataset=drawn.settings.data / "dataset")


async def test_a_pipe_that_could_be_read_for_ever_is_no_table(drawn: Made) -> None:
    dataset = drawn.settings.data / "dataset"
    os.mkfifo(dataset / "generations" / "000" / "00001.csv")

    with pytest.raises(CannotReplay, match="is not a plain file of at most"):
        await again(Made(drawn.settings, ["in no table"]), dataset=dataset)


@pytest.mark.usefixtures("on_a_thread")
@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"seed": ""}, "does not say how to make it again: its seed is not there"),
        ({"backend": "oracle"}, "was made by an unknown backend, 'oracle'"),
        ({"steps": "0"}, "steps is 0"),
        ({"guidance_scale": "nan"}, "guidance_scale is nan"),
        ({"width_px": str(2**24), "height_px": str(2**24)}, "not enough memory on the device cpu"),
    ],
)
async def test_what_cannot_be_made_is_a_sentence(
    made: Made, changes: dict[str, str], sentence: str
) -> None:
    rewrite(made, lambda row: row.update(changes))

    with pytest.raises(CannotReplay, match=sentence):
        await again(made)


async def test_a_batch_that_nobody_makes_is_a_sentence(made: Made) -> None:
    rewrite(made, lambda row: set_version(row, "batch", "1000000000"))

    with pytest.raises(CannotReplay, match="has a batch of '1000000000'"):
        await again(made)


async def test_without_the_models_folder_it_says_which_one_is_needed(made: Made) -> None:
    with pytest.raises(CannotReplay, match=r"'tiny-model' \(sha256:.*Set OXHERD_MODEL to that"):
        await again(Made(quick_settings(made.settings.data), made.images))


@pytest.mark.usefixtures("on_a_thread")
async def test_a_variation_is_made_again_from_its_row_and_its_parent(
    model: Path, tmp_path: Path
) -> None:
    async with world(tmp_path / "data", Real.OXEN, **of(model)) as here:
        original = await here.imagine(here.alice, "a fox")
        rated, waiting, *_ = image_ids(original)
        await here.vote(here.bob, original, 1, Rating.GOOD)
        variations = []
        for parent in (rated, waiting):
            menu = await here.bob.click(original, custom_id=set_button(original, "vary"))
            await here.bob.select(seen(menu), [parent])
            await here.posted()
            variations.append(image_ids(here.last_message())[2])

        await here.committed()
        made = Made(here.settings, variations)

    dataset = made.settings.data / "dataset"
    for slot, alone in ((1, dataset), (1, None), (2, None)):
        replayed = await again(made, slot=slot, dataset=alone)

        assert replayed.same_bytes
        assert replayed.differences == []

    of_waiting = f"Image {variations[1]} is a variation of image {waiting}, which is not here"
    with pytest.raises(CannotReplay, match=f"{of_waiting}: the dataset has the images that"):
        await again(made, slot=2, dataset=dataset)

    (made.settings.data / "spool" / f"{waiting}.png").write_bytes(b"something else")
    with pytest.raises(CannotReplay, match=f"{of_waiting} as it was recorded"):
        await again(made, slot=2)


async def test_a_variation_of_an_image_that_is_in_no_row_is_a_sentence(drawn: Made) -> None:
    rewrite(drawn, lambda row: row.update(parent="gone", strength="0.5"))

    with pytest.raises(CannotReplay, match=r"is a variation of image gone: .* has no image 'gone'"):
        await again(drawn)


async def test_the_command_makes_an_image_again_while_the_bot_runs(tmp_path: Path) -> None:
    async with world(tmp_path / "data", Real.OXEN) as here:
        message = await here.imagine(here.alice, "a fox")
        await here.committed()
        image_id = image_ids(message)[2]

        status, said = await command(
            "replay", image_id, "--out", "again.png", cwd=tmp_path, OXHERD_DATA="data"
        )
        rows = {row["image_id"]: row for row in here.generations()}

    assert status == 0, said
    assert said.startswith(f"Image {image_id} was made again: the same bytes, SHA-256 ")
    png = (tmp_path / "again.png").read_bytes()
    assert hashlib.sha256(png).hexdigest() == rows[image_id]["sha256"]


@pytest.mark.usefixtures("on_a_thread", "threads_as_before")
async def test_an_image_of_the_demo_is_made_again_without_naming_its_model(tmp_path: Path) -> None:
    of_demo = demo_settings(tmp_path / "data").model_dump(
        include={"backend", "model", "sizes", "default_guidance"}
    )
    async with world(tmp_path / "data", Real.OXEN, **of_demo) as here:
        message = await here.imagine(here.alice, "a fox")
        await here.committed()
        images = image_ids(message)

    replayed = await again(Made(Settings.model_validate({"data": tmp_path / "data"}), images))

    assert replayed.same_bytes


async def test_the_command_says_what_differs_and_exits_with_one(
    drawn: Made, tmp_path: Path
) -> None:
    rewrite(drawn, lambda row: row.update(seed="7", revision=guarded("0")))
    status, said = await command("replay", drawn.images[0], cwd=tmp_path, OXHERD_DATA="data")

    assert status == 1
    assert f"Image {drawn.images[0]} was made again: the bytes differ." in said
    assert "The pixels differ by " in said
    assert [line.split() for line in said.splitlines()[-2:]] == [
        ["recorded", "here"],
        ["revision", "0", "1"],
    ]


@pytest.mark.usefixtures("on_a_thread")
async def test_a_different_library_is_named_even_if_it_makes_no_difference(drawn: Made) -> None:
    rewrite(drawn, lambda row: set_version(row, "pillow", "0.1"))

    replayed = await again(drawn)

    assert replayed.same_bytes
    assert differing(replayed) == ["pillow"]


@pytest.mark.usefixtures("on_a_thread")
async def test_what_nothing_in_the_record_explains_is_not_explained(drawn: Made) -> None:
    rewrite(drawn, lambda row: row.update(sha256="0" * 64))

    replayed = await again(drawn)

    assert not replayed.same_bytes
    assert replayed.differences == []
    assert replayed.pixels is None  # what is here is not what was recorded


async def test_the_command_exits_with_two_when_there_is_nothing_to_compare(tmp_path: Path) -> None:
    status, said = await command("replay", "abc", cwd=tmp_path, OXHERD_DATA="data")

    assert status == 2
    assert said.startswith("oxherd: data/dataset has no image 'abc'")


def record_third_of_two(made: Made, *, dtype: Dtype) -> None:
    """Make the third row that of an image which was the first in a batch of two."""
    spec = DiffusersSpec(model=made.settings.model, dtype=dtype, compile="layout")
    backend = DiffusersBackend(spec, device="cpu")
    backend.load()
    pair = backend.generate(a_request("a fox", seeds=(8, 9), side_px=SIDE_PX), Onlooker())
    image = pair.images[0]
    facts = {"seed": str(image.seed), "steps": "3", "sha256": image.sha256, "dtype": dtype}

    def change(row: dict[str, str]) -> None:
        if row["image_id"] == made.images[2]:
            row.update(facts, prompt="a fox", negative_prompt=guarded(""))
            row["versions"] = json.dumps(dict(pair.provenance.versions))

    rewrite(made, change)


async def command(*arguments: str, cwd: Path, **environment: str) -> tuple[int, str]:
    """Run oxherd beside this loop: its exit status, and all that it said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bot",
        *arguments,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()

    return process.returncode or 0, output.decode()
