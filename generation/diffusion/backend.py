"""Loads a model of diffusers, places it, and has an engine make pictures with it."""

import inspect
import json
import logging
import platform
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers import DiffusionPipeline

from generation.diffusion.batching import Batching
from generation.diffusion.compile.warm_start import COMPILED, PREPARED, WarmStart, pays, prepare
from generation.diffusion.denoising import Denoiser
from generation.diffusion.engine import OWN, DecodedImage, Engine, Stage, choose_engine
from generation.diffusion.latent_preview import LatentColours, LatentPreviews
from generation.diffusion.memory import free_bytes, memory_errors, release_memory
from generation.diffusion.model_files import (
    INDEX,
    check_engine,
    check_model,
    count_weights,
    model_files,
)
from generation.diffusion.pipeline_engine import PipelineEngine
from generation.diffusion.prompt_length import characters_read
from generation.errors import BackendUnavailable, Cancelled, OutOfMemory, root_cause
from generation.image_files import finished_image
from generation.model_folder import content_revision, local_folder, not_found
from generation.request import (
    NEGATIVE_PROMPT_READ,
    PROMPT_READ,
    GeneratedImage,
    ImageRequest,
    Made,
    Provenance,
    Size,
    Withheld,
)
from generation.worker.backend import BackendSpec, Finding, Watcher

log = logging.getLogger(__name__)

DEFAULT_MODEL = "CompVis/stable-diffusion-v1-4"

_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
_OFFLOADS = ("none", "model")
_COMPILES = ("auto", "on", "layout", "off")
_LIBRARIES = ("accelerate", "diffusers", "pillow", "transformers")
_PREVIEWS = ("auto", "always", "never")
_ROOM_TO_WORK_BYTES = 4 * 2**30
"""Kept free beside the weights for making four images at once. An estimate: a model that turns out
not to fit, or a request, has the others unloaded for it."""
_NEEDED = {"prompt", "num_images_per_prompt", "generator", "callback_on_step_end"}


class DiffusersBackend:
    """Any text-to-image pipeline of diffusers that reports its steps; most do.

    device: a torch device, or "auto" for the best there is: CUDA, then Apple's GPU, then the CPU.

    spec.model: a name on the Hugging Face hub, or a folder; default DEFAULT_MODEL. What is in
        the hub's local cache is used without asking the hub for more than the revision.
    spec.dtype: "auto" is float16 on a GPU and float32 elsewhere.
    options: `compile` is "on", "off", or "auto" for "on" where it pays; needs `compiled_folder`,
        where compiled versions are kept, and `compiled_size` ("512x768"): see warm_start. With
        "layout" the weights are laid out as for compiling, and nothing is compiled.
        `model_hashes` is a file that remembers hashes of weights, so that they are read only once.
        `variant` names the files to load ("fp16"). `offload` is "none", or "model" for a
        model that does not fit: accelerate then keeps on the device only the part at work.
        `preview` shows how far images are: "always", "never", or "auto", which does not where the
        model's own safety checker may withhold them in the end; with the own engine only. What
        it needs to know of the model is kept in the folder `preview_factors`. `threads` is how many
        of the CPU's threads to use; torch decides unless it is given.

    The same request on the same device with the same versions makes the same bytes. The same
    seed alone and among others differs by rounding, so `versions["batch"]` says how many images
    were denoised together, `versions["decoded"]` that they were decoded one by one for want of
    memory, and `versions["engine"]` by what they were denoised: the own loop, for Stable Diffusion
    1.x, 2.x and XL, or the model's own pipeline. `versions["compiled"]` names compiled code, and
    `versions["layout"]` weights that were laid out for it. On a CPU the number of `threads` and the
    instruction set (`cpu`) change the rounding too. Prompts beyond what the model's text encoder
    takes are cut by it; `versions["prompt_read"]` and `versions["negative_prompt_read"]` then say
    how many characters were read.
    """

    def __init__(self, spec: BackendSpec, *, device: str) -> None:
        self._spec = spec
        self._model = spec.model or DEFAULT_MODEL
        self._device = _best_device() if device == "auto" else device
        self._pipeline: Any = None
        self._engine: Engine | None = None
        self._batching = Batching()
        self._previews: LatentPreviews | None = None
        self._layout: Mapping[str, str] = {}
        """How the weights lie, where that is not as loaded: it changes images by rounding."""
        self._warm: WarmStart | None = None
        self._provenance: Provenance

    def check(self) -> Sequence[Finding]:
        model, revision = self._model, self._spec.revision
        findings = [self._check_device(), check_model(model, revision=revision)]
        if findings[-1].ok:
            findings.append(check_engine(model, revision=revision))

        return findings

    def fits(self) -> bool:
        self._require_device()
        folder, _ = self._find_model()
        with self._loading_errors():
            weights = count_weights(folder, variant=self._variant) * self._dtype().itemsize

        free = free_bytes("cpu" if self._offload == "model" else self._device)

        return free is None or weights + _ROOM_TO_WORK_BYTES <= free

    def load(self) -> Provenance:
        for library in (diffusers, transformers):
            library.utils.logging.disable_progress_bar()
            library.utils.logging.set_verbosity_error()  # warnings quote prompts that were cut

        torch.backends.cudnn.deterministic = True
        if threads := int(self._spec.options.get("threads", 0)):
            torch.set_num_threads(threads)

        self._require_device()
        dtype = self._dtype()
        with (
            self._loading_errors(),
            memory_errors(),
            ThreadPoolExecutor(1, "model-hash") as beside,
        ):
            folder, on_hub = self._find_model()
            remembered = self._spec.options.get("model_hashes")
            revision = (
                None
                if on_hub
                else beside.submit(
                    content_revision,
                    folder,
                    model_files(folder),
                    remembered=None if remembered is None else Path(str(remembered)),
                )
            )
            self._pipeline = DiffusionPipeline.from_pretrained(
                folder, dtype=dtype, variant=self._variant
            )
            self._require_text_to_image()
            self._place()
            self._pipeline.set_progress_bar_config(disable=True)
            self._engine = self._open_engine(folder)
            self._provenance = Provenance(
                backend="diffusers",
                # A folder's path is this machine's business; its name and content are not.
                model=self._model if on_hub else folder.name,
                revision=folder.name if revision is None else revision.result(),
                scheduler=type(self._pipeline.scheduler).__name__,
                device=_device_name(self._device),
                dtype=str(dtype).removeprefix("torch."),
                versions={**_versions(self._device), **self._layout, "engine": self._engine.name},
            )

        self._previews = self._open_previews(self._provenance.revision)

        if self._warm is not None:
            self._warm.begin()

        return self._provenance

    def unload(self) -> None:
        if self._pipeline is not None:
            self._pipeline.remove_all_hooks()  # they hold the parts, if any are offloaded

        if self._warm is not None:
            self._warm.end()

        self._pipeline = self._engine = self._warm = None
        release_memory()

    def generate(self, request: ImageRequest, watcher: Watcher) -> Made:
        latest: Stage | None = None
        ahead = _OneStepAhead(self._device)

        def after_step(stage: Stage) -> None:
            nonlocal latest
            latest = stage
            ahead.wait()
            watcher.step_done(stage.done, stage.total)
            if watcher.cancelled:
                raise Cancelled

            if self._previews is not None:
                self._previews.offer(stage, watcher)

        if watcher.cancelled:
            raise Cancelled

        assert self._engine is not None, "load comes first"
        compiled_calls = 0 if self._warm is None else self._warm.compiled_calls
        try:
            decoded, batch = self._batching.make(self._engine, request, after_step)
        finally:
            self._pipeline.maybe_free_model_hooks()  # a run that ended early left its part loaded

        if self._previews is not None and latest is not None:
            self._previews.learn(latest, decoded)

        with ThreadPoolExecutor(len(decoded), "png") as threads:
            images = tuple(threads.map(_finished, decoded, request.seeds))

        facts = {"batch": str(batch), **self._cut_short(request)}
        if any(image.decoded_alone for image in decoded):
            facts["decoded"] = "one by one"
        if self._warm is not None and self._warm.compiled_calls > compiled_calls:
            facts |= {"engine": COMPILED, "compiled": self._warm.version}

        made_by = replace(self._provenance, versions={**self._provenance.versions, **facts})

        return Made(images=images, provenance=made_by)

    def _cut_short(self, request: ImageRequest) -> dict[str, str]:
        """How many characters were read of a prompt that is too long; nothing of others."""
        read = {
            PROMPT_READ: characters_read(self._pipeline, request.prompt),
            NEGATIVE_PROMPT_READ: characters_read(self._pipeline, request.negative_prompt),
        }

        return {name: str(count) for name, count in read.items() if count is not None}

    def _open_previews(self, revision: str) -> LatentPreviews | None:
        choice = self._spec.options.get("preview", "auto")
        if choice not in _PREVIEWS:
            raise BackendUnavailable(f"preview is {choice!r}; allowed is {', '.join(_PREVIEWS)}.")

        if choice == "never" or not isinstance(self._engine, Denoiser):
            return None

        if choice == "auto" and getattr(self._pipeline, "safety_checker", None) is not None:
            log.info("%s has a safety checker, so there are no previews", self._model)
            return None

        folder = self._spec.options.get("preview_factors")
        file = None if folder is None else Path(str(folder)) / f"{revision}.json"

        return LatentPreviews(LatentColours(file), device=self._device)

    def between_requests(self) -> str:
        if self._warm is None:
            return ""

        self._warm.look()

        return self._warm.serving

    def _open_engine(self, folder: Path) -> Engine:
        choice = choose_engine(json.loads((folder / INDEX).read_bytes()))
        log.info("%s is served by the engine %s: %s", self._model, choice.name, choice.reason)
        if choice.name != OWN:
            return PipelineEngine(self._pipeline)

        if not self._compiles:
            return Denoiser(self._pipeline, device=self._device)

        prepare(self._pipeline)
        self._layout = {"layout": PREPARED}
        engine = Denoiser(self._pipeline, device=self._device)
        if self._spec.options["compile"] == "layout":
            return engine

        self._warm = WarmStart(
            engine,
            self._pipeline,
            size=Size.parse(str(self._spec.options["compiled_size"])),
            folder=Path(str(self._spec.options["compiled_folder"])),
            must_be_faster=self._spec.options["compile"] == "auto",
        )

        return engine

    @property
    def _compiles(self) -> bool:
        """Whether the weights are laid out for a compiled version."""
        if self._spec.options.get("offload", "none") != "none":
            return False  # the parts come and go, and compiled code would not see that

        match self._spec.options.get("compile", "off"):
            case "auto":
                return pays(self._device)
            case "on" | "layout":
                return True
            case "off":
                return False
            case other:
                raise BackendUnavailable(
                    f"compile is {other!r}; allowed is {', '.join(_COMPILES)}."
                )

    @property
    def _variant(self) -> str | None:
        variant = self._spec.options.get("variant")

        return None if variant is None else str(variant)

    @property
    def _offload(self) -> str:
        return str(self._spec.options.get("offload", "none"))

    def _dtype(self) -> torch.dtype:
        if self._spec.dtype == "auto":
            return torch.float16 if self._device.startswith("cuda") else torch.float32

        if self._spec.dtype not in _DTYPES:
            raise BackendUnavailable(
                f"dtype is {self._spec.dtype!r}; allowed is auto, {', '.join(_DTYPES)}."
            )

        return _DTYPES[self._spec.dtype]

    def _require_device(self) -> None:
        try:
            torch.empty(1, device=self._device)
        except (RuntimeError, AssertionError, NotImplementedError) as exc:
            raise BackendUnavailable(
                f"The device {self._device!r} cannot be used by torch {torch.__version__}: "
                f"{root_cause(exc)}"
            ) from exc

    def _find_model(self) -> tuple[Path, bool]:
        """The folder to load from, and whether it is the hub's copy, which its commit names."""
        if folder := local_folder(self._model, index=INDEX):
            return folder, False

        try:
            copy = DiffusionPipeline.download(
                self._model, revision=self._spec.revision, variant=self._variant
            )
        except Exception as exc:
            raise BackendUnavailable(not_found(self._model, exc, what="model")) from exc

        return Path(copy), True

    def _require_text_to_image(self) -> None:
        missing = _NEEDED - set(inspect.signature(self._pipeline.__call__).parameters)
        if missing:
            raise BackendUnavailable(
                f"{self._model} is a {type(self._pipeline).__name__}, whose call takes no "
                f"{', '.join(sorted(missing))}. That is needed to make pictures from text and to "
                "stop between two steps."
            )

    def _place(self) -> None:
        match self._offload:
            case "none":
                self._pipeline.to(self._device)
            case "model":
                self._pipeline.enable_model_cpu_offload(device=self._device)
            case other:
                raise BackendUnavailable(
                    f"offload is {other!r}; allowed is {', '.join(_OFFLOADS)}."
                )

    @contextmanager
    def _loading_errors(self) -> Iterator[None]:
        try:
            yield
        except (BackendUnavailable, OutOfMemory):
            raise
        except Exception as exc:
            raise BackendUnavailable(
                f"The model {self._model!r} is there and could not be loaded: {root_cause(exc)}"
            ) from exc

    def _check_device(self) -> Finding:
        try:
            self._require_device()
            self._dtype()
        except BackendUnavailable as exc:
            return Finding(subject="device", ok=False, detail=exc.reason)

        return Finding(subject="device", ok=True, detail=_device_name(self._device))


class _OneStepAhead:
    """Keeps the host from running away from a GPU, which does later what it was told.

    A step that is told of would be one that was only asked for, and a request would end many
    steps after it was cancelled. One step ahead is enough to keep the GPU busy.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._before: torch.cuda.Event | None = None

    def wait(self) -> None:
        """Call it after each step: returns once the one before is done."""
        if not self._device.startswith("cuda"):
            return

        asked = torch.cuda.Event(blocking=True)
        asked.record(torch.cuda.current_stream(self._device))
        if self._before is not None:
            self._before.synchronize()

        self._before = asked


def _finished(decoded: DecodedImage, seed: int) -> GeneratedImage:
    withheld = Withheld.CHECKER if decoded.flagged else None

    return finished_image(decoded.image, seed=seed, withheld=withheld)


def _device_name(device: str) -> str:
    if device.startswith("cuda"):
        return f"{device} ({torch.cuda.get_device_name(device)})"

    return f"{device} ({platform.machine()})" if device == "cpu" else device


def _versions(device: str) -> Mapping[str, str]:
    versions = {library: version(library) for library in _LIBRARIES}
    # With the build that it is: "+cu130", "+cpu". A plain string: torch's own kind of string would
    # make the bot's process import torch to read it.
    versions["torch"] = str(torch.__version__)
    versions["python"] = platform.python_version()
    if torch.version.cuda and torch.cuda.is_available():
        versions["cuda"] = torch.version.cuda

    if device == "cpu":  # sums are split among threads, so their rounding depends on the number
        versions["threads"] = str(torch.get_num_threads())
        versions["cpu"] = torch.backends.cpu.get_cpu_capability()

    return versions


def _best_device() -> str:
    if torch.cuda.is_available():
        return "cuda"

    return "mps" if torch.backends.mps.is_available() else "cpu"
