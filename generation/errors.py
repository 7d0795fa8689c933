"""What can go wrong while images are made.

GenerationError
├── QueueFull             too many requests are waiting; try again later
├── TooManyYours          this person has too many waiting; their own requests must finish first
├── Closing               the bot is stopping; nothing new is started
├── BackendUnavailable    the model cannot be loaded; an operator must look
├── Cancelled             the requester cancelled it
├── DeadlineExceeded      it ran longer than allowed
└── RequestFailed         the backend failed on this request, or two workers were lost over it
    ├── CannotVary        the model makes images from noise alone
    ├── NoNegativePrompt  the model has no use for the request's negative prompt
    ├── NotChecked        the image classifier failed, so the images are not shown
    └── OutOfMemory       it does not fit on the device; a smaller request may

The messages are for operators. Members read the sentences in `bot.chat.texts`.
"""


class GenerationError(Exception):
    """Base for everything that generation raises on purpose."""


class QueueFull(GenerationError):
    def __init__(self, *, waiting: int, limit: int) -> None:
        super().__init__(f"{waiting} requests are waiting; the limit is {limit}.")
        self.waiting = waiting
        self.limit = limit


class TooManyYours(GenerationError):
    """crowded: whether the limit is lower than usual because the queue is half full."""

    def __init__(self, *, waiting: int, running: int, limit: int, crowded: bool = False) -> None:
        super().__init__(
            f"This person has {waiting} requests waiting (limit {limit}) and {running} running."
        )
        self.waiting = waiting
        self.running = running
        self.crowded = crowded
        self.limit = limit


class Closing(GenerationError):
    def __init__(self) -> None:
        super().__init__("The executor is closing; nothing new is started.")


class BackendUnavailable(GenerationError):
    """The model cannot be loaded. For the default model, loading is retried."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Cancelled(GenerationError):
    def __str__(self) -> str:
        return "The request was cancelled."


class DeadlineExceeded(GenerationError):
    def __init__(self, *, seconds: float) -> None:
        super().__init__(f"The request ran longer than {seconds:g} s.")
        self.seconds = seconds


class RequestFailed(GenerationError):
    """The request could not be served. `cause` is for the operator."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)  # alone, so that the error can be pickled
        self.cause = cause

    def __str__(self) -> str:
        return f"The request failed: {self.cause}"


class CannotVary(RequestFailed):
    pass


class NoNegativePrompt(RequestFailed):
    pass


class NotChecked(RequestFailed):
    pass


class OutOfMemory(RequestFailed):
    pass


def root_cause(exc: BaseException) -> str:
    """The first line of the message of the error at the start of the `from` chain."""
    while exc.__cause__ is not None:
        exc = exc.__cause__

    text = str(exc).strip()

    return text.splitlines()[0] if text else type(exc).__name__
