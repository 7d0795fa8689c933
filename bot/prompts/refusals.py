"""Why the door refuses a request. Nothing was started; a different request may be admitted.

::

    Refused
    ├── EmptyPrompt     nothing of the prompt can be seen once it is clean
    ├── PromptTooLong   the prompt or the negative prompt
    ├── BlockedPrompt   the prompt contains a word on the operator's list
    ├── NotUnderstood   the line of numbers in the form of Edit is not one
    ├── OutOfRange      a number is outside its range
    ├── NotOffered      a size or a model that this server does not offer
    ├── NoEffect        the model has no use for a negative prompt, or for guidance
    └── ParentGone      the image to vary is not here any more

The messages are for operators. Members read the sentences in `bot.chat.texts`.
"""

from collections.abc import Sequence

from generation.request import ImageRequest


class Refused(Exception):
    """Base class of what the door raises."""


class EmptyPrompt(Refused):
    def __init__(self) -> None:
        super().__init__("the prompt is empty")


class PromptTooLong(Refused):
    """`prompt` says which one: "prompt" or "negative prompt"."""

    def __init__(self, prompt: str, *, chars: int, most: int) -> None:
        super().__init__(f"the {prompt} is {chars} characters long; {most} is the most")
        self.prompt = prompt
        self.chars = chars
        self.most = most


class BlockedPrompt(Refused):
    """`word` is spelled as on the list."""

    def __init__(self, word: str, request: ImageRequest) -> None:
        super().__init__("the prompt contains a blocked word")
        self.word = word
        self.request = request


class NotUnderstood(Refused):
    """example: a line that would be understood."""

    def __init__(self, text: str, *, example: str) -> None:
        super().__init__("the line of numbers cannot be read")
        self.text = text
        self.example = example


class OutOfRange(Refused):
    def __init__(self, option: str, value: float, *, lowest: float, highest: float) -> None:
        super().__init__(f"the {option} is {value}; {lowest} to {highest} is allowed")
        self.option = option
        self.value = value
        self.lowest = lowest
        self.highest = highest


class ParentGone(Refused):
    def __init__(self, image_id: str) -> None:
        super().__init__(f"the image {image_id[:64]!r} that is to be varied is not here")


class NoEffect(Refused):
    """`option` says which one: "negative prompt" or "guidance". up_to: it has none with guidance
    up to there; None if it never has."""

    def __init__(self, option: str, *, model: str, up_to: float | None = None) -> None:
        super().__init__(f"the {option} has no effect with the model {model[:100]!r}")
        self.option = option
        self.model = model
        self.up_to = up_to


class NotOffered(Refused):
    def __init__(self, option: str, value: str, *, offered: Sequence[str]) -> None:
        super().__init__(f"the {option} {value[:100]!r} is not offered; {', '.join(offered)} are")
        self.option = option
        self.value = value
        self.offered = offered
