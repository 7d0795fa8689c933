"""A request's numbers as one line that members read and change: `steps 50, guidance 7.5`. Pure."""

import re
from dataclasses import dataclass, replace
from typing import Self

from bot.prompts.refusals import NotUnderstood
from generation.request import ImageRequest

_PAIR = re.compile(
    r"\s*(?P<name>steps|guidance|strength|seed)\s*[:=]?\s*(?P<number>\d{1,12}(?:[.,]\d{1,12})?)"
    r"\s*(?:[,;·]|$|(?=\s))",
    re.ASCII | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """guidance: None where it has no effect. seed: None for new seeds. strength: None where
    nothing is varied."""

    steps: int
    guidance: float | None
    strength: float | None
    seed: int | None = None

    @classmethod
    def of(cls, request: ImageRequest) -> Self:
        """The request's, but for its seeds."""
        return cls(
            steps=request.steps,
            guidance=request.guidance_scale,
            strength=None if request.variation is None else request.variation.strength,
        )

    def __str__(self) -> str:
        guidance = "" if self.guidance is None else f", guidance {self.guidance:g}"
        strength = "" if self.strength is None else f", strength {self.strength:g}"

        return f"steps {self.steps}{guidance}{strength}"

    def applied_to(self, request: ImageRequest) -> ImageRequest:
        """The request with this number of steps and this guidance."""
        return replace(request, steps=self.steps, guidance_scale=self.guidance)

    def changed(self, text: str) -> Self:
        """These, but for what the text says. Raises NotUnderstood."""
        numbers: Self | None = self
        at = 0
        while numbers is not None and at < len(text.rstrip()):
            pair = _PAIR.match(text, at)
            numbers = None if pair is None else numbers._with(pair["name"].lower(), pair["number"])
            at = at if pair is None else pair.end()

        if numbers is None:
            raise NotUnderstood(text, example=str(self))

        return numbers

    def _with(self, name: str, number: str) -> Self | None:
        """These, but for one of them; None if it cannot be that."""
        value = float(number.replace(",", "."))
        match name:
            case "guidance":
                return replace(self, guidance=value)
            case "strength" if self.strength is not None:
                return replace(self, strength=value)
            case "steps" if number.isdecimal():
                return replace(self, steps=int(number))
            case "seed" if number.isdecimal():
                return replace(self, seed=int(number))
            case _:
                return None
