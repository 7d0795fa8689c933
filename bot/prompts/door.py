"""The door: the only place where what a member asks for becomes a request."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace

from bot.prompts.blocked_words import BlockedWords
from bot.prompts.confusables import is_visible
from bot.prompts.refusals import (
    BlockedPrompt,
    EmptyPrompt,
    NotOffered,
    OutOfRange,
    PromptTooLong,
    Refused,
)
from generation.request import MAX_SEED, ImageRequest, Size, Variation

IMAGES_PER_REQUEST = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a request may ask for, as the operator set it.

    models: the names of all offered models, the default first.
    vary_strength: of a variation, unless the member chooses another.
    """

    max_prompt_chars: int
    max_steps: int
    max_guidance: float
    sizes: tuple[Size, ...]
    models: tuple[str, ...]
    vary_strength: float

    def default_model(self, chosen: str | None) -> str:
        """The model of whoever names none. chosen: by moderators; it may not be offered now."""
        return chosen if chosen in self.models else self.models[0]


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
        steps: int,
        guidance_scale: float,
        size: str,
        model: str,
        variation: Variation | None = None,
    ) -> ImageRequest:
        """The request for what a member typed and chose. Raises Refused.

        size: as it is offered, "512x768"; a forged command may have anything there.
        seed: of the first image; new seeds without one.
        """
        # First, so that nothing else reads text of unlimited length.
        for problem in _too_long(prompt, negative_prompt, self.limits):
            raise problem

        if seed is not None and not 0 <= seed <= MAX_SEED:
            raise OutOfRange("seed", seed, lowest=0, highest=MAX_SEED)

        return self.check(
            ImageRequest(
                prompt=prompt,
                negative_prompt=negative_prompt,
                seeds=_new_seeds() if seed is None else _seeds(seed),
                steps=steps,
                guidance_scale=guidance_scale,
                size=self._offered(size),
                model=model,
                variation=variation,
            )
        )

    def admit_again(self, request: ImageRequest) -> ImageRequest:
        """The same request with new seeds. Raises Refused if the limits no longer allow it."""
        return self.check(replace(request, seeds=_new_seeds()))

    def admit_variation(self, request: ImageRequest, *, of: str) -> ImageRequest:
        """Variations of one of the request's images, by its id. Raises Refused."""
        variation = Variation(parent_id=of, strength=self.limits.vary_strength)

        return self.check(replace(request, seeds=_new_seeds(), variation=variation))

    def _offered(self, size: str) -> Size:
        for offered in self.limits.sizes:
            if str(offered) == size:
                return offered

        raise NotOffered("size", size, offered=tuple(map(str, self.limits.sizes)))

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

    if not 1 <= request.steps <= limits.max_steps:
        yield OutOfRange("number of steps", request.steps, lowest=1, highest=limits.max_steps)

    if not 0 <= request.guidance_scale <= limits.max_guidance:  # refuses NaN too
        yield OutOfRange("guidance", request.guidance_scale, lowest=0, highest=limits.max_guidance)

    if request.variation is not None and not 0 < request.variation.strength <= 1:
        yield OutOfRange("strength", request.variation.strength, lowest=0, highest=1)

    if request.size not in limits.sizes:
        yield NotOffered("size", str(request.size), offered=tuple(map(str, limits.sizes)))

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
