"""What the pipelines of diffusers really take, by family. Pure.

The only place that knows families apart. `docs/models.md` has its table from here. What stands here
is from the pipelines' source (diffusers 0.42) and the models' cards, and is tested with tiny random
weights (tests/test_families.py).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias

from generation.request import ImageRequest

INDEX = "model_index.json"

GUIDANCE: Final = "guidance_scale"
"""The argument for guidance in most pipelines' calls."""

ReadSettings: TypeAlias = Callable[[str], Mapping[str, Any]]
"""Reads a small JSON file of a model, such as `transformer/config.json`."""


def _nothing(_steps: int) -> Mapping[str, object]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Guidance:
    """How strongly a pipeline follows the prompt.

    argument: its name in the call. default: None for the pipeline's own.
    off_up_to: classifier-free guidance (Ho and Salimans, 2022) is off up to here, and with it the
        negative prompt; None for a scale that the model is told, which always has an effect.
    """

    argument: str = GUIDANCE
    default: float | None
    off_up_to: float | None = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What a model takes, and what it is asked for unless somebody chooses.

    family: its name for people; empty where the table does not know the pipeline.
    most_steps: None where only the settings limit them.
    guidance: None where the model has none, whatever its call takes.
    negative_prompt: whether one has an effect while guidance is on.
    no_negative_prompt: what the call is given in place of an empty one; None for nothing.
    multiple: of each side, in pixels. side_px: of the square images that it was made for.
    dtype: of its weights on CUDA.
    further: arguments that the call is always given, by the number of steps, because their
        defaults do not serve.
    chooses_attention: whether diffusers lets kernels for its attention be chosen.
    caches_steps: whether diffusers can skip the rest of the model in steps that change little.
    note: what operators should know, for docs/models.md.
    """

    family: str = ""
    steps: int
    most_steps: int | None = None
    guidance: Guidance | None
    negative_prompt: bool
    no_negative_prompt: str | None = None
    multiple: int = 16
    side_px: int = 1024
    dtype: Literal["float16", "bfloat16"] = "bfloat16"
    further: Callable[[int], Mapping[str, object]] = _nothing
    chooses_attention: bool = False
    caches_steps: bool = False
    note: str = ""

    @property
    def default_guidance(self) -> float | None:
        """None for the pipeline's own, or none at all."""
        return None if self.guidance is None else self.guidance.default

    def described(self) -> str:
        """For operators: the defaults, what has no effect, sizes and the number format."""
        default = (
            "its own default" if self.default_guidance is None else f"{self.default_guidance:g}"
        )
        guidance = "no guidance" if self.guidance is None else f"guidance {default}"
        negative = "a" if self.negative_prompt else "no"

        return (
            f"{self.steps} steps, {guidance}, {negative} negative prompt, sides in multiples of "
            f"{self.multiple}, made for {self.side_px} x {self.side_px}, {self.dtype} on CUDA"
        )

    def is_guided(self, scale: float | None) -> bool:
        """Whether guidance of this scale has an effect."""
        if self.guidance is None or self.guidance.off_up_to is None:
            return self.guidance is not None

        return scale is not None and scale > self.guidance.off_up_to

    def uses_negative_prompt(self, scale: float | None) -> bool:
        """Whether a negative prompt has an effect with guidance of this scale."""
        return self.negative_prompt and (self.guidance is None or self.is_guided(scale))

    def used(self, request: ImageRequest) -> ImageRequest:
        """The request without what has no effect, and with the default for guidance that it has
        not."""
        scale = None if self.guidance is None else request.guidance_scale
        if scale is None:
            scale = self.default_guidance

        negative = request.negative_prompt if self.uses_negative_prompt(scale) else ""

        return replace(request, guidance_scale=scale, negative_prompt=negative)

    def with_default_guidance(self, request: ImageRequest) -> ImageRequest:
        """The request without what has no effect, and with the default for guidance."""
        return self.used(replace(request, guidance_scale=None))

    def arguments(self, request: ImageRequest) -> dict[str, Any]:
        """The call's arguments for what the model uses of the request; see `used`."""
        found: dict[str, Any] = {
            "prompt": request.prompt,
            "num_inference_steps": request.steps,
            "width": request.size.width_px,
            "height": request.size.height_px,
            **self.further(request.steps),
        }
        if self.guidance is not None and request.guidance_scale is not None:
            found[self.guidance.argument] = request.guidance_scale

        if self.uses_negative_prompt(request.guidance_scale):
            negative = request.negative_prompt or self.no_negative_prompt
            if negative is not None:
                found["negative_prompt"] = negative

        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """Models of a family that take something else.

    setting: a file of the model and a key in it, whose value is true. word: what such a model has
    in its name, where none of its files tells it apart.
    """

    takes: Traits
    setting: tuple[str, str] | None = None
    word: str = ""

    def is_named(self, name: str) -> bool:
        return bool(self.word) and self.word in name.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A pipeline's class, what its models take, and the variants that take something else."""

    pipeline: str
    takes: Traits
    variants: tuple[Variant, ...] = ()


UNKNOWN: Final = Traits(
    steps=50, guidance=Guidance(default=None, off_up_to=None), negative_prompt=True, multiple=8
)
"""For a model whose files cannot be read yet: whatever is asked for may have an effect."""

_CALLED_TURBO = "turbo"

_SD: Final = Traits(
    family="Stable Diffusion 1.x, 2.x",
    steps=50,
    guidance=Guidance(default=7.5),
    negative_prompt=True,
    multiple=8,
    side_px=512,
    dtype="float16",
)
PLACEHOLDER: Final = replace(_SD, family="placeholder")
"""For drawings without a model."""

_XL: Final = replace(
    _SD, family="Stable Diffusion XL", guidance=Guidance(default=5.0), side_px=1024
)
_SD3: Final = Traits(
    family="Stable Diffusion 3.x", steps=28, guidance=Guidance(default=7.0), negative_prompt=True
)
_FLUX: Final = Traits(
    family="FLUX.1 schnell",
    steps=4,
    guidance=None,
    negative_prompt=False,
    chooses_attention=True,
    caches_steps=True,
)
_TOLD: Final = Guidance(default=3.5, off_up_to=None)
_FLUX2: Final = Traits(
    family="FLUX.2 dev",
    steps=50,
    guidance=Guidance(default=4.0, off_up_to=None),
    negative_prompt=False,
    chooses_attention=True,
)
_KLEIN: Final = Traits(
    family="FLUX.2 klein, base",
    steps=50,
    guidance=Guidance(default=4.0),
    negative_prompt=False,
    chooses_attention=True,
    caches_steps=True,
)
_QWEN: Final = Traits(
    family="Qwen-Image",
    steps=50,
    guidance=Guidance(argument="true_cfg_scale", default=4.0),
    negative_prompt=True,
    no_negative_prompt=" ",  # without one, its guidance is off
    side_px=1328,
    chooses_attention=True,
    caches_steps=True,
)
_Z: Final = Traits(
    family="Z-Image",
    steps=50,
    guidance=Guidance(default=5.0, off_up_to=0.0),
    negative_prompt=True,
    chooses_attention=True,
)
_SANA: Final = Traits(
    family="SANA", steps=20, guidance=Guidance(default=4.5), negative_prompt=True, multiple=32
)
_PIXART: Final = Traits(
    family="PixArt-Σ",
    steps=20,
    guidance=Guidance(default=4.5),
    negative_prompt=True,
    multiple=8,
    dtype="float16",
    # By default it rewrites prompts, if two libraries happen to be installed.
    further=lambda steps: {"clean_caption": False},
)
_HIDREAM: Final = Traits(
    family="HiDream-I1",
    steps=50,
    guidance=Guidance(default=5.0),
    negative_prompt=True,
    note="keeps the shape of a size, and always makes about 1024 × 1024 pixels of it; the folder "
    "must have its fourth text encoder, which the models on the hub leave out",
)
_FEW: Final = Guidance(default=0.0)

FAMILIES: Final = (
    Family(
        pipeline="StableDiffusionPipeline",
        takes=_SD,
        variants=(
            Variant(
                setting=("unet/config.json", "time_cond_proj_dim"),
                takes=replace(
                    _SD,
                    family="Stable Diffusion 1.x, 2.x, told its guidance",
                    guidance=Guidance(default=7.5, off_up_to=None),
                    negative_prompt=False,
                ),
            ),
            Variant(
                word=_CALLED_TURBO,
                takes=replace(_SD, family="Stable Diffusion Turbo", steps=4, guidance=_FEW),
            ),
        ),
    ),
    Family(
        pipeline="StableDiffusionXLPipeline",
        takes=_XL,
        variants=(
            Variant(
                setting=("unet/config.json", "time_cond_proj_dim"),
                takes=replace(
                    _XL,
                    family="Stable Diffusion XL, told its guidance",
                    guidance=Guidance(default=8.0, off_up_to=None),
                    negative_prompt=False,
                ),
            ),
            Variant(
                word=_CALLED_TURBO,
                takes=replace(
                    _XL, family="Stable Diffusion XL Turbo", steps=4, guidance=_FEW, side_px=512
                ),
            ),
        ),
    ),
    Family(
        pipeline="LatentConsistencyModelPipeline",
        takes=Traits(
            family="Latent consistency model",
            steps=4,
            guidance=Guidance(default=8.5, off_up_to=None),
            negative_prompt=False,
            multiple=8,
            side_px=768,
            dtype="float16",
        ),
    ),
    Family(
        pipeline="StableDiffusion3Pipeline",
        takes=_SD3,
        variants=(
            Variant(
                word=_CALLED_TURBO,
                takes=replace(_SD3, family="Stable Diffusion 3.x Turbo", steps=4, guidance=_FEW),
            ),
        ),
    ),
    Family(
        pipeline="FluxPipeline",
        takes=_FLUX,
        variants=(
            Variant(
                setting=("transformer/config.json", "guidance_embeds"),
                takes=replace(_FLUX, family="FLUX.1 dev", steps=28, guidance=_TOLD),
            ),
        ),
    ),
    Family(pipeline="Flux2Pipeline", takes=_FLUX2),
    Family(
        pipeline="Flux2KleinPipeline",
        takes=_KLEIN,
        variants=(
            Variant(
                setting=(INDEX, "is_distilled"),
                takes=replace(_KLEIN, family="FLUX.2 klein", steps=4, guidance=None),
            ),
        ),
    ),
    Family(pipeline="QwenImagePipeline", takes=_QWEN),
    Family(
        pipeline="ZImagePipeline",
        takes=_Z,
        variants=(
            Variant(
                word=_CALLED_TURBO,
                takes=replace(
                    _Z,
                    family="Z-Image Turbo",
                    steps=9,
                    guidance=Guidance(default=0.0, off_up_to=0.0),
                ),
            ),
        ),
    ),
    Family(pipeline="SanaPipeline", takes=_SANA),
    Family(
        pipeline="SanaSprintPipeline",
        takes=replace(
            _SANA,
            family="SANA-Sprint",
            steps=2,
            guidance=Guidance(default=4.5, off_up_to=None),
            negative_prompt=False,
            further=lambda steps: {"intermediate_timesteps": 1.3 if steps == 2 else None},
        ),
    ),
    Family(pipeline="PixArtSigmaPipeline", takes=_PIXART),
    Family(
        pipeline="Lumina2Pipeline",
        takes=Traits(
            family="Lumina Image 2.0",
            steps=30,
            guidance=Guidance(default=4.0),
            negative_prompt=True,
        ),
    ),
    Family(
        pipeline="HiDreamImagePipeline",
        takes=_HIDREAM,
        variants=(
            Variant(
                word="dev",
                takes=replace(_HIDREAM, family="HiDream-I1 Dev", steps=28, guidance=_FEW),
            ),
            Variant(
                word="fast",
                takes=replace(_HIDREAM, family="HiDream-I1 Fast", steps=16, guidance=_FEW),
            ),
        ),
    ),
)
_BY_PIPELINE: Final = {family.pipeline: family for family in FAMILIES}


def known_traits(name: str, read: ReadSettings) -> Traits | None:
    """What the model takes; None if the table does not know its pipeline.

    name: the last part of its name on the hub, or its folder's. Raises what `read` raises.
    """
    index = read(INDEX)
    family = _BY_PIPELINE.get(str(index.get("_class_name")))
    if family is None:
        return None

    for variant in family.variants:
        if variant.is_named(name):
            return variant.takes

        if variant.setting is not None:
            file, key = variant.setting
            if (index if file == INDEX else read(file)).get(key):
                return variant.takes

    return family.takes
