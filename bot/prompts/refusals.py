"""Why the door lets a request not in. Nothing was started; asking differently helps.

::

    Refused
    ├── EmptyPrompt     nothing is left of the prompt
    ├── PromptTooLong   the prompt or the negative prompt
    ├── BlockedPrompt   the prompt has a word of the operator's list
    ├── OutOfRange      a number is outside its limits
    └── NotOffered      a size or a model that this server does not have

What members read is written in `bot.chat.texts`.
"""

from collections.abc import Sequence

from generation.request import ImageRequest


class Refused(Exception):
    """Base of what the door raises."""


class EmptyPrompt(Refused):
    def __init__(self) -> None:
        super().__init__("the prompt is empty")


class PromptTooLong(Refused):
    """`prompt` is its name: "prompt" or "negative prompt"."""

    def __init__(self, prompt: str, *, chars: int, most: int) -> None:
        super().__init__(f"the {prompt} is {chars} characters long; {most} is the most")
        self.prompt = prompt
        self.chars = chars
        self.most = most


class BlockedPrompt(Refused):
    """`word` is as the list has it; `request` is what was asked for."""

    def __init__(self, word: str, request: ImageRequest) -> None:
        super().__init__("the prompt has a blocked word")
        self.word = word
        self.request = request


class OutOfRange(Refused):
    def __init__(self, option: str, value: float, *, lowest: float, highest: float) -> None:
        super().__init__(f"the {option} is {value}; {lowest} to {highest} is allowed")
        self.option = option
        self.value = value
        self.lowest = lowest
        self.highest = highest


class NotOffered(Refused):
    def __init__(self, option: str, value: str, *, offered: Sequence[str]) -> None:
        super().__init__(f"the {option} {value!r} is not offered; {', '.join(offered)} are")
        self.option = option
        self.value = value
        self.offered = offered
