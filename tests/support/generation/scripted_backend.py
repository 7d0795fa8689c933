"""A backend that does what the prompt says, for tests of everything around a backend.

It runs in real worker processes. Where a test must say "now", it does so by making a file.
"""

import ctypes
import hashlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from generation.errors import BackendUnavailable, Cancelled, OutOfMemory
from generation.request import GeneratedImage, ImageRequest, Made, Provenance
from generation.worker.backend import Finding, Watcher
from generation.worker.specs import BackendSpec
from tests.support.generation.requests import MODEL

ENDLESS = 1_000_000
_LOOK_S = 0.002


_LOADED: dict[Path, list[str]] = {}
"""The models that this process holds, by the folder of the test: workers may run beside tests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptedSpec(BackendSpec):
    """load: "at once", "refuse", "die", "die once", "hang", "after FILE" in `folder`,
        "when FILE" is there, "tell", which writes its environment to a file.
    room: how many models there is memory for. claim: how many it says there is memory for.
    """

    backend = "tests.support.generation.scripted_backend:ScriptedBackend"
    folder: Path
    model: str = "script"
    load: str = "at once"
    room: int = 9
    claim: int = 9


def scripted(
    folder: Path, *, model: str = "script", load: str = "at once", room: int = 9, claim: int = 9
) -> ScriptedSpec:
    return ScriptedSpec(folder=folder, model=model, load=load, room=room, claim=claim)


def one_model(folder: Path, *, load: str = "at once") -> dict[str, BackendSpec]:
    """The one model that an executor offers, for requests that name none."""
    return {MODEL: scripted(folder, load=load)}


class ScriptedBackend:
    """Reads its lines from the prompt's first word:

    step      makes its steps and its images
    until F   makes steps until the file F exists
    hang      takes no step and no notice
    seize     the same, and lets no other thread run
    die       dies of SIGKILL after a step
    die-once  the same, unless it did before
    raise     raises; `memory` raises OutOfMemory, and `crowded` does beside other models
    spoil     takes its time for its steps, and raises when it is to draw a preview
    """

    def __init__(self, spec: ScriptedSpec, *, device: str) -> None:
        self._folder = spec.folder
        self._loaded = _LOADED.setdefault(spec.folder, [])
        self._load = spec.load
        self._device = device
        self._model = spec.model
        self._room, self._claim = spec.room, spec.claim

    def check(self) -> Sequence[Finding]:
        if self._load == "refuse":
            raise RuntimeError("looked and fell over")

        if self._load == "hang":
            threading.Event().wait()

        if self._load == "die":
            os.kill(os.getpid(), signal.SIGKILL)

        return [Finding(subject="model", ok=True, detail="scripted")]

    def fits(self) -> bool:
        return len(self._loaded) < self._claim

    def unload(self) -> None:
        if self._model in self._loaded:
            self._loaded.remove(self._model)
            self._note(f"-{self._model}")

    def load(self) -> Provenance:
        self._note(f"+{self._model}")
        if len(self._loaded) >= self._room:
            raise OutOfMemory("by the script")

        match self._load.split():
            case ["refuse"]:
                raise BackendUnavailable("The script says that there is no model.")
            case ["raise"]:
                raise ZeroDivisionError("by the script")
            case ["die"]:
                os.kill(os.getpid(), signal.SIGKILL)
            case ["die", "once"] if not (died_before := self._folder / "died").exists():
                died_before.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            case ["hang"]:
                threading.Event().wait()
            case ["after", name]:
                if not (self._folder / name).exists():
                    raise BackendUnavailable(f"The file {name} is not there.")
            case ["tell"]:
                (self._folder / "environment").write_text(json.dumps(dict(os.environ)))
            case ["when", name]:
                while not (self._folder / name).exists():
                    time.sleep(_LOOK_S)

        self._loaded.append(self._model)

        return self._provenance()

    def _provenance(self) -> Provenance:
        return Provenance(
            backend="scripted",
            model=self._model,
            revision="1",
            scheduler="none",
            device=self._device,
            dtype="uint8",
            versions={"script": "1"},
        )

    def between_requests(self, report: Callable[[str], None]) -> str:
        """Works, if there is a file `busy`, for as many seconds as it says, and reports it."""
        busy = self._folder / "busy"
        if busy.exists():
            ends_at_s = time.monotonic() + float(busy.read_text())
            while time.monotonic() < ends_at_s:
                report("busy")
                time.sleep(_LOOK_S)

            busy.unlink()

        return ""

    def generate(
        self, request: ImageRequest, watcher: Watcher, *, parent: bytes | None = None
    ) -> Made:
        with (self._folder / "log").open("a", encoding="utf-8") as log:
            log.write(f"{request.prompt}\n")

        line, *words = request.prompt.split()
        steps = ENDLESS if line == "until" else request.steps_made
        for step in range(1, steps + 1):
            if watcher.cancelled:
                raise Cancelled

            if line == "until":
                time.sleep(_LOOK_S)  # a model's step takes its time too
                if (self._folder / words[0]).exists():
                    break

            if line == "hang":
                threading.Event().wait()

            if line == "seize":
                watcher.step_done(step, steps)
                ctypes.PyDLL(None).sleep(3600)  # a PyDLL's functions keep the GIL

            if line == "spoil":
                time.sleep(request.guidance_scale or 0)

            watcher.step_done(step, steps)
            self._perhaps_fail(line)
            if watcher.wants_preview:
                (self._folder / "drawn").touch()
                watcher.preview(self._spoil)

        images = tuple(_image(seed, parent) for seed in request.seeds)

        return Made(request=request, images=images, provenance=self._provenance())

    def _spoil(self) -> bytes:
        raise ZeroDivisionError("by the script")

    def _note(self, line: str) -> None:
        with (self._folder / "models").open("a", encoding="utf-8") as notes:
            notes.write(f"{line}\n")

    def _perhaps_fail(self, line: str) -> None:
        died_before = self._folder / "died"
        match line:
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
            case "die-once" if not died_before.exists():
                died_before.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            case "raise":
                raise ZeroDivisionError("by the script")
            case "memory":
                raise OutOfMemory("by the script")
            case "crowded" if len(self._loaded) > 1:
                raise OutOfMemory("by the script")


def _image(seed: int, parent: bytes | None) -> GeneratedImage:
    """The seed, and how long the file is that is varied."""
    png = str(seed if parent is None else (seed, len(parent))).encode()

    return GeneratedImage(png=png, seed=seed, sha256=hashlib.sha256(png).hexdigest())
