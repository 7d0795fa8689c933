"""The door: the only place where what a member asks for becomes a request."""

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from bot.prompts.blocked_words import BlockedWords
from bot.prompts.confusables import is_visible
from bot.prompts.refusals import (
    BlockedPrompt,
    EmptyPrompt,
    NoEffect,
    NotOffered,
    OutOfRange,
    PromptTooLong,
    Refused,
)
from generation.families import UNKNOWN, Traits
from generation.request import MAX_SEED, ImageRequest, Size, Variation

IMAGES_PER_REQUEST = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a request may ask for, as the operator set it.

    models: the names of all offered models, the default first. takes: what each of them takes, with
        the defaults that the operator set.
    vary_strength: of a variation, unless the member chooses another.
    """

    max_prompt_chars: int
    max_steps: int
    max_guidance: float
    sizes: tuple[Size, ...]
    models: tuple[str, ...]
    takes: Mapping[str, Traits]
    vary_strength: float

    def default_model(self, chosen: str | None) -> str:
        """The model of whoever names none. chosen: by moderators; it may not be offered now."""
        return chosen if chosen in self.models else self.models[0]

    def taken_by(self, model: str) -> Traits:
        """What the model takes; anything, if it is not offered."""
        return self.takes.get(model, UNKNOWN)

    def sizes_of(self, model: str) -> tuple[Size, ...]:
        """The offered sizes that the model can make, the default first."""
        multiple = self.taken_by(model).multiple

        return tuple(
            size
            for size in self.sizes
            if size.width_px % multiple == 0 and size.height_px % multiple == 0
        )

    def as_asked_of(self, request: ImageRequest, model: str) -> ImageRequest:
        """The same request of another model: what was the default becomes the default there, but
        what was chosen stays, and may be refused."""
        was, takes = self.taken_by(request.model), self.taken_by(model)
        scale = request.guidance_scale
        is_default = scale in (None, was.default_guidance)

        return replace(
            request,
            model=model,
            steps=takes.steps if request.steps == was.steps else request.steps,
            guidance_scale=takes.default_guidance if is_default else scale,
        )


class Door:
    """Admits requests that are within the limits and contain no blocked word.

    No raw text passes: an ImageRequest cleans its prompts when it is created.
    """

    def __init__(self, limits: Limits, blocked: BlockedWords) -> None:
        self.limits = limits
        self._blocked = blocked

    def admit(
        self,
        *,
        prompt: str,
        negative_prompt: str = "",
        seed: int | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        size: str | None = None,
        model: str,
        variation: Variation | None = None,
    ) -> ImageRequest:
        """The request for what a member typed and chose. Raises Refused.

        size: as it is offered, "512x768"; a forged command may have anything there.
        seed: of the first image; new seeds without one. What is None is the model's default.
        """
        # First, so that nothing else reads text of unlimited length.
        for problem in _too_long(prompt, negative_prompt, self.limits):
            raise problem

        if seed is not None and not 0 <= seed <= MAX_SEED:
            raise OutOfRange("seed", seed, lowest=0, highest=MAX_SEED)

        takes = self.limits.taken_by(model)

        return self.check(
            ImageRequest(
                prompt=prompt,
                negative_prompt=negative_prompt,
                seeds=_new_seeds() if seed is None else _seeds(seed),
                steps=takes.steps if steps is None else steps,
                guidance_scale=takes.default_guidance if guidance is None else guidance,
                size=self._offered(size, model),
                model=model,
                variation=variation,
            )
        )

    def admit_again(self, request: ImageRequest) -> ImageRequest:
        """The same request with new seeds. Raises Refused if the limits no longer allow it."""
        return self.check(replace(self._used(request), seeds=_new_seeds()))

    def admit_variation(self, request: ImageRequest, *, of: str) -> ImageRequest:
        """Variations of one of the request's images, by its id. Raises Refused."""
        variation = Variation(parent_id=of, strength=self.limits.vary_strength)

        return self.check(replace(self._used(request), seeds=_new_seeds(), variation=variation))

    def _used(self, request: ImageRequest) -> ImageRequest:
        """Without what has no effect: what was recorded before that was known may have it."""
        return self.limits.taken_by(request.model).used(request)

    def _offered(self, size: str | None, model: str) -> Size:
        sizes = self.limits.sizes_of(model)
        if size is None and sizes:
            return sizes[0]

        for offered in sizes:
            if str(offered) == size:
                return offered

        raise NotOffered("size", str(size or self.limits.sizes[0]), offered=tuple(map(str, sizes)))

    def check(self, request: ImageRequest) -> ImageRequest:
        """The request, if it is within the limits. Raises Refused."""
        for problem in problems(request, self.limits):
            raise problem

        if (word := self._blocked.first_in(request.prompt)) is not None:
            raise BlockedPrompt(word, request)

        return request


def problems(request: ImageRequest, limits: Limits) -> Iterator[Refused]:
    """What in the request is outside the limits."""
    yield from _too_long(request.prompt, request.negative_prompt, limits)
    if not any(map(is_visible, request.prompt)):
        yield EmptyPrompt()

    takes, scale = limits.taken_by(request.model), request.guidance_scale
    most_steps = min(limits.max_steps, takes.most_steps or limits.max_steps)
    if not 1 <= request.steps <= most_steps:
        yield OutOfRange("number of steps", request.steps, lowest=1, highest=most_steps)

    if scale is not None and not 0 <= scale <= limits.max_guidance:  # refuses NaN too
        yield OutOfRange("guidance", scale, lowest=0, highest=limits.max_guidance)

    if scale is not None and takes.guidance is None:
        yield NoEffect("guidance", model=request.model)

    if request.negative_prompt and not takes.uses_negative_prompt(scale):
        off = takes.guidance.off_up_to if takes.negative_prompt and takes.guidance else None
        yield NoEffect("negative prompt", model=request.model, up_to=off)

    if request.variation is not None and not 0 < request.variation.strength <= 1:
        yield OutOfRange("strength", request.variation.strength, lowest=0, highest=1)

    if request.size not in (sizes := limits.sizes_of(request.model)):
        yield NotOffered("size", str(request.size), offered=tuple(map(str, sizes)))

    if request.model not in limits.models:
        yield NotOffered("model", request.model, offered=limits.models)


def _too_long(prompt: str, negative_prompt: str, limits: Limits) -> Iterator[Refused]:
    most = limits.max_prompt_chars
    for name, text in (("prompt", prompt), ("negative prompt", negative_prompt)):
        if len(text) > most:
            yield PromptTooLong(name, chars=len(text), most=most)


def _new_seeds() -> tuple[int, ...]:
    return _seeds(secrets.randbelow(MAX_SEED + 1))


def _seeds(first: int) -> tuple[int, ...]:
    """One seed per image, so that each image can be made again alone."""
    return tuple((first + slot) % (MAX_SEED + 1) for slot in range(IMAGES_PER_REQUEST))
