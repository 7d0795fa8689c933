"""A request for images, and what comes back. Pure."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Self

MAX_SEED = 2**32 - 1
"""Seeds run from 0 to here: what every random generator in use accepts."""

PROMPT_READ, NEGATIVE_PROMPT_READ = "prompt_read", "negative_prompt_read"
"""Keys of `Provenance.versions`: how many characters the model read of a prompt that it cut."""

ENGINE, PIPELINE = "engine", "pipeline"
"""A key of `Provenance.versions`, and its value for a model's own pipeline: that varies nothing."""

_SIZE = re.compile(r"([0-9]{1,5})x([0-9]{1,5})")

# CLIP's tokenizer lower-cases, then reads these as the end of the prompt wherever they stand.
_TOKENIZER_COMMANDS = re.compile(r"<\|(?:start|end)oftext\|>", re.IGNORECASE)

# Directional overrides can make a prompt quoted on the operator's screen read backwards.
_OVERRIDES = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True, slots=True)
class Size:
    """Width and height of an image in pixels, written `512x768`."""

    width_px: int
    height_px: int

    def __str__(self) -> str:
        return f"{self.width_px}x{self.height_px}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The size that is written so. Raises ValueError with a sentence."""
        match = _SIZE.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not a size like 512x768")

        return cls(int(match[1]), int(match[2]))

    @property
    def pixels(self) -> int:
        return self.width_px * self.height_px


@dataclass(frozen=True, slots=True, kw_only=True)
class Variation:
    """That a request varies an image that is there (SDEdit: Meng et al., 2021).

    parent_id: the image's id.
    strength: how much noise is put on it, which is removed again: from nearly 0, which leaves it as
        it is, to 1, which leaves nothing of it.
    """

    parent_id: str
    strength: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRequest:
    """One image per seed; everything else is the same for all of them.

    The prompts are always clean: creating a request cleans them (see `clean_prompt`).
    guidance_scale: None where the model has no guidance, or its own default serves.
    model: a name, as members choose it. variation: None for images that begin with noise alone.
    """

    prompt: str
    negative_prompt: str = ""
    seeds: tuple[int, ...]
    steps: int = 50
    guidance_scale: float | None = 7.5
    size: Size = Size(512, 512)
    model: str
    variation: Variation | None = None

    def __post_init__(self) -> None:
        for field_name in ("prompt", "negative_prompt"):
            clean = clean_prompt(getattr(self, field_name))
            object.__setattr__(self, field_name, clean)

    @property
    def is_guided(self) -> bool:
        """Whether guidance has an effect: at 1 and below it has none."""
        return self.guidance_scale is not None and self.guidance_scale > 1

    @property
    def steps_made(self) -> int:
        """How many of the steps are made: all, or the last ones, those that a variation's strength
        leaves."""
        if self.variation is None:
            return self.steps

        return min(self.steps, max(1, int(self.steps * self.variation.strength)))

    def to_json(self) -> dict[str, Any]:
        """The request as one flat object of JSON; `from_json` reads it."""
        flat = asdict(self)
        size, variation = flat.pop("size"), flat.pop("variation")

        return {**flat, **size, "seeds": list(self.seeds), **(variation or {})}

    @classmethod
    def from_json(cls, flat: Mapping[str, Any]) -> Self:
        """The request that `to_json` wrote. Raises KeyError or TypeError for a different object."""
        rest = dict(flat)
        size = Size(rest.pop("width_px"), rest.pop("height_px"))
        variation = None
        if "parent_id" in rest:
            variation = Variation(parent_id=rest.pop("parent_id"), strength=rest.pop("strength"))

        return cls(**{**rest, "size": size, "seeds": tuple(rest["seeds"]), "variation": variation})


class Withheld(StrEnum):
    """Who kept an image back."""

    CLASSIFIER = "classifier"
    """The operator's image classifier found it too unsafe."""
    CHECKER = "checker"
    """The model's own safety checker replaced it with a black one."""
    DOUBTFUL = "doubtful"
    """The operator's image classifier found it doubtful, and the channel has no age restriction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedImage:
    """A finished image, as it will be posted, byte for byte.

    One that is withheld leaves the worker without its bytes: `png` is empty, and `sha256` is of
    what they were. `unsafe_score` is the image classifier's, 0 to 1; None where none looked.
    doubtful: whether that is high, and not high enough to withhold the image.
    """

    png: bytes = field(repr=False)
    seed: int
    sha256: str
    unsafe_score: float | None = None
    withheld: Withheld | None = None
    doubtful: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """What made an image; with its ImageRequest, all that is needed to make it again."""

    backend: str
    model: str
    revision: str
    scheduler: str
    device: str
    dtype: str
    versions: Mapping[str, str]

    def to_json(self) -> dict[str, str]:
        """One flat object of JSON."""
        own = asdict(self)
        versions = own.pop("versions")

        return {**own, **versions}


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What a backend made of one request, and with what: the images in the order of the seeds.

    request: as it was made, without what has no effect with this model.
    """

    request: ImageRequest
    images: tuple[GeneratedImage, ...]
    provenance: Provenance


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """request: as it was made, see Made."""

    request: ImageRequest
    images: tuple[GeneratedImage, ...]
    provenance: Provenance
    seconds: float
    """From the start of the run that succeeded until its images arrived."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """One small image of how far a request's images are, after that step. Never kept."""

    step: int
    steps: int
    jpeg: bytes = field(repr=False)


def can_vary(made_by: Mapping[str, str]) -> bool:
    """Whether what made an image can vary it. made_by: its provenance, as `to_json` wrote it."""
    return made_by.get(ENGINE) != PIPELINE


def clean_prompt(text: str) -> str:
    """The prompt as it is recorded and given to the model; cleaning twice changes nothing.

    Runs of white space and control characters become one space, the ends are trimmed, the text
    is NFC, and the tokenizer's commands (`<|endoftext|>`) are gone. Everything else, emoji and
    markdown included, stays as the person wrote it.
    """
    return _one_line(_TOKENIZER_COMMANDS.sub(" ", text))


def _one_line(text: str) -> str:
    spaced = "".join(" " if _is_control(char) else char for char in text)

    return unicodedata.normalize("NFC", " ".join(spaced.split()))


def _is_control(char: str) -> bool:
    # Cs: a lone surrogate cannot be written as UTF-8, so it could be neither stored nor sent.
    return unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} or char in _OVERRIDES
