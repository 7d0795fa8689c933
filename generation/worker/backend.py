"""The seam between this program and whatever makes pictures."""

import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, cast

from generation.request import ImageRequest, Made, Provenance
from generation.safety.screen import SafetySpec

BACKENDS: Mapping[str, str] = {
    "diffusers": "generation.diffusion.backend:DiffusersBackend",
    "placeholder": "generation.placeholder:PlaceholderBackend",
}
"""Kind -> where its class lives. Imported only when opened, which only worker processes do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendSpec:
    """Which backend to open in a worker process; plain enough to be sent there.

    kind: a key of BACKENDS, or "module:Class" for a backend that lives elsewhere.
    model: a name on the Hugging Face hub, or a folder.
    revision: a branch, tag or commit of a model on the hub; None is its default branch.
    dtype: "auto", or a torch dtype's name.
    options: what only this kind understands; its class documents them.
    safety: which image classifier looks at what the backend made; None for none.
    """

    kind: str
    model: str = ""
    revision: str | None = None
    dtype: str = "auto"
    options: Mapping[str, str | float] = field(default_factory=dict)
    safety: SafetySpec | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that `doctor` looked at: fine, or what to do about it."""

    subject: str
    ok: bool
    detail: str


class Watcher(Protocol):
    """Whoever follows a request while it is made. Called on the backend's thread."""

    @property
    def cancelled(self) -> bool:
        """Whether nobody wants the request any more; looked at between two steps."""
        ...

    def step_done(self, step: int, steps: int) -> None:
        """So many steps are done, of so many."""
        ...

    @property
    def wants_preview(self) -> bool:
        """Whether it is worth its time, after the step just done, to draw how far the images are.

        Whoever draws waits for the device first, so that `preview` measures nothing else.
        """
        ...

    def preview(self, draw: Callable[[], bytes]) -> None:
        """Show what `draw` returns, a small JPEG, to those who wait. Raises nothing of its own.

        Its time is measured, and `wants_preview` keeps the sum small.
        """
        ...


class Backend(Protocol):
    """Turns requests into images, one at a time, on the thread that it is called from.

    Several may be loaded beside each other in one process, if they fit.
    """

    def __init__(self, spec: BackendSpec, *, device: str) -> None:
        """Only assign; `load` does the work."""
        ...

    def check(self) -> Sequence[Finding]:
        """What `load` would need, looked up without loading."""
        ...

    def fits(self) -> bool:
        """Whether there is probably room to load it, and to work, on the device as it is now.

        May fetch the model to know its size. Raises BackendUnavailable if it cannot be had.
        """
        ...

    def load(self) -> Provenance:
        """Get ready. Raises BackendUnavailable with a sentence for the operator, or OutOfMemory."""
        ...

    def unload(self) -> None:
        """Give back the memory that `load` took; it may be loaded again."""
        ...

    def generate(self, request: ImageRequest, watcher: Watcher) -> Made:
        """One image per seed, in order; the same seed makes the same bytes again.

        Tells the watcher of each step and looks between two whether the request is cancelled.
        Raises Cancelled, OutOfMemory, or anything else for a request that it cannot serve; it
        is then ready for the next one.
        """
        ...

    def between_requests(self) -> str:
        """Do what must not be done beside a request; called now and then while there is none.

        Returns how requests are served from now on, as a phrase for the operator; empty when
        there is nothing to say of it.
        """
        ...


def open_backend(spec: BackendSpec, *, device: str) -> Backend:
    """The backend that the spec names, not loaded. Raises ValueError for an unknown kind."""
    place = BACKENDS.get(spec.kind, spec.kind)
    if ":" not in place:
        raise ValueError(f"unknown backend {spec.kind!r}; known are {', '.join(BACKENDS)}")

    backend_class = cast("type[Backend]", pkgutil.resolve_name(place))

    return backend_class(spec, device=device)
