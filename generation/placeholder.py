"""Images without a model, which say so on the image."""

import colorsys
import math
import random
import textwrap
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version

from PIL import Image, ImageDraw, ImageFilter, ImageFont

from generation.errors import Cancelled
from generation.image_files import finished_image, opened_image, preview_jpeg
from generation.request import ImageRequest, Made, Provenance
from generation.worker.backend import Finding, Watcher
from generation.worker.specs import PlaceholderSpec

NOTICE = "placeholder: no model made this"

_LAYERS = 5
_PREVIEW_SCALE = 8
_POLL_S = 0.05
Colour = tuple[int, int, int]


class PlaceholderBackend:
    """Draws a landscape from the prompt and the seed with Pillow.

    The same prompt, seed, size and version of Pillow make the same bytes. Steps change only the
    time that it takes. A variation shows so much of the new drawing as it is strong, over its
    parent.
    """

    def __init__(self, spec: PlaceholderSpec, *, device: str) -> None:
        self._spec = spec

    def check(self) -> Sequence[Finding]:
        return [Finding(subject="model", ok=True, detail="placeholder drawings; no model needed")]

    def load(self) -> Provenance:
        return Provenance(
            backend="placeholder",
            model="placeholder",
            revision="1",
            scheduler="none",
            device="cpu",
            dtype="uint8",
            versions={"pillow": version("pillow")},
        )

    def fits(self) -> bool:
        return True

    def unload(self) -> None:
        """It holds nothing."""

    def between_requests(self, report: Callable[[str], None]) -> str:
        return ""

    def generate(
        self, request: ImageRequest, watcher: Watcher, *, parent: bytes | None = None
    ) -> Made:
        steps = request.steps_made
        for step in range(1, steps + 1):
            self._think(watcher)
            watcher.step_done(step, steps)
            if self._spec.previews and watcher.wants_preview:
                watcher.preview(partial(sketch, request, step / steps))

        images = tuple(
            finished_image(_varied(draw(request, seed), request, parent), seed=seed)
            for seed in request.seeds
        )

        return Made(request=request, images=images, provenance=self.load())

    def _think(self, watcher: Watcher) -> None:
        until = time.monotonic() + self._spec.seconds_per_step
        while True:
            if watcher.cancelled:
                raise Cancelled

            left_s = until - time.monotonic()
            if left_s <= 0:
                return

            time.sleep(min(left_s, _POLL_S))


def draw(request: ImageRequest, seed: int) -> Image.Image:
    """A sky, a sun, hills, and a card with NOTICE and the prompt."""
    image = _landscape(request, seed, (request.size.width_px, request.size.height_px))
    _add_card(image, request.prompt)

    return image


def _varied(image: Image.Image, request: ImageRequest, parent: bytes | None) -> Image.Image:
    """What the request makes of its parent, if it has one."""
    if parent is None or request.variation is None:
        return image

    return Image.blend(opened_image(parent), image, request.variation.strength)


def sketch(request: ImageRequest, done: float) -> bytes:
    """A preview as a JPEG file: small drawings, sharper the more is done, from 0 to 1."""
    size = (request.size.width_px // _PREVIEW_SCALE, request.size.height_px // _PREVIEW_SCALE)
    blur = ImageFilter.GaussianBlur((1 - done) * max(size) / 6)

    return preview_jpeg([_landscape(request, seed, size).filter(blur) for seed in request.seeds])


def _landscape(request: ImageRequest, seed: int, size: tuple[int, int]) -> Image.Image:
    dice = random.Random(f"{seed}:{request.prompt}")
    hue = dice.random()
    image = _sky(size, top=_colour(hue, 0.55, 0.45), bottom=_colour(hue + 0.12, 0.35, 0.98))
    _add_sun(image, dice, _colour(hue + 0.5, 0.25, 1.0))
    for layer in range(_LAYERS):
        near = (layer + 1) / _LAYERS
        _add_hills(image, dice, near, _colour(hue + 0.08 * near, 0.6, 0.75 - 0.55 * near))

    return image


def _colour(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)

    return round(red * 255), round(green * 255), round(blue * 255)


def _sky(size: tuple[int, int], *, top: Colour, bottom: Colour) -> Image.Image:
    mask = Image.linear_gradient("L").resize(size)

    return Image.composite(Image.new("RGB", size, bottom), Image.new("RGB", size, top), mask)


def _add_sun(image: Image.Image, dice: random.Random, colour: Colour) -> None:
    width, height = image.size
    x, y = dice.uniform(0.15, 0.85) * width, dice.uniform(0.15, 0.45) * height
    radius = dice.uniform(0.06, 0.12) * min(width, height)
    for reach, blur, strength in ((2.2, 0.9, 120), (1.0, 0.02, 255)):
        glow = Image.new("L", image.size)
        around = radius * reach
        ImageDraw.Draw(glow).ellipse((x - around, y - around, x + around, y + around), strength)
        image.paste(colour, mask=glow.filter(ImageFilter.GaussianBlur(radius * blur)))


def _add_hills(image: Image.Image, dice: random.Random, near: float, colour: Colour) -> None:
    width, height = image.size
    base = height * (0.42 + 0.42 * near)
    waves = [
        (dice.uniform(0.02, 0.06) * height / octave, octave * dice.uniform(2, 5), dice.random() * 7)
        for octave in (1, 2, 4)
    ]
    ridge = [
        (x, base + sum(high * math.sin(x / width * often + at) for high, often, at in waves))
        for x in range(0, width + 8, 4)
    ]
    mask = Image.new("L", image.size)
    ImageDraw.Draw(mask).polygon([*ridge, (width + 8, height), (0, height)], 255)
    image.paste(colour, mask=mask.filter(ImageFilter.GaussianBlur(0.7)))


def _add_card(image: Image.Image, prompt: str) -> None:
    width, height = image.size
    text_px = max(8, width // 26)
    margin = text_px
    font = ImageFont.load_default(size=text_px)
    lines = textwrap.wrap(prompt, width=44, max_lines=3, placeholder=" \N{HORIZONTAL ELLIPSIS}")
    line_px = round(text_px * 1.35)
    top = height - margin - line_px * (len(lines) + 1) - margin // 2
    veil = Image.new("L", image.size)
    ImageDraw.Draw(veil).rounded_rectangle(
        (margin // 2, top, width - margin // 2, height - margin // 2), radius=margin // 2, fill=170
    )
    image.paste((12, 14, 20), mask=veil)
    pen = ImageDraw.Draw(image)
    pen.text((margin, top + margin // 2), NOTICE, font=font, fill=(255, 214, 120))
    for number, line in enumerate(lines, start=1):
        at = (margin, top + margin // 2 + number * line_px)
        pen.text(at, line, font=font, fill=(240, 240, 245))
