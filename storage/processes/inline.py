"""The calls of a child process, answered in this process: for objects in memory, and for tests."""

import math
from collections.abc import Callable
from typing import Concatenate, Generic, ParamSpec, TypeVar

from storage.processes.child import ChildProcess

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
P = ParamSpec("P")
R = TypeVar("R")


class InlineProcess(Generic[T_co]):
    """Answers as a ChildProcess would. `close` is called at the end."""

    def __init__(self, target: T_co, *, close: Callable[[], None]) -> None:
        self.timeout_s = math.inf  # calls return by themselves
        self._target = target
        self._close = close

    @property
    def pid(self) -> int | None:
        return None

    def is_alive(self) -> bool:
        return True

    def wait_until_open(self) -> None:
        """The object is open already."""

    def call(
        self, method: Callable[Concatenate[T_co, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Call a method of the object."""
        answer: R = getattr(self._target, method.__name__)(*args, **kwargs)

        return answer

    def close(self) -> None:
        self._close()

    def kill(self) -> None:
        """Nothing to end: calls return by themselves."""


AnyProcess = ChildProcess[T] | InlineProcess[T]
