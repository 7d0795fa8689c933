"""What a member typed for a request, to be given back if it is refused. Pure.

It is as it was typed: nothing is cleaned and nothing is checked, so it is for the member alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from generation.request import ImageRequest

PROMPT, NEGATIVE_PROMPT = "prompt", "negative_prompt"
"""The names of these options in `/imagine`, and of these fields in the form of Edit."""

NUMBERS = "numbers"
"""The field of the form that has several numbers, each with its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """options: everything else that was chosen, as a member would write it."""

    prompt: str
    negative_prompt: str = ""
    options: str = ""

    @classmethod
    def of(cls, fields: Mapping[str, object]) -> Self:
        """What was typed or chosen, by the names of the options or fields."""
        texts = {name: _sendable(str(value)) for name, value in fields.items()}
        prompt, negative_prompt = texts.pop(PROMPT, ""), texts.pop(NEGATIVE_PROMPT, "")
        options = [texts.pop(NUMBERS, ""), *(f"{name} {text}" for name, text in texts.items())]

        return cls(
            prompt=prompt,
            negative_prompt=negative_prompt,
            options=", ".join(filter(None, options)),
        )

    @classmethod
    def of_request(cls, request: ImageRequest) -> Self:
        """The prompts of a request that was typed earlier."""
        return cls(prompt=request.prompt, negative_prompt=request.negative_prompt)

    def __bool__(self) -> bool:
        """Whether there is anything to give back."""
        return bool(f"{self.prompt}{self.negative_prompt}{self.options}".strip())

    def __str__(self) -> str:
        """All of it, as a file."""
        return "\n\n".join(filter(None, (self.prompt, self.negative_prompt, self.options)))


def _sendable(text: str) -> str:
    """Without lone surrogates, which cannot be written as UTF-8."""
    return text.encode(errors="replace").decode()
