"""One run, from the work folder to the LoRA's folder, in one of its processes."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import torch
from accelerate import Accelerator
from diffusers import DiffusionPipeline
from PIL import Image

from generation import emoji
from generation.best_device import best_device
from generation.diffusion.denoising import Denoiser
from generation.diffusion.device import device_name
from generation.diffusion.engine import OWN, choose_engine
from generation.diffusion.loading import (
    ModelFolder,
    base_revision,
    find_model,
    load_pipeline,
    loading_errors,
)
from generation.diffusion.memory import memory_errors
from generation.diffusion.model_files import count_weights, read_index
from generation.errors import BackendUnavailable
from generation.lora_folder import write_index
from generation.request import ImageRequest
from generation.tuning.adapter import Adapter
from generation.tuning.card import Facts, write_card
from generation.tuning.fidelity import (
    OTHER_SEEDS,
    PROMPTS,
    SEEDS,
    Drawn,
    EdgesMeasure,
    ImageTextMeasure,
    Measure,
    Watch,
    drawn,
)
from generation.tuning.job import EDGES, NO_FIDELITY, Job, Recipe, TuningFailed, Work
from generation.tuning.learning import Learning, Settings
from generation.tuning.preferences import Encoded, Pair, read_pairs
from generation.tuning.progress import Tell, progress_bar
from generation.worker.specs import WEIGHTS, DiffusersSpec

_SMALL = 50_000_000
"""Weights. Smaller models learn faster, and fit into memory with a whole batch."""

_OF_SMALL = Recipe(steps=200, batch=4, learning_rate=2e-3, beta=100.0, least_noise=0.8)
"""Tried on the model that ships: docs/measurements.md, *Tuning*."""

_OF_LARGE = Recipe(
    steps=1000, batch=16, at_once=1, learning_rate=1e-4, beta=5000.0, least_noise=0.0
)
"""Not measured. The beta is the paper's, and so are the timesteps: all."""

_STEPS, _GUIDANCE = 20, 7.5
"""How fidelity is looked at, unless the model ships with oxherd."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Base:
    """The model that is tuned, loaded. small: see _SMALL."""

    model: ModelFolder
    pipeline: DiffusionPipeline
    revision: str
    dtype: str
    small: bool


def run(work: Work, job: Job, *, device: str) -> None:
    """Tune, and write the folder `work.out`. Raises TuningFailed or a GenerationError."""
    kind = best_device() if device == "auto" else device.partition(":")[0]
    accelerator = Accelerator(cpu=kind == "cpu")
    with progress_bar(shown=accelerator.is_main_process) as tell, memory_errors():
        tell("loading the model", 0, 0)
        base = _loaded(job, device=str(accelerator.device))
        pairs = read_pairs(work.votes)
        if not pairs:
            raise TuningFailed("No pair is in the split for training: hold fewer prompts out.")

        settings = _settled(job.recipe, small=base.small)
        encoded = Encoded(pairs, base.pipeline, device=str(accelerator.device), tell=tell)
        adapter = Adapter(base.pipeline.unet, rank=settings.rank, seed=settings.seed)
        with adapter.off():
            watch = _watch(job, base, pairs, accelerator, tell)

        learning = Learning(
            settings,
            pairs,
            encoded,
            base.pipeline,
            adapter,
            accelerator,
            watch=watch,
            checkpoint=work.checkpoint,
            tell=tell,
        )
        learnt = learning.learn()

    if accelerator.is_main_process:
        work.finished.mkdir(exist_ok=True)
        adapter.save(learnt.weights, base.pipeline, work.finished, WEIGHTS)
        write_index(
            work.finished,
            base=job.base if base.model.on_hub else str(base.model.path),
            base_revision=base.revision,
        )
        write_card(
            work.finished,
            Facts(
                name=work.out.name,
                base=job.base if base.model.on_hub else base.model.path.name,
                base_revision=base.revision,
                on_hub=base.model.on_hub,
                export=json.loads((work.votes / "export.json").read_text(encoding="utf-8")),
                pairs=len(pairs),
                settings=settings,
                learnt=learnt,
                watched_by=None if watch is None else watch.measured_by,
                device=device_name(str(accelerator.device)),
                dtype=base.dtype,
                processes=accelerator.num_processes,
            ),
        )
        work.finished.replace(work.out)


def _loaded(job: Job, *, device: str) -> _Base:
    """Raises a GenerationError, also for a model of a family that cannot be tuned."""
    spec = DiffusersSpec(
        model=job.base, revision=job.revision, allow_pickles=job.allow_pickles, dtype="float32"
    )
    with loading_errors(spec.model):
        model = find_model(spec)
        choice = choose_engine(read_index(model.path))
        if choice.name != OWN or model.lora is not None:
            reason = choice.reason if model.lora is None else "it is a LoRA already"
            raise BackendUnavailable(f"{spec.model} cannot be tuned: {reason}.")

        small = count_weights(model.path, variant=None) < _SMALL
        if small:
            torch.set_num_threads(1)  # as when it is served
        elif device.startswith("cuda") and torch.cuda.is_bf16_supported():
            spec = replace(spec, dtype="bfloat16")

        pipeline = load_pipeline(model, spec, device=device)
        revision = base_revision(model)

    if not small:
        pipeline.unet.enable_gradient_checkpointing()

    return _Base(model=model, pipeline=pipeline, revision=revision, dtype=spec.dtype, small=small)


def _settled(recipe: Recipe, *, small: bool) -> Settings:
    """The recipe, with what was left open as it suits the model's size."""
    asked = {name: value for name, value in asdict(recipe).items() if value is not None}
    settled = asdict(_OF_SMALL if small else _OF_LARGE) | asked
    settled["at_once"] = settled["at_once"] or settled["batch"]

    return Settings(**settled)


def _watch(
    job: Job, base: _Base, pairs: Sequence[Pair], accelerator: Accelerator, tell: Tell
) -> Watch | None:
    """What looks at fidelity while the model learns. Called while the model is as it was."""
    ships = base.model.path == emoji.MODEL
    measured_by = job.fidelity or (EDGES if ships else NO_FIDELITY)
    if measured_by == NO_FIDELITY:
        return None

    device = str(accelerator.device)
    denoiser = Denoiser(base.pipeline, device=device)
    ((size, _),) = Counter(pair.size for pair in pairs).most_common(1)
    mine = PROMPTS[accelerator.process_index :: accelerator.num_processes]

    def draw(prompt: str, seeds: Sequence[int]) -> Sequence[Image.Image]:
        request = ImageRequest(
            prompt=prompt,
            seeds=tuple(seeds),
            steps=emoji.STEPS // 2 if ships else _STEPS,
            guidance_scale=emoji.GUIDANCE if ships else _GUIDANCE,
            size=size,
            model="",
        )

        return [made.image for made in denoiser.make(request, lambda _: None)]

    def mean(images: Drawn) -> float:
        """The points over the prompts of all processes."""
        sums = torch.tensor([measure.points(images) * len(mine), len(mine)], device=device)
        total, prompts = map(float, accelerator.reduce(sums, reduction="sum").tolist())

        return total / prompts

    def in_each_style(prompt: str, seeds: Sequence[int]) -> Sequence[Image.Image]:
        styles = [f"{prompt}, {style}" for style in emoji.STYLES]

        return [draw(asked, [seed])[0] for asked, seed in zip(styles, seeds, strict=True)]

    measure: Measure = (
        EdgesMeasure(drawn(in_each_style if ships else draw, mine, OTHER_SEEDS, tell))
        if measured_by == EDGES
        else ImageTextMeasure(measured_by, device=device)
    )

    def look() -> float:
        return mean(drawn(draw, mine, SEEDS, tell))

    return Watch(measure.name, before=look(), look=look)
