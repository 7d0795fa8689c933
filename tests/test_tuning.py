"""How a model is tuned: the loss, the loop, and what watches over it."""

import shutil
from collections.abc import Iterator
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from PIL import Image, ImageDraw, ImageOps

from generation.diffusion.loading import add_lora
from generation.errors import BackendUnavailable
from generation.lora_folder import lora_in, write_index
from generation.request import Size
from generation.tuning.adapter import Adapter
from generation.tuning.dpo import dpo_loss, draw_noise, errors
from generation.tuning.edges import RECOGNISED, likeness, outline
from generation.tuning.fidelity import EdgesMeasure, ImageTextMeasure, Watch
from generation.tuning.job import TuningFailed
from generation.tuning.learning import Learning, Learnt, Settings
from generation.tuning.preferences import Encoded, Pair, draw
from generation.worker.specs import WEIGHTS
from tests.support.generation.tiny_model import (
    save_tiny_clip,
    tiny_stable_diffusion,
    tiny_xl,
)

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SIZE = Size(32, 32)
STEPS = 8


def silent(what: str, done: int, total: int) -> None:
    """Nobody watches."""


@pytest.fixture
def pairs(tmp_path: Path) -> list[Pair]:
    """A red picture is better than a blue one, in two sizes."""
    made = []
    for number, size in enumerate((SIZE, SIZE, SIZE, Size(32, 16))):
        files = tmp_path / f"red-{number}.png", tmp_path / f"blue-{number}.png"
        for file, colour in zip(files, ("red", "blue"), strict=True):
            Image.new("RGB", (size.width_px, size.height_px), colour).save(file)

        made.append(Pair(f"a fox {number}", *files, size))

    return made


class Tuned:
    """A tiny model that learns from the pairs."""

    def __init__(
        self,
        pipeline: Any,
        pairs: list[Pair],
        folder: Path,
        *,
        at_once: int = 3,
        watch: Watch | None = None,
    ) -> None:
        self.pipeline = pipeline
        self.encoded = Encoded(pairs, pipeline, device="cpu", tell=silent)
        self.adapter = Adapter(pipeline.unet, rank=2, seed=0)
        settings = Settings(
            method="dpo",
            steps=STEPS,
            batch=3,
            at_once=at_once,
            rank=2,
            learning_rate=3e-3,
            beta=5000.0,
            least_noise=0.0,
            seed=0,
        )
        self.learning = Learning(
            settings,
            pairs,
            self.encoded,
            pipeline,
            self.adapter,
            Accelerator(cpu=True),
            watch=watch,
            checkpoint=folder / "checkpoint.pt",
            tell=silent,
        )

    def margin(self, pairs: list[Pair]) -> float:
        """How much nearer the tuning brought the better images than the worse ones."""
        rows = self.encoded.rows(pairs)
        schedule = self.learning._schedule
        gained = []
        for seed in range(8):
            drawn = draw_noise(rows.latents, range(1000), torch.Generator().manual_seed(seed))
            with torch.no_grad():
                now = errors(self.pipeline.unet, schedule, rows, drawn)
                with self.adapter.off():
                    before = errors(self.pipeline.unet, schedule, rows, drawn)

            better, worse = (now - before).chunk(2)
            gained.append(float((worse - better).mean()))

        return sum(gained)


def tiny(family: str, folder: Path) -> Any:
    folder.mkdir()
    if family == "XL":
        return tiny_xl(folder)

    return tiny_stable_diffusion(folder, second=family == "2.x")


@pytest.mark.parametrize("family", ["1.x", "2.x", "XL"])
def test_each_family_learns_what_the_pairs_say_and_is_served_so(
    family: str, pairs: list[Pair], tmp_path: Path
) -> None:
    tuned = Tuned(tiny(family, tmp_path / "one"), pairs, tmp_path)
    assert tuned.margin(pairs[:3]) == 0

    learnt = tuned.learning.learn()

    assert tuned.margin(pairs[:3]) > 0
    tuned.adapter.save(learnt.weights, tuned.pipeline, tmp_path / "lora", WEIGHTS)
    write_index(tmp_path / "lora", base="a/base", base_revision="0")
    lora = lora_in(str(tmp_path / "lora"))
    assert lora is not None
    served = tiny(family, tmp_path / "other")
    add_lora(served, lora)
    rows = tuned.encoded.rows(pairs[:3])
    drawn = draw_noise(rows.latents, range(1000), torch.Generator().manual_seed(0))
    with torch.no_grad():
        here, there = (
            errors(unet, tuned.learning._schedule, rows, drawn)
            for unet in (tuned.pipeline.unet, served.unet)
        )

    assert torch.allclose(here, there, atol=1e-5)


def test_pairs_that_do_not_fit_at_once_teach_the_same(pairs: list[Pair], tmp_path: Path) -> None:
    learnt = []
    for at_once in (1, 3):
        folder = tmp_path / str(at_once)
        folder.mkdir()
        tuned = Tuned(tiny_stable_diffusion(folder), pairs, folder, at_once=at_once)
        learnt.append(tuned.learning.learn().weights)

    for name, weight in learnt[0].items():
        assert torch.allclose(weight, learnt[1][name], atol=1e-4)


def test_what_was_broken_off_ends_as_if_it_had_not_been(pairs: list[Pair], tmp_path: Path) -> None:
    later = [88.5] * (STEPS - 1)  # so few steps are each looked at
    whole = learnt_with(iter([90.0, 89.0, *later]), pairs, tmp_path / "whole")

    def broken_off() -> Iterator[float]:
        yield from [90.0, 89.0]  # at the second look
        raise KeyboardInterrupt

    part = tmp_path / "part"
    with pytest.raises(KeyboardInterrupt):
        learnt_with(broken_off(), pairs, part)

    resumed = learnt_with(iter([90.0, *later]), pairs, part)

    assert resumed.looks == whole.looks
    assert resumed.step == whole.step
    for name, weight in whole.weights.items():
        assert torch.equal(weight, resumed.weights[name])


def test_a_step_draws_pairs_of_one_size_and_always_the_same(pairs: list[Pair]) -> None:
    drawn = [draw(pairs, 2, seed=0, step=step) for step in range(40)]

    assert drawn == [draw(pairs, 2, seed=0, step=step) for step in range(40)]
    assert all(len({pair.size for pair in step}) == 1 for step in drawn)
    assert {pair for step in drawn for pair in step} == set(pairs)


def test_only_timesteps_with_enough_noise_are_drawn() -> None:
    drawn = draw_noise(torch.zeros(80, 4, 2, 2), range(600, 1000), torch.Generator().manual_seed(0))

    assert drawn.time.shape == (40,)
    assert 600 <= drawn.time.min() <= drawn.time.max() < 1000


def test_a_pair_costs_less_the_more_the_better_image_gained() -> None:
    reference = torch.tensor([0.5, 0.5])

    none, right, wrong = (
        float(dpo_loss(torch.tensor(tuned), reference, beta=5000.0))
        for tuned in ([0.5, 0.5], [0.499, 0.501], [0.501, 0.499])
    )

    assert none == pytest.approx(0.6931, abs=1e-4)
    assert right < none < wrong


def learnt_with(points: Iterator[float], pairs: list[Pair], folder: Path) -> Learnt:
    """Tuned while fidelity is so many points, look after look; goes on if it was broken off."""
    shutil.rmtree(folder / "vocabulary", ignore_errors=True)
    folder.mkdir(exist_ok=True)
    watch = Watch("these points", before=next(points), look=lambda: next(points))
    tuned = Tuned(tiny_stable_diffusion(folder), pairs, folder, watch=watch)

    return tuned.learning.learn()


def test_training_ends_before_more_than_two_points_are_lost(
    pairs: list[Pair], tmp_path: Path
) -> None:
    learnt = learnt_with(iter([90.0, 88.0, 87.9]), pairs, tmp_path)

    assert [(look.step, look.points) for look in learnt.looks] == [(0, 90), (1, 88), (2, 87.9)]
    assert learnt.step == 1


def test_a_model_that_keeps_what_prompts_mean_is_trained_to_the_end(
    pairs: list[Pair], tmp_path: Path
) -> None:
    assert learnt_with(repeat(90.0), pairs, tmp_path).step == STEPS


def test_a_model_that_forgets_at_once_is_not_written(pairs: list[Pair], tmp_path: Path) -> None:
    points = chain([90.0], repeat(80.0))

    with pytest.raises(TuningFailed, match=r"After 1 of 8 steps .* lost 10\.0 points"):
        learnt_with(points, pairs, tmp_path)


def house(*, door: int = 30) -> Image.Image:
    drawn = Image.new("RGB", (128, 128), "white")
    pen = ImageDraw.Draw(drawn)
    pen.polygon([(20, 60), (64, 20), (108, 60)], fill="red")
    pen.rectangle((30, 60, 98, 110), fill="orange")
    pen.rectangle((door, 80, door + 20, 110), fill="brown")

    return drawn


def disc() -> Image.Image:
    drawn = Image.new("RGB", (128, 128), "white")
    ImageDraw.Draw(drawn).ellipse((30, 30, 100, 100), fill="red")

    return drawn


def ring() -> Image.Image:
    drawn = Image.new("RGB", (128, 128), "white")
    ImageDraw.Draw(drawn).ellipse((10, 40, 118, 90), outline="black", width=8)

    return drawn


def test_outlines_tell_what_a_picture_shows_in_any_light_and_mirrored() -> None:
    right = [outline(house())]

    assert likeness(outline(ImageOps.grayscale(house())), right) > 0.9
    assert likeness(outline(ImageOps.mirror(house())), right) == pytest.approx(1, abs=1e-3)
    assert likeness(outline(house(door=70)), right) >= RECOGNISED
    assert likeness(outline(disc()), right) < RECOGNISED
    assert likeness(outline(Image.new("RGB", (8, 8))), right) == 0


def test_fidelity_is_how_like_images_are_to_the_nearest_of_the_base_in_any_style() -> None:
    measure = EdgesMeasure({"a house": [house(), ring()]})
    of_disc = max(likeness(outline(disc()), [outline(one)]) for one in (house(), ring()))

    assert measure.points({"a house": [house()]}) == pytest.approx(100, abs=0.1)
    assert measure.points({"a house": [house(), ring()]}) == pytest.approx(100, abs=0.1)
    assert measure.points({"a house": [house(), ring(), disc()]}) == pytest.approx(
        100 * (2 + of_disc) / 3, abs=0.1
    )


def test_an_image_text_model_scores_images_by_their_prompt(tmp_path: Path) -> None:
    save_tiny_clip(tmp_path)
    measure = ImageTextMeasure(str(tmp_path / "tiny-clip"), device="cpu")

    points = measure.points({"a house": [house(), disc()], "a disc": [disc(), house()]})

    assert measure.name == "image-text score of tiny-clip"
    assert -100 <= points <= 100
    assert measure.points({"a house": [house()]}) != measure.points({"a house": [disc()]})


def test_an_image_text_model_that_is_none_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(BackendUnavailable, match=r"The image-text model .* cannot be loaded"):
        ImageTextMeasure(str(tmp_path), device="cpu")
