"""Previews are drawn from latents by a fit to the model's own images."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image, ImageChops

from generation.diffusion.backend import DiffusersBackend
from generation.diffusion.denoising import Denoiser
from generation.diffusion.engine import DecodedImage, Stage
from generation.diffusion.latent_preview import ENOUGH_IMAGES, LatentColours, LatentPreviews
from generation.worker.specs import DiffusersSpec
from tests.support.generation.requests import Onlooker, a_request
from tests.support.generation.tiny_model import SIDE_PX, save_tiny_model, tiny_stable_diffusion
from tests.test_denoising import SCHEDULERS, with_scheduler

# diffusers' schedulers speak to NumPy in its old way
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

REQUEST = a_request("a fox", steps=4, side_px=SIDE_PX)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("preview"))


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return tiny_stable_diffusion(tmp_path_factory.mktemp("parts"))


def loaded(model: Path, **options: Any) -> DiffusersBackend:
    backend = DiffusersBackend(DiffusersSpec(model=str(model), **options), device="cpu")
    backend.load()

    return backend


def previews_of(backend: DiffusersBackend) -> list[bytes]:
    onlooker = Onlooker(wants_preview=True)
    backend.generate(REQUEST, onlooker)

    return onlooker.previews


def linear_decoder(channels: int) -> Callable[[Any, int], list[Image.Image]]:
    """Decodes each latent to a square of one colour, which is linear in it."""
    weights = torch.randn(channels, 3, generator=torch.Generator().manual_seed(1))
    weights *= 0.08 / channels**0.5

    def decode(latents: Any, factor: int) -> list[Image.Image]:
        colours = (latents.permute(0, 2, 3, 1) @ weights + 0.5).clamp(0, 1)
        levels = (colours * 255).round().to(torch.uint8)
        wide = levels.repeat_interleave(factor, 1).repeat_interleave(factor, 2)

        return [Image.fromarray(each.numpy()) for each in wide]

    return decode


def some_latents(count: int = 4, *, channels: int = 4, seed: int = 0) -> Any:
    return torch.randn(count, channels, 8, 12, generator=torch.Generator().manual_seed(seed))


def largest_difference(one: Image.Image, other: Image.Image) -> int:
    return max(ImageChops.difference(one, other).tobytes())


@pytest.mark.parametrize("factor", [2, 8, 16])
@pytest.mark.parametrize("channels", [4, 8, 16])
def test_of_a_decoder_that_is_linear_the_fit_is_exact(channels: int, factor: int) -> None:
    decode = linear_decoder(channels)
    seen, new = (some_latents(channels=channels, seed=seed) for seed in (1, 2))
    colours = LatentColours()

    colours.learn(seen, decode(seen, factor))

    assert min(colours.r_squared()) > 0.998  # 1, but for 256 levels
    for drawn, decoded in zip(colours.draw(new), decode(new, 1), strict=True):
        assert drawn.size == (12, 8)
        assert largest_difference(drawn, decoded) <= 1


def test_what_was_learnt_is_there_at_the_next_start(tmp_path: Path) -> None:
    file = tmp_path / "factors" / "model.json"
    latents, decode = some_latents(), linear_decoder(4)
    LatentColours(file).learn(latents, decode(latents, 8))

    again = LatentColours(file)

    assert again.is_ready
    assert largest_difference(again.draw(latents)[0], decode(latents, 1)[0]) <= 1
    assert [path.name for path in file.parent.iterdir()] == ["model.json"]


@pytest.mark.parametrize("content", ["", "{}", '{"images": 3, "gram": [[0]], "cross": 1}', "[]"])
def test_a_file_that_cannot_be_used_is_made_anew(tmp_path: Path, content: str) -> None:
    file = tmp_path / "model.json"
    file.write_text(content)
    latents, decode = some_latents(), linear_decoder(4)

    colours = LatentColours(file)
    assert not colours.is_ready
    colours.learn(latents, decode(latents, 8))

    assert LatentColours(file).is_ready


def test_a_folder_that_cannot_be_written_costs_only_the_next_start(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where the folder should be")
    latents, decode = some_latents(), linear_decoder(4)
    colours = LatentColours(tmp_path / "taken" / "model.json")

    colours.learn(latents, decode(latents, 8))

    assert colours.is_ready


def test_more_images_make_the_fit_better_until_there_are_enough() -> None:
    decode, colours = linear_decoder(4), LatentColours()
    rounds = 0
    while colours.wants_more:
        latents = some_latents(seed=rounds)
        colours.learn(latents, decode(latents, 8))
        rounds += 1

    assert rounds == ENOUGH_IMAGES / 4


def test_black_pictures_and_broken_latents_teach_nothing() -> None:
    latents, decode = some_latents(), linear_decoder(4)
    black = DecodedImage(image=Image.new("RGB", (96, 64)), flagged=True)
    decoded = [DecodedImage(image=image, flagged=False) for image in decode(latents, 8)]
    colours = LatentColours()
    previews = LatentPreviews(colours, device="cpu")

    previews.learn(AStage(latents), [black] * 4)
    previews.learn(AStage(latents * torch.nan), decoded)
    previews.learn(AStage(latents[:2]), decoded)  # of a batch of two, of a request that was split
    assert not colours.is_ready

    previews.learn(AStage(latents), [black, *decoded[1:]])
    assert largest_difference(colours.draw(latents)[0], decoded[0].image.resize((12, 8), 0)) <= 1


class AStage:
    done = total = 1

    def __init__(self, latents: Any) -> None:
        self.latents = latents

    def expected(self) -> Any:
        return None


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_the_latents_that_are_expected_are_those_that_the_model_means(
    parts: Any, scheduler: str, prediction: str
) -> None:
    pipeline = with_scheduler(parts, scheduler, prediction_type=prediction)
    meant = torch.randn(3, 4, 32, 32, generator=torch.Generator().manual_seed(5))
    shares = pipeline.scheduler.alphas_cumprod

    def knows_all(sample: Any, timestep: Any, **_: Any) -> tuple[Any]:
        share = shares[timestep.round().long()][:, None, None, None]
        noise = (sample - share.sqrt() * meant) / (1 - share).sqrt()
        if prediction == "epsilon":
            return (noise,)

        return (share.sqrt() * noise - (1 - share).sqrt() * meant,)

    engine = Denoiser(pipeline, device="cpu")
    engine.unet = knows_all
    run = engine.begin(replace(REQUEST, seeds=(1, 2, 3), guidance_scale=1.0))
    assert run.expected() is None

    while run.done < run.total:
        run.step()
        expected = run.expected()
        assert expected is not None
        assert torch.allclose(expected, meant, atol=1e-3)


def test_the_first_request_teaches_and_the_next_has_previews(model: Path, tmp_path: Path) -> None:
    backend = loaded(model, preview_factors=tmp_path)

    first, second = previews_of(backend), previews_of(backend)

    assert first == []
    assert len(second) == 5  # PNDM makes a step more
    [file] = tmp_path.iterdir()
    assert file.stem == backend.load().revision
    assert json.loads(file.read_text())["images"] == 8
    assert previews_of(loaded(model, preview_factors=tmp_path))  # the next start has them


def test_of_a_real_decoder_the_fit_explains_a_part(parts: Any) -> None:
    stages: list[Stage] = []
    engine = Denoiser(parts, device="cpu")
    pictures = engine.make(REQUEST, stages.append)
    colours = LatentColours()

    LatentPreviews(colours, device="cpu").learn(stages[-1], pictures)

    assert all(0 < share < 1 for share in colours.r_squared())  # its weights are random


def test_previews_change_no_image(model: Path) -> None:
    quiet, shown = loaded(model, preview="never"), loaded(model)
    previews_of(shown)

    watched = shown.generate(REQUEST, Onlooker(wants_preview=True))

    assert watched.images == quiet.generate(REQUEST, Onlooker()).images


@pytest.mark.parametrize(("choice", "shows"), [("auto", False), ("never", False), ("always", True)])
def test_where_images_may_be_withheld_there_are_none_unless_moderators_want_them(
    model: Path, tmp_path: Path, choice: str, shows: bool
) -> None:
    factors = tmp_path / "factors"
    previews_of(loaded(model, preview_factors=factors))  # a checker leaves nothing to learn
    checked = save_tiny_model(tmp_path, flags_everything=True)
    revision = loaded(checked, preview="never").load().revision
    next(factors.iterdir()).rename(factors / f"{revision}.json")

    previews = previews_of(loaded(checked, preview=choice, preview_factors=factors))

    assert bool(previews) == shows


def test_a_choice_that_does_not_exist_is_refused(model: Path) -> None:
    with pytest.raises(ValueError, match="preview is 'perhaps'; allowed is auto, always"):
        loaded(model, preview="perhaps")
