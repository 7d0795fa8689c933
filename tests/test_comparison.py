"""What `replay` says about two images, without making any."""

import io

import pytest
from PIL import Image

from bot.cli.comparison import Difference, PixelDifference, differences, pixel_difference

RECORDED = {
    "model": "somebody/tiny",
    "revision": "0" * 40,
    "scheduler": "PNDMScheduler",
    "backend": "diffusers",
    "device": "cuda:0 (NVIDIA A10)",
    "dtype": "float16",
    "engine": "oxherd",
    "batch": "4",
    "torch": "2.9.0+cu130",
}


def png(colour: tuple[int, int, int], *, side_px: int = 8) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side_px, side_px), colour).save(file, format="PNG")

    return file.getvalue()


def test_equal_values_are_not_named() -> None:
    assert differences(RECORDED, dict(RECORDED)) == []


@pytest.mark.parametrize("name", RECORDED)
def test_each_value_that_differs_is_named(name: str) -> None:
    assert differences(RECORDED, {**RECORDED, name: "different"}) == [
        Difference(name=name, recorded=RECORDED[name], here="different")
    ]


def test_a_value_that_only_one_side_has_is_named() -> None:
    older = {name: value for name, value in RECORDED.items() if name != "engine"}

    assert differences(older, RECORDED) == [
        Difference(name="engine", recorded="not recorded", here="oxherd")
    ]
    assert differences(RECORDED, older) == [
        Difference(name="engine", recorded="oxherd", here="not recorded")
    ]


def test_the_number_of_a_device_is_no_difference() -> None:
    assert differences(RECORDED, {**RECORDED, "device": "cuda:1 (NVIDIA A10)"}) == []
    assert differences(RECORDED, {**RECORDED, "device": "cuda:0 (NVIDIA H100)"}) != []


def test_images_differ_by_their_largest_and_their_mean_difference() -> None:
    assert pixel_difference(png((10, 20, 30)), png((10, 20, 36))) == PixelDifference(
        largest=6, mean=2.0
    )


def test_the_same_pixels_do_not_differ() -> None:
    assert pixel_difference(png((1, 2, 3)), png((1, 2, 3))) == PixelDifference(largest=0, mean=0.0)


def test_images_of_different_sizes_are_not_compared() -> None:
    assert pixel_difference(png((1, 2, 3)), png((1, 2, 3), side_px=16)) is None
