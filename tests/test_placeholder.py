"""The placeholder draws honest pictures, always the same for the same request."""

import hashlib
import io
from dataclasses import replace

import pytest
from PIL import Image, ImageChops, ImageStat

from generation import placeholder
from generation.errors import Cancelled
from generation.placeholder import PlaceholderBackend
from generation.request import GeneratedImage, ImageRequest, Size, Variation
from generation.worker.specs import PlaceholderSpec
from tests.support.generation.requests import Onlooker, a_request


def make(request: ImageRequest) -> list[GeneratedImage]:
    backend = PlaceholderBackend(PlaceholderSpec(seconds_per_step=0), device="cpu")

    return list(backend.generate(request, Onlooker()).images)


def picture(image: GeneratedImage) -> Image.Image:
    return Image.open(io.BytesIO(image.png))


def test_the_same_request_makes_the_same_bytes() -> None:
    request = a_request("a fox in the snow")

    assert make(request) == make(request)


def test_each_image_is_the_same_alone_as_among_others() -> None:
    together = make(a_request("a fox", seeds=(7, 8)))

    assert make(a_request("a fox", seeds=(8,))) == together[1:]


def test_other_seeds_and_other_prompts_make_other_pictures() -> None:
    images = make(a_request("a fox", seeds=(1, 2))) + make(a_request("an owl", seeds=(1, 2)))

    assert len({image.sha256 for image in images}) == 4


def test_the_hash_is_that_of_the_bytes() -> None:
    (image,) = make(a_request(seeds=(1,)))

    assert image.sha256 == hashlib.sha256(image.png).hexdigest()


def test_the_picture_has_the_size_that_was_asked_for() -> None:
    (image,) = make(replace(a_request(seeds=(1,)), size=Size(768, 512)))

    assert picture(image).size == (768, 512)


def test_the_picture_says_that_no_model_made_it(monkeypatch: pytest.MonkeyPatch) -> None:
    (with_notice,) = make(a_request("x", seeds=(1,)))
    monkeypatch.setattr(placeholder, "NOTICE", "")
    (without,) = make(a_request("x", seeds=(1,)))

    difference = ImageChops.difference(picture(with_notice), picture(without)).getbbox()

    assert difference is not None
    left, top, right, bottom = difference
    assert right - left > 250  # plainly readable: half the picture's width
    assert bottom - top > 12


@pytest.mark.parametrize("prompt", ["x" * 500, "日本語の狐 🦊", "word " * 100], ids=repr)
def test_any_prompt_can_be_drawn(prompt: str) -> None:
    (image,) = make(a_request(prompt, seeds=(1,)))

    picture(image).verify()


def test_its_previews_are_small_and_come_nearer_to_the_picture() -> None:
    backend = PlaceholderBackend(PlaceholderSpec(seconds_per_step=0), device="cpu")
    onlooker = Onlooker(wants_preview=True)

    made = backend.generate(a_request("a fox", seeds=(1,), steps=4), onlooker)

    previews = [Image.open(io.BytesIO(jpeg)) for jpeg in onlooker.previews]
    finished = picture(made.images[0]).resize(previews[0].size)
    distances = [
        sum(ImageStat.Stat(ImageChops.difference(preview, finished)).mean) for preview in previews
    ]
    assert distances == sorted(distances, reverse=True)
    assert len(set(distances)) == 4
    assert max(map(len, onlooker.previews)) < 20_000


def test_its_previews_can_be_turned_off() -> None:
    backend = PlaceholderBackend(
        PlaceholderSpec(seconds_per_step=0, previews=False),
        device="cpu",
    )
    onlooker = Onlooker(wants_preview=True)

    backend.generate(a_request(steps=2), onlooker)

    assert onlooker.previews == []


def test_it_stops_between_two_steps() -> None:
    backend = PlaceholderBackend(PlaceholderSpec(), device="cpu")
    onlooker = Onlooker(cancel_after=2)

    with pytest.raises(Cancelled):
        backend.generate(a_request(steps=50), onlooker)

    assert onlooker.steps == [(1, 50), (2, 50)]


def test_a_variation_shows_as_much_of_its_parent_as_its_strength_leaves() -> None:
    backend = PlaceholderBackend(PlaceholderSpec(seconds_per_step=0), device="cpu")
    request = a_request("a fox", seeds=(1,), steps=10, side_px=64)
    [parent] = backend.generate(request, Onlooker()).images
    onlooker = Onlooker()

    def varied(strength: float) -> bytes:
        variation = Variation(parent_id="the fox", strength=strength)
        changed = replace(request, seeds=(2,), variation=variation)
        [image] = backend.generate(changed, onlooker, parent=parent.png).images

        return image.png

    assert varied(1.0) == backend.generate(replace(request, seeds=(2,)), Onlooker()).images[0].png
    assert varied(0.5) == varied(0.5)
    assert len({parent.png, varied(0.5), varied(1.0)}) == 3
    assert onlooker.steps[-15:-10] == [(step, 5) for step in range(1, 6)]
