"""What can go wrong while making images.

GenerationError
├── InvalidRequest        one field is outside its limits; asking differently helps
├── QueueFull             too many people wait; asking later helps
├── TooManyYours          this person has enough waiting; their own requests must finish first
├── Closing               the bot is stopping; nothing more is started
├── BackendUnavailable    no worker can load the model; an operator must look
├── Cancelled             somebody asked for it
├── DeadlineExceeded      it ran longer than it may
└── RequestFailed         the backend refused or broke on this one request
    ├── NotChecked        the image classifier failed, so nobody is shown what was made
    ├── OutOfMemory       it does not fit on the device; a smaller one may
    └── WorkerFailed      the worker died or went silent, twice

The sentences here are for operators. What people read is written in `bot`.
"""


class GenerationError(Exception):
    """Base for everything that generation raises on purpose."""


class InvalidRequest(GenerationError):
    """One field of a request is outside its limits.

    `allowed` says what would be accepted, as a phrase: "1 to 150".
    """

    def __init__(self, *, field: str, value: object, allowed: str) -> None:
        super().__init__(f"{field} is {value!r}; allowed is {allowed}.")
        self.field = field
        self.value = value
        self.allowed = allowed


class QueueFull(GenerationError):
    def __init__(self, *, waiting: int, limit: int) -> None:
        super().__init__(f"{waiting} requests are waiting and the limit is {limit}.")
        self.waiting = waiting
        self.limit = limit


class TooManyYours(GenerationError):
    def __init__(self, *, waiting: int, running: int, limit: int) -> None:
        super().__init__(
            f"This person has {waiting} requests waiting (limit {limit}) and {running} running."
        )
        self.waiting = waiting
        self.running = running
        self.limit = limit


class Closing(GenerationError):
    def __init__(self) -> None:
        super().__init__("The executor is closing and starts nothing more.")


class BackendUnavailable(GenerationError):
    """No worker can serve, for the reason given; loading is tried again from time to time."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Cancelled(GenerationError):
    def __init__(self) -> None:
        super().__init__("The request was cancelled.")


class DeadlineExceeded(GenerationError):
    def __init__(self, *, seconds: float) -> None:
        super().__init__(f"The request ran longer than the {seconds:g} s that it may.")
        self.seconds = seconds


class RequestFailed(GenerationError):
    """The backend could not serve this request; `cause` is for the operator, not for people."""

    def __init__(self, cause: str) -> None:
        super().__init__(f"The request failed: {cause}")
        self.cause = cause


class NotChecked(RequestFailed):
    pass


class OutOfMemory(RequestFailed):
    pass


class WorkerFailed(RequestFailed):
    pass


def root_cause(exc: BaseException) -> str:
    """The first line of the message of the error at the start of the `from` chain."""
    while exc.__cause__ is not None:
        exc = exc.__cause__

    text = str(exc).strip()

    return text.splitlines()[0] if text else type(exc).__name__
