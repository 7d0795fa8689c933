"""Serves a model uncompiled while a compiled version is made, and then swaps that in.

In order: `begin` runs the model once, which warms the device up and records the calls to compile; a
compiler process writes the files, unless an earlier start did; `poll`, called between two requests,
swaps. If anything fails, the model keeps serving uncompiled, the reason is in the status, and
nothing is retried in this process.
"""

import hashlib
import logging
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import torch
from diffusers import DiffusionPipeline

from generation.diffusion.compile import compiler
from generation.diffusion.compile.ownership import require_own
from generation.diffusion.compile.part import Part, bytes_of, file_name, part_of
from generation.diffusion.compile.variants import (
    UNCOMPILED,
    FixedShape,
    RecordedCall,
    Unusable,
    fastest,
    load_variants,
    record_calls,
    usable,
)
from generation.diffusion.denoising import Denoiser
from generation.diffusion.memory import free_bytes
from generation.request import ImageRequest, Size

log = logging.getLogger(__name__)

COMPILED = "oxherd compiled"
"""`versions["engine"]` of images that the compiled version made."""

_TIMEOUT_S = 3600.0
"""A compiler that takes longer is killed."""

_IMAGES = 4
"""How many images `/imagine` makes."""

_WORKING_BYTES = 6 * 2**30
"""Kept free while compiling, beside a second copy of the weights: for making four images, and for
the kernels that the compiler tries. An estimate."""

Report: TypeAlias = Callable[[str], None]
"""Told, as a phrase, how requests are served."""

_TRYING = f"{UNCOMPILED}, trying the compiled version"


class WarmStart:
    """The way of one model from uncompiled to compiled.

    engine, pipeline: the engine, and the loaded pipeline whose components it calls.
    size: of the images that the compiled version makes. It serves requests for four images of this
        size with guidance; all others are served uncompiled.
    folder: where compiled versions are kept for the next start.
    must_be_faster: a compiled version that is measured to be slower is not used.
    """

    def __init__(
        self,
        engine: Denoiser,
        pipeline: DiffusionPipeline,
        *,
        size: Size,
        folder: Path,
        must_be_faster: bool,
    ) -> None:
        self.version = ""
        """Identifies the compiled code; empty while there is none."""
        self._serving = UNCOMPILED
        self._engine = engine
        self._modules: Mapping[str, torch.nn.Module] = {
            "unet": pipeline.unet,
            "decoder": pipeline.vae,
        }
        self._request = ImageRequest(
            prompt="", seeds=(0,) * _IMAGES, steps=2, size=size, model="warm start"
        )
        self._folder = folder
        self._must_be_faster = must_be_faster
        self._calls: Mapping[str, RecordedCall] = {}
        self._files: Mapping[str, Path] = {}
        self._compiler: subprocess.Popen[bytes] | None = None
        self._started_s = 0.0
        self._swapped: list[FixedShape] = []

    @property
    def compiled_calls(self) -> int:
        """How often compiled code was called so far."""
        return sum(each.calls for each in self._swapped)

    def begin(self) -> None:
        """Swap now if an earlier start compiled, or else start the compiler."""
        try:
            require_own(self._folder)
            self._calls = record_calls(self._engine, self._request)
            parts = [
                part_of(name, self._modules[name], call.args, call.kwargs)
                for name, call in self._calls.items()
            ]
            self._files = {part.name: self._folder / file_name(part) for part in parts}
            missing = [part for part in parts if not self._files[part.name].exists()]
            if missing:
                _require_memory(missing, self._engine.device)
                self._compiler = compiler.start(missing, self._folder)
                self._started_s = time.monotonic()
                self._serving = f"{UNCOMPILED}, compiling"
        except Exception as exc:  # noqa: BLE001 - the model serves uncompiled
            self._give_up(exc)
        else:
            if not missing:
                self._swap(_nobody)

    def poll(self, report: Report) -> str:
        """Swap if the compiler has finished; how requests are served from now on, as a phrase.

        Call it between two requests only. While it swaps it reports a phrase again and again.
        """
        if self._compiler is not None:
            status = self._compiler.poll()
            if status is None and time.monotonic() - self._started_s > _TIMEOUT_S:
                self._compiler.kill()
                status = self._compiler.wait()

            if status is not None:
                self._compiler = None
                self._finish(status, report)

        return self._serving

    def end(self) -> None:
        """Stop the compiler, if it is running."""
        if self._compiler is not None:
            self._compiler.kill()
            self._compiler.wait()

        self._compiler = None

    def _finish(self, status: int, report: Report) -> None:
        if status == 0:
            self._swap(report)
        else:
            log_file = compiler.log_of(self._folder)
            self._give_up(Unusable(f"compilation failed with status {status}, see {log_file}"))

    def _swap(self, report: Report) -> None:
        # Left behind only by a process that died in here, and would die again at every start.
        # Each device has its own worker, which may be trying at this moment.
        trying = self._folder / f"being-tried-on-{_device_name(self._engine.device)}"
        if trying.exists():
            self._give_up(
                Unusable(
                    "a worker died while it tried the compiled version. To try it again, remove "
                    f"the folder {self._folder}"
                )
            )
            return

        try:
            trying.touch()
            with torch.no_grad():
                self._use_fastest(partial(report, _TRYING))
        except Exception as exc:  # noqa: BLE001 - the model serves uncompiled
            self._give_up(exc)
        finally:
            trying.unlink(missing_ok=True)

    def _use_fastest(self, report: Callable[[], None]) -> None:
        """Compare and time all variants, then replace what the engine calls.

        `report` is called before each call of the model.
        """
        uncompiled: dict[str, Callable[..., Any]] = {
            "unet": self._engine.unet,
            "decoder": self._engine.decode,
        }
        chosen: dict[str, FixedShape] = {}
        phrases = []
        on_gpu = torch.device(self._engine.device).type == "cuda"
        for name, call in self._calls.items():
            report()
            # The decoder gets no graph: that would keep its memory, for one call a request.
            variants = load_variants(
                self._files[name],
                self._modules[name],
                call,
                graphed=on_gpu and name == "unet",
            )
            variants = usable(uncompiled[name], variants, call, report=report)
            if self._must_be_faster:
                variants[UNCOMPILED] = uncompiled[name]

            best, seconds = fastest(variants, call, report=report)
            phrases.append(f"{name} {best} ({1000 * seconds:.1f} ms)")
            if best != UNCOMPILED:
                chosen[name] = FixedShape(uncompiled[name], variants[best], call)

        self._engine.unet = chosen.get("unet", uncompiled["unet"])
        self._engine.decode = chosen.get("decoder", uncompiled["decoder"])
        self._swapped = list(chosen.values())
        self.version = _digest(self._files.values())
        self._serving = ", ".join(phrases)

    def _give_up(self, exc: Exception) -> None:
        log.debug("there will be no compiled version", exc_info=exc)
        reason = str(exc).strip() or type(exc).__name__
        if not isinstance(exc, Unusable):
            reason = f"compilation failed: {reason}"

        self._serving = f"{UNCOMPILED}: {reason}"


def _nobody(phrase: str) -> None:
    """While loading nobody waits for reports: the limit there is on all of it."""


def _require_memory(parts: Sequence[Part], device: str) -> None:
    """Raises Unusable where compiling would take memory that requests need."""
    needed = sum(map(bytes_of, parts)) + _WORKING_BYTES
    free = free_bytes(device)
    if free is not None and free < needed:
        raise Unusable(
            f"compiling beside requests takes {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are "
            "free"
        )


def _device_name(device: str) -> str:
    """The device as a part of a file's name. Each worker calls the only GPU that it sees cuda:0."""
    gpu = os.environ.get("CUDA_VISIBLE_DEVICES", "") if device.startswith("cuda") else ""

    return re.sub(r"[^\w-]+", "-", f"{device}-{gpu}").strip("-")


def _digest(files: Iterable[Path]) -> str:
    """A short hash of the files' content, and of the choices made when they were tuned."""
    whole = hashlib.sha256()
    for file in files:
        whole.update(file.read_bytes())
        for choice in compiler.tuned_choices(file):
            whole.update(choice.read_bytes())

    return whole.hexdigest()[:16]
