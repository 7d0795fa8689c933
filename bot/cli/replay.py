"""Makes one image again from its row in the dataset alone, and compares the two.

Works while the bot runs, and on a copy of a dataset: it reads plain files and opens neither the
journal nor the repository. The model runs in a worker process.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

from PIL import Image

from bot.cli.comparison import Difference, PixelDifference, differences, pixel_difference
from bot.cli.strangers_row import require_offered
from bot.errors import CannotReplay
from bot.prompts.door import IMAGES_PER_REQUEST
from bot.settings import Settings
from generation import emoji
from generation.errors import GenerationError, OutOfMemory
from generation.lora_folder import LORA_INDEX
from generation.queue.executor import Executor
from generation.queue.job import JobProgress
from generation.queue.limits import ExecutorLimits
from generation.request import MAX_SEED, ImageRequest, Result
from generation.worker.specs import (
    WEIGHTS,
    Attention,
    BackendSpec,
    Compile,
    DiffusersSpec,
    Dtype,
    LoraSpec,
    PlaceholderSpec,
    Quantize,
)
from storage.dataset.reader import RecordedImage, find_recorded, recorded_bytes
from storage.errors import RecordError
from storage.folder import DataFolder

_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """An image that was made again.

    pixels: how far it is from the recorded image; None if the bytes are equal, or if the recorded
    image is not here.
    """

    recorded: RecordedImage
    png: bytes
    differences: list[Difference]
    pixels: PixelDifference | None

    @property
    def same_bytes(self) -> bool:
        """Whether the PNG file equals the recorded one, byte for byte."""
        return _sha256(self.png) == self.recorded.sha256

    def write(self, path: Path) -> None:
        """Write the new image as a PNG file. Raises CannotReplay."""
        try:
            path.write_bytes(self.png)
        except OSError as exc:
            raise CannotReplay(f"{path} cannot be written: {exc.strerror}.") from exc


async def replay(
    settings: Settings,
    image_id: str,
    *,
    dataset: Path | None,
    model: str | None = None,
    device: str,
    tell: Callable[[JobProgress], None],
) -> Replayed:
    """Make the image again on the device.

    dataset: a copy of somebody's dataset, whose rows may ask only for what the settings offer and
    for the model; None for the bot's own. tell: called with each progress. Raises CannotReplay if
    the image is not recorded, or if its model or the device is not available.
    """
    folder = DataFolder(settings.data)
    source = dataset or folder.dataset
    try:
        recorded = find_recorded(source, image_id)
    except RecordError as exc:
        raise CannotReplay(str(exc)) from exc

    request, index = request_of(recorded)
    if dataset is not None:
        require_offered(recorded, request, settings, model=model)

    spool = folder.spool if dataset is None else None
    parent = _parent(recorded, request, source, spool=spool)
    with _compiled_versions(folder.compiled) as compiled:
        spec = spec_of(recorded, settings, compiled=compiled)
        made = await _made(spec, request, parent, device=device, tell=tell)

    image = made.images[index]
    if image.withheld is not None:
        raise CannotReplay(
            f"The model's own safety checker withholds image {image_id}, so there is nothing to "
            "compare."
        )

    png = image.png
    try:
        original = recorded_bytes(recorded, source, spool=spool)
    except RecordError as exc:
        raise CannotReplay(str(exc)) from exc

    return Replayed(
        recorded=recorded,
        png=png,
        differences=differences(recorded.made_by, made.provenance.to_json()),
        pixels=_pixels(recorded, original, png),
    )


def spec_of(recorded: RecordedImage, settings: Settings, *, compiled: Path) -> BackendSpec:
    """The backend to open: the recorded model, revision, dtype and memory layout.

    compiled: a folder with the compiled versions that exist, for an image that one of them made.
    Raises CannotReplay if it was made with a folder that the settings do not have.
    """
    made_by = recorded.made_by
    if made_by["backend"] == "placeholder":
        return PlaceholderSpec(seconds_per_step=0, previews=False)

    if made_by["backend"] != "diffusers":
        raise CannotReplay(
            f"Image {recorded.image_id} was made by an unknown backend, {made_by['backend']!r}."
        )

    model, revision, lora = _found(recorded, settings)
    size = ImageRequest.from_json(recorded.request).size
    try:
        return DiffusersSpec(
            model=model,
            revision=revision,
            lora=lora,
            allow_pickles=settings.allow_pickles,
            dtype=cast("Dtype", made_by["dtype"]),
            offload="model" if settings.offload else "none",
            threads=_threads(made_by.get("threads", "")),
            preview="never",
            compile=_compile(made_by),
            compiled_folder=compiled,
            compiled_size=size,
            attention=cast("Attention", made_by.get("attention", "native")),
            quantize=cast("Quantize", made_by.get("quantized", "none")),
            step_cache=float(made_by["step_cache"]) if "step_cache" in made_by else None,
        )
    except ValueError as exc:
        raise CannotReplay(f"Image {recorded.image_id} cannot be made again: {exc}") from exc


def _found(recorded: RecordedImage, settings: Settings) -> tuple[str, str | None, LoraSpec | None]:
    """The model to load, its revision on the hub, and the LoRA to add, as the row has them.

    The record of a model from a folder has the folder's name and the hash of its content, not its
    path. So the folder comes from the settings: the one with that name, or else the default. The
    model that ships with oxherd is always found. Raises CannotReplay if there is no folder.
    """
    made_by, folders = recorded.made_by, _folders(settings)
    found, revision = _located(recorded, made_by["model"], made_by["revision"], folders)
    if "base" not in made_by:
        return found, revision, None

    try:
        lora = LoraSpec(
            source=found,
            revision=revision,
            file=made_by.get("lora_file", WEIGHTS),
            weight=float(made_by.get("lora_weight", "1")),
            few_steps=made_by.get("few_steps"),
        )
    except ValueError as exc:
        raise CannotReplay(f"Image {recorded.image_id} cannot be made again: {exc}") from exc

    if lora.folder is not None and (lora.folder / LORA_INDEX).is_file():
        return found, None, lora  # it names its base

    base, base_revision = _located(recorded, made_by["base"], made_by["base_revision"], folders)

    return base, base_revision, lora


def _folders(settings: Settings) -> list[Path]:
    """The folders that the settings offer, models and LoRAs."""
    named = [
        *(offered.model for offered in settings.offered_models),
        *(offered.lora.source for offered in settings.offered_models if offered.lora),
    ]

    return [Path(name).expanduser() for name in named if Path(name).expanduser().is_dir()]


def _located(
    recorded: RecordedImage, name: str, revision: str, folders: Sequence[Path]
) -> tuple[str, str | None]:
    """A model or LoRA that the row names: on the hub with its commit, or the folder."""
    if not revision.startswith("sha256:"):
        return name, revision

    named = [place for place in (*folders, emoji.MODEL) if place.name == name]
    if not named and not folders:
        raise CannotReplay(
            f"Image {recorded.image_id} was made with a model in a folder, {name!r} "
            f"({revision}). Set OXHERD_MODEL to that folder, or to a copy of it."
        )

    return str((named or folders)[0]), None


def _compile(made_by: Mapping[str, str]) -> Compile:
    if "compiled" in made_by:
        return "on"

    return "layout" if "layout" in made_by else "off"


@contextmanager
def _compiled_versions(folder: Path) -> Iterator[Path]:
    """A folder with links to the bot's compiled versions, which a worker may write to."""
    with TemporaryDirectory(prefix="oxherd-replay-") as scratch:
        for file in folder.glob("*.compiled"):
            (Path(scratch) / file.name).symlink_to(file.resolve())

        yield Path(scratch)


def request_of(recorded: RecordedImage) -> tuple[ImageRequest, int]:
    """A request that makes the image in a batch of the recorded size, and its index in the batch.

    The bytes depend on how many images are denoised together, but not on the other images. The
    seeds of the others follow one another, as in the original request. Raises CannotReplay.
    """
    text = recorded.made_by.get("batch", str(IMAGES_PER_REQUEST))
    if text not in map(str, range(1, IMAGES_PER_REQUEST + 1)):
        raise CannotReplay(f"The row of image {recorded.image_id} has a batch of {text!r}.")

    batch = int(text)
    index = (recorded.slot - 1) % batch
    (seed,) = recorded.request["seeds"]
    seeds = tuple((seed - index + other) % (MAX_SEED + 1) for other in range(batch))
    request = replace(ImageRequest.from_json(recorded.request), seeds=seeds)

    return request, index


def _parent(
    recorded: RecordedImage, request: ImageRequest, source: Path, *, spool: Path | None
) -> bytes | None:
    """The image that the request varies, if it does. Raises CannotReplay if it is not here."""
    if request.variation is None:
        return None

    parent_id = request.variation.parent_id
    try:
        parent = find_recorded(source, parent_id)
        png = recorded_bytes(parent, source, spool=spool)
    except RecordError as exc:
        raise CannotReplay(
            f"Image {recorded.image_id} is a variation of image {parent_id[:64]}: {exc}"
        ) from exc

    if png is None or _sha256(png) != parent.sha256:
        found = "is not here" if png is None else "is not here as it was recorded"
        raise CannotReplay(
            f"Image {recorded.image_id} is a variation of image {parent_id}, which {found}: the "
            "dataset has the images that somebody voted on, and the host of the bot those that "
            "wait for votes."
        )

    return png


async def _made(
    spec: BackendSpec,
    request: ImageRequest,
    parent: bytes | None,
    *,
    device: str,
    tell: Callable[[JobProgress], None],
) -> Result:
    """The images, regardless of the limits in the settings and of the time it takes."""
    try:
        async with Executor.open(
            {request.model: spec},
            devices=(device,),
            limits=ExecutorLimits(deadline_s=_DAY_S, silence_s=_DAY_S, grace_s=0),
        ) as executor:
            job = executor.submit(request, owner=0, parent=parent)
            progress = job.progress
            while not progress.state.is_final:
                tell(progress)
                progress = await job.wait_change(since=progress)

            return await job.result()
    except OutOfMemory as exc:
        raise CannotReplay(
            f"There is not enough memory on the device {device} ({exc.cause}). If a bot runs on "
            "it, choose a different one with --device."
        ) from exc
    except GenerationError as exc:
        raise CannotReplay(f"The image could not be made again: {exc}") from exc


def _threads(text: str) -> int | None:
    """None where no plausible number was recorded."""
    return int(text) if re.fullmatch("[1-9][0-9]{0,2}", text) else None


def _pixels(recorded: RecordedImage, original: bytes | None, png: bytes) -> PixelDifference | None:
    if original is None or original == png or _sha256(original) != recorded.sha256:
        return None

    try:
        return pixel_difference(original, png)
    except (OSError, Image.DecompressionBombError) as exc:
        raise CannotReplay(f"The recorded image is not a usable PNG file: {exc}") from exc


def _sha256(png: bytes) -> str:
    return hashlib.sha256(png).hexdigest()
