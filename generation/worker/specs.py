"""Which backend a worker process opens, and its options; plain values that are sent to it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal, Self, TypeAlias, get_args

from generation.families import Traits
from generation.few_steps import FEW_STEPS
from generation.request import Size
from generation.safety.screen import SafetySpec

Dtype: TypeAlias = Literal["auto", "float32", "float16", "bfloat16"]
Offload: TypeAlias = Literal["none", "model"]
Preview: TypeAlias = Literal["auto", "always", "never"]
Compile: TypeAlias = Literal["auto", "on", "layout", "off"]
Quantize: TypeAlias = Literal["none", "int8", "float8"]
# By diffusers' names, and only what torch or an installed package has: not those that diffusers
# downloads, because these are code from the hub.
Attention: TypeAlias = Literal[
    "native",
    "_native_cudnn",
    "_native_efficient",
    "_native_flash",
    "_native_math",
    "flash",
    "_flash_3",
    "sage",
    "xformers",
]

WEIGHTS = "pytorch_lora_weights.safetensors"
"""The file that diffusers writes a LoRA to."""

_MOST_WEIGHT = 4

DEFAULT_MODEL = "CompVis/stable-diffusion-v1-4"


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendSpec:
    """A backend's options; each backend has a subclass.

    backend: "module:Class", imported only when it is opened, which only worker processes do.
    safety: which image classifier checks what the backend makes; None for none.
    """

    backend: ClassVar[str]
    safety: SafetySpec | None = None

    def kept_in(self, folder: Path) -> Self:
        """The same for a host that keeps in this folder what it learns of models."""
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceholderSpec(BackendSpec):
    """Drawings without a model.

    seconds_per_step: how long it pretends that a step takes.
    """

    backend = "generation.placeholder:PlaceholderBackend"
    seconds_per_step: float = 0.15
    previews: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraSpec:
    """A LoRA that is added to a model. Raises ValueError for options that cannot be used.

    source: a name on the Hugging Face hub, or a folder. revision: the commit of one on the hub.
    file: its weights, as diffusers loads them. weight: by which they are multiplied.
    few_steps: a key of `FEW_STEPS` for one that makes the model draw in a few steps.
    """

    source: str
    revision: str | None = None
    file: str = WEIGHTS
    weight: float = 1.0
    few_steps: str | None = None

    def __post_init__(self) -> None:
        if not 0 < self.weight <= _MOST_WEIGHT:
            raise ValueError(
                f"weight is {self.weight:g}; above 0 and up to {_MOST_WEIGHT} is allowed"
            )

        if self.few_steps is not None and self.few_steps not in FEW_STEPS:
            raise ValueError(f"few is {self.few_steps!r}; allowed is {', '.join(FEW_STEPS)}")

    def applied(self, takes: Traits) -> Traits:
        """What a model takes with the LoRA."""
        return takes if self.few_steps is None else FEW_STEPS[self.few_steps].applied(takes)

    @property
    def folder(self) -> Path | None:
        """Where its file is; None for one on the hub."""
        return None if self.revision is not None else Path(self.source).expanduser().resolve()


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffusersSpec(BackendSpec):
    """A text-to-image model of diffusers. Raises ValueError for options that cannot be used.

    model: a name on the Hugging Face hub, or a folder. lora: what is added to it; None for nothing.
    revision: a branch, tag or commit of a model on the hub; None is its default branch.
    allow_pickles: whether weights may be pickles, which can run code when they are loaded.
    variant: which of the model's files to load, such as "fp16"; None for those without a variant.
    dtype: of the weights; "auto" is the family's on CUDA (see Traits) and float32 elsewhere.
    offload: "model" keeps only the component at work on the device, for a model that does not fit.
    threads: of the CPU; None for one if the model is small, and else as many as torch chooses.
    preview: whether unfinished images are shown; "auto" does not where the model's own safety
        checker may withhold them in the end. Only with our own denoising loop.
    preview_factors: the folder where what previews need to know of each model is kept; None for
        nowhere.
    model_hashes: the file where hashes of the weights are kept, so that they are read only once;
        None for nowhere.
    compile: "on" serves a compiled version once it is made, "auto" does where that is worthwhile,
        and "layout" only lays the weights out as for compiling. Not with `offload`.
    compiled_folder: where compiled versions are kept; needed for "on" and "auto".
    compiled_size: which size of image they are made for; needed for "on" and "auto".
    attention: the kernels that compute it; "native" lets torch choose. Without effect on families
        whose Traits say so.
    quantize: the number format that the weights of the transformer's or UNet's linear layers are
        rounded to. What has it is not compiled.
    step_cache: the rest of the model is skipped in a step in which the first block's output changed
        by less than this share; None for never.
    """

    backend = "generation.diffusion.backend:DiffusersBackend"
    model: str = DEFAULT_MODEL
    lora: LoraSpec | None = None
    revision: str | None = None
    allow_pickles: bool = False
    variant: str | None = None
    dtype: Dtype = "auto"
    offload: Offload = "none"
    threads: int | None = None
    preview: Preview = "auto"
    preview_factors: Path | None = None
    model_hashes: Path | None = None
    compile: Compile = "off"
    compiled_folder: Path | None = None
    compiled_size: Size | None = None
    attention: Attention = "native"
    step_cache: float | None = None
    quantize: Quantize = "none"

    def kept_in(self, folder: Path) -> Self:
        kept = ("preview_factors", "model_hashes", "compiled_folder")
        paths = {name: path for name in kept if (path := getattr(self, name)) is not None}

        return replace(self, **{name: folder / path.name for name, path in paths.items()})

    def __post_init__(self) -> None:
        for option, choices in _CHOICES.items():
            value = getattr(self, option)
            if value not in choices:
                raise ValueError(f"{option} is {value!r}; allowed is {', '.join(choices)}.")

        if self.step_cache is not None and not 0 < self.step_cache <= 1:
            raise ValueError(f"step_cache is {self.step_cache:g}; above 0 and up to 1 is allowed.")

        needs = (self.compiled_folder, self.compiled_size)
        if self.compile in ("auto", "on") and None in needs:
            raise ValueError(f"compile is {self.compile!r} without a folder and a size.")


_CHOICES: Mapping[str, Sequence[str]] = {
    "dtype": get_args(Dtype),
    "offload": get_args(Offload),
    "preview": get_args(Preview),
    "compile": get_args(Compile),
    "attention": get_args(Attention),
    "quantize": get_args(Quantize),
}
