"""The diffusers backend: loads one model onto a device and makes images with it."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import diffusers
import torch
import transformers
from diffusers import DiffusionPipeline

from generation.best_device import best_device
from generation.diffusion.batching import Batching
from generation.diffusion.checks import (
    check_attention,
    check_compiling,
    check_device,
    check_dtype,
    check_engine,
    check_family,
    check_model,
    check_quantizing,
    check_step_cache,
    known_folder,
)
from generation.diffusion.compile.blocks import record_blocks
from generation.diffusion.compile.layout import PREPARED, pays, prepare
from generation.diffusion.compile.regions import Region, record_own
from generation.diffusion.compile.warm_start import WarmStart
from generation.diffusion.denoising import Denoiser
from generation.diffusion.device import StepPacing, require_device
from generation.diffusion.engine import OWN, DecodedImage, Engine, Stage, choose_engine
from generation.diffusion.faster.attention import NATIVE, try_attention, use_attention
from generation.diffusion.faster.quantized import quantized
from generation.diffusion.faster.step_cache import use_step_cache
from generation.diffusion.latent_preview import LatentPreviews, open_previews
from generation.diffusion.loading import (
    ModelFolder,
    base_revision,
    family_traits,
    find_model,
    load_pipeline,
    loading_errors,
    torch_dtype,
)
from generation.diffusion.memory import free_bytes, memory_errors, release_memory
from generation.diffusion.model_files import count_weights, read_index
from generation.diffusion.pipeline_engine import PipelineEngine, traits_by_signature
from generation.diffusion.prompt_length import cut_short
from generation.diffusion.provenance import provenance_of
from generation.errors import BackendUnavailable, Cancelled, NoNegativePrompt
from generation.families import Traits
from generation.image_files import finished_image, opened_image
from generation.request import (
    GeneratedImage,
    ImageRequest,
    Made,
    Provenance,
    Size,
    Withheld,
)
from generation.worker.backend import Finding, Watcher
from generation.worker.specs import DiffusersSpec

log = logging.getLogger(__name__)

_WORKING_BYTES = 4 * 2**30
"""Kept free beside the weights for making four images at once. An estimate: if a model or a request
does not fit nevertheless, the worker unloads the other models."""


_SMALL = 50_000_000
"""A model with fewer weights gets one thread of the CPU. Its products are so small that threads
wait for each other longer than they work (docs/measurements.md, *A busy machine*)."""

_ALL_THREADS = torch.get_num_threads()
"""As many as torch chooses, before any model is loaded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loaded:
    """A model that is ready. takes: what it really takes of a request. `previews`, `warm_start`:
    None where there are none."""

    pipeline: DiffusionPipeline
    takes: Traits
    engine: Engine
    previews: LatentPreviews | None
    warm_start: WarmStart | None
    threads: int
    provenance: Provenance


@dataclass(frozen=True, slots=True, kw_only=True)
class _Revisions:
    """What identifies the weights: of the base, and of the whole. They differ with a LoRA."""

    base: str
    model: str


class DiffusersBackend:
    """Any text-to-image pipeline of diffusers that reports its steps; most do. See Backend.

    device: a torch device, or "auto" for the best one: CUDA, then Apple's GPU, then the CPU.

    The same request on the same device with the same versions makes the same bytes. Provenance
    records what changes them, if only by rounding. In its `versions`, beside the libraries':

    engine: what denoised: "oxherd", or "pipeline" for the model's own; with " compiled" where
        compiled code did.
    batch: how many images were denoised together. decoded: "one by one", for want of memory.
    compiled: identifies the compiled code. layout: weights that were laid out for it.
    threads, cpu: of a CPU, how many threads it used and its instruction set.
    prompt_read, negative_prompt_read: how many characters of a prompt the text encoder took, where
        it was too long.
    base, base_revision: of a LoRA, the model that it is added to; `revision` is then the LoRA's.
    lora_file: of a LoRA, unless it has the usual name. lora_weight: unless it is 1.
    few_steps: how a LoRA for a few steps is used (a key of `FEW_STEPS`).
    attention: the kernels that computed it, by diffusers' name; none where torch chose.
    quantized: the number format that the weights were rounded to, by torchao.
    step_cache: the threshold below which steps were skipped; none where all were made.
    """

    def __init__(self, spec: DiffusersSpec, *, device: str) -> None:
        self._spec = spec
        self._device = best_device() if device == "auto" else device
        self._batching = Batching()
        self._loaded: _Loaded | None = None

    def check(self) -> Sequence[Finding]:
        device, model = check_device(self._device), check_model(self._spec)
        findings, folder = [device, model], None
        if model.ok:
            folder = known_folder(self._spec)
            if folder is not None:
                findings.append(check_family(self._spec, folder, device=self._device))

            findings.append(check_engine(folder))

        if device.ok:
            findings += check_dtype(self._spec, device=self._device)
            findings += check_compiling(self._spec, device=self._device)
            findings += check_attention(self._spec, folder, device=self._device)

        findings += check_step_cache(self._spec, folder)
        findings += check_quantizing(self._spec)

        return findings

    def fits(self) -> bool:
        require_device(self._device)
        model = find_model(self._spec)
        with loading_errors(self._spec.model):
            count = count_weights(model.path, variant=self._spec.variant)
            takes = family_traits(model.path, self._spec)

        weights = count * torch_dtype(self._spec, takes, device=self._device).itemsize
        free = free_bytes("cpu" if self._spec.offload == "model" else self._device)

        return free is None or weights + _WORKING_BYTES <= free

    def load(self) -> Provenance:
        for library in (diffusers, transformers):
            library.utils.logging.disable_progress_bar()
            library.utils.logging.set_verbosity_error()  # warnings quote prompts that were cut

        torch.backends.cudnn.deterministic = True
        require_device(self._device)
        with (
            loading_errors(self._spec.model),
            memory_errors(),
            ThreadPoolExecutor(1, "model-hash") as hashing,
        ):
            model = find_model(self._spec)
            revisions = hashing.submit(self._revisions, model)
            torch.set_num_threads(self._threads_for(model))
            takes = family_traits(model.path, self._spec)
            dtype = torch_dtype(self._spec, takes, device=self._device)
            pipeline = load_pipeline(model, self._spec, device=self._device)
            self._loaded = self._opened(
                pipeline,
                model,
                revisions.result(),
                takes=takes or traits_by_signature(type(pipeline)),
                dtype=dtype,
            )

        if self._loaded.warm_start is not None:
            self._loaded.warm_start.begin()

        return self._loaded.provenance

    def unload(self) -> None:
        if self._loaded is not None:
            self._loaded.pipeline.remove_all_hooks()  # offloading's hold the components
            if self._loaded.warm_start is not None:
                self._loaded.warm_start.end()

        self._loaded = None
        release_memory()

    def generate(
        self, request: ImageRequest, watcher: Watcher, *, parent: bytes | None = None
    ) -> Made:
        assert self._loaded is not None, "load comes first"
        takes = self._loaded.takes
        if request.negative_prompt and not takes.negative_prompt:
            raise NoNegativePrompt(f"{request.model} has no use for a negative prompt")

        request = takes.used(request)
        image = None if parent is None else opened_image(parent)
        torch.set_num_threads(self._loaded.threads)  # a different model may have been loaded since
        previews, warm_start = self._loaded.previews, self._loaded.warm_start
        pacing = StepPacing(self._device)
        latest: Stage | None = None

        def after_step(stage: Stage) -> None:
            nonlocal latest
            latest = stage
            pacing.wait()
            watcher.step_done(stage.done, stage.total)
            if watcher.cancelled:
                raise Cancelled

            if previews is not None:
                previews.offer(stage, watcher)

        if watcher.cancelled:
            raise Cancelled

        compiled_calls = 0 if warm_start is None else warm_start.compiled_calls
        decoded, batch = self._batching.make(self._loaded.engine, request, after_step, parent=image)
        if previews is not None and latest is not None:
            previews.learn(latest, decoded)

        with ThreadPoolExecutor(len(decoded), "png") as threads:
            images = tuple(threads.map(_finished, decoded, request.seeds))

        facts = {"batch": str(batch), **cut_short(self._loaded.pipeline, request)}
        if any(image.decoded_alone for image in decoded):
            facts["decoded"] = "one by one"
        if warm_start is not None and warm_start.compiled_calls > compiled_calls:
            engine = f"{self._loaded.engine.name} compiled"
            facts |= {"engine": engine, "compiled": warm_start.version}

        made_by = self._loaded.provenance

        return Made(
            request=replace(request, size=Size(*decoded[0].image.size)),  # some round it
            images=images,
            provenance=replace(made_by, versions={**made_by.versions, **facts}),
        )

    def between_requests(self, report: Callable[[str], None]) -> str:
        if self._loaded is None or self._loaded.warm_start is None:
            return ""

        return self._loaded.warm_start.poll(report)

    def _threads_for(self, model: ModelFolder) -> int:
        if self._spec.threads is not None:
            return self._spec.threads

        small = count_weights(model.path, variant=self._spec.variant) < _SMALL

        return 1 if small else _ALL_THREADS

    def _revisions(self, model: ModelFolder) -> _Revisions:
        """Raises BackendUnavailable for a LoRA whose base has changed since."""
        lora, remembered = model.lora, self._spec.model_hashes
        base = base_revision(model, remembered=remembered)
        if lora is None:
            return _Revisions(base=base, model=base)

        if lora.base_revision not in (None, base, lora.hub_revision):
            raise BackendUnavailable(
                f"The LoRA in {lora.spec.source} was made for {lora.base} with the content "
                f"{lora.base_revision}, which now is {base}. Restore that model, or tune anew."
            )

        return _Revisions(base=base, model=lora.revision(remembered=remembered))

    def _opened(
        self,
        pipeline: DiffusionPipeline,
        model: ModelFolder,
        revisions: _Revisions,
        *,
        takes: Traits,
        dtype: torch.dtype,
    ) -> _Loaded:
        choice = choose_engine(read_index(model.path))
        log.info("%s is served by the engine %s: %s", self._spec.model, choice.name, choice.reason)
        facts: dict[str, str] = {}
        # A folder's path is private to this machine; its name and content are not.
        name = self._spec.model if model.on_hub else model.path.name
        if model.lora is not None:
            facts |= {**model.lora.facts(), "base_revision": revisions.base}
            name = model.lora.name

        if self._spec.quantize != "none":
            facts |= quantized(self._spec.quantize)

        attention = self._spec.attention
        told = use_attention(pipeline, attention, device=self._device, dtype=dtype)
        if told and attention != NATIVE:
            facts["attention"] = attention

        if self._spec.step_cache is not None:
            use_step_cache(pipeline, takes, self._spec.step_cache)
            facts["step_cache"] = repr(self._spec.step_cache)

        previews = warm_start = None
        engine: Engine
        if choice.name == OWN:
            if self._prepares():
                prepare(pipeline)
                facts["layout"] = PREPARED

            own = engine = Denoiser(pipeline, device=self._device)
            previews = open_previews(self._spec, pipeline, revisions.base, device=self._device)
            warm_start = self._open_warm_start(lambda size: record_own(own, pipeline, size))
        else:
            engine = called = PipelineEngine(pipeline, takes)
            warm_start = self._open_warm_start(
                lambda size: record_blocks(called, pipeline, takes, size)
            )
            if "attention" in facts:
                try_attention(engine, takes, attention)

        return _Loaded(
            pipeline=pipeline,
            takes=takes,
            engine=engine,
            previews=previews,
            warm_start=warm_start,
            threads=torch.get_num_threads(),
            provenance=provenance_of(
                pipeline,
                model=name,
                revision=revisions.model,
                device=self._device,
                dtype=dtype,
                facts={**facts, "engine": choice.name},
            ),
        )

    def _prepares(self) -> bool:
        """Whether the model is compiled, or laid out as for compiling."""
        if self._spec.offload != "none":
            return False  # compiled code would not notice that components move

        if self._spec.quantize != "none":
            return False  # a part's layout does not tell how its weights are kept

        if self._spec.compile == "auto":
            return pays(self._device)

        return self._spec.compile != "off"

    def _open_warm_start(self, record: Callable[[Size], Sequence[Region]]) -> WarmStart | None:
        folder, size = self._spec.compiled_folder, self._spec.compiled_size
        if self._spec.compile == "layout" or not self._prepares():
            return None

        assert folder is not None
        assert size is not None  # the spec requires both

        return WarmStart(
            partial(record, size),
            device=self._device,
            folder=folder,
            must_be_faster=self._spec.compile == "auto",
        )


def _finished(decoded: DecodedImage, seed: int) -> GeneratedImage:
    withheld = Withheld.CHECKER if decoded.flagged else None

    return finished_image(decoded.image, seed=seed, withheld=withheld)
