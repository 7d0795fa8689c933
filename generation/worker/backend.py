"""The interface between a worker and the backend that makes its images."""

import atexit
import gc
import pkgutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, cast

from generation.request import ImageRequest, Made, Provenance
from generation.worker.specs import BackendSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The result of one check of `doctor`: what was found, or what to do about it."""

    subject: str
    ok: bool
    detail: str


class Watcher(Protocol):
    """Follows a request while its images are made. Called on the backend's thread."""

    @property
    def cancelled(self) -> bool:
        """Whether the request was cancelled; backends check it between two steps."""
        ...

    def step_done(self, step: int, steps: int) -> None:
        """`step` of `steps` are done."""
        ...

    @property
    def wants_preview(self) -> bool:
        """Whether to draw a preview after the step just done.

        Backends wait for the device before they call `preview`, which measures the drawing time.
        """
        ...

    def preview(self, draw: Callable[[], bytes]) -> None:
        """Show the small JPEG that `draw` returns. If `draw` raises, the request continues.

        The time that `draw` takes is measured, and `wants_preview` limits the sum.
        """
        ...


class Backend(Protocol):
    """Makes the images of requests, one request at a time, on the calling thread.

    One process may load several backends, if they fit into memory together.
    """

    def check(self) -> Sequence[Finding]:
        """Check what `load` needs, without loading."""
        ...

    def fits(self) -> bool:
        """Whether the device probably has enough free memory to load the model and to work.

        May download the model to know its size. Raises BackendUnavailable if it is not available.
        """
        ...

    def load(self) -> Provenance:
        """Load the model. Raises BackendUnavailable or OutOfMemory, for the operator to read."""
        ...

    def unload(self) -> None:
        """Free the memory that `load` took. `load` may be called again."""
        ...

    def generate(
        self, request: ImageRequest, watcher: Watcher, *, parent: bytes | None = None
    ) -> Made:
        """Make one image per seed, in order. The same seed gives the same bytes again.

        parent: the PNG file that the request varies, if it does.

        Reports each step to the watcher, and checks between two steps whether the request was
        cancelled. Raises Cancelled, OutOfMemory, CannotVary, or any other error for a request that
        it cannot serve. After an error it is ready for the next request.
        """
        ...

    def between_requests(self, report: Callable[[str], None]) -> str:
        """Do what must not be done during a request; called repeatedly while there is none.

        Returns how requests are served from now on, as a phrase for the operator; empty if there
        is nothing to report. What takes long calls `report` again and again with such a phrase,
        because a request may be waiting by now, and a worker that is silent then is replaced.
        """
        ...


def open_backend(spec: BackendSpec, *, device: str) -> Backend:
    """The spec's backend, not loaded. Imports its module, and with it the model library."""
    with _no_garbage_collection():
        backend_class = cast("Callable[..., Backend]", pkgutil.resolve_name(spec.backend))

    return backend_class(spec, device=device)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Search what the block makes for garbage neither now nor later.

    Model libraries make more than a million objects when they are imported, and these stay. To
    search them again and again takes a fifth of the import's time (docs/measurements.md). At the
    end of the process they are searched: libraries print a warning about objects that are left.
    """
    atexit.register(gc.unfreeze)
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
