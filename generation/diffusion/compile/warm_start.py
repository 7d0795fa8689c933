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
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

import torch

from generation.diffusion.compile import compiler
from generation.diffusion.compile.ownership import require_own
from generation.diffusion.compile.part import Part, bytes_of, file_name
from generation.diffusion.compile.regions import Place, Region
from generation.diffusion.compile.variants import (
    COMPILED,
    UNCOMPILED,
    FixedShape,
    Unusable,
    fastest,
    usable,
    variants_of,
)
from generation.diffusion.memory import free_bytes

log = logging.getLogger(__name__)

_TIMEOUT_S = 3600.0
"""A compiler that takes longer is killed."""

_WORKING_BYTES = 6 * 2**30
"""Kept free while compiling, beside a second copy of the weights: for making four images, and for
the kernels that the compiler tries. An estimate."""

Report: TypeAlias = Callable[[str], None]
"""Told, as a phrase, how requests are served."""

_TRYING = f"{UNCOMPILED}, trying the compiled version"


class WarmStart:
    """The way of one model from uncompiled to compiled.

    record: runs the model once and finds what is compiled of it, for requests like that run; all
        others are served uncompiled. May raise Unusable.
    folder: where compiled versions are kept for the next start.
    must_be_faster: a compiled version that is measured to be slower is not used.
    """

    def __init__(
        self,
        record: Callable[[], Sequence[Region]],
        *,
        device: str,
        folder: Path,
        must_be_faster: bool,
    ) -> None:
        self.version = ""
        """Identifies the compiled code; empty while there is none."""
        self._serving = UNCOMPILED
        self._record = record
        self._device = device
        self._folder = folder
        self._must_be_faster = must_be_faster
        self._regions: Sequence[Region] = ()
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
            self._regions = self._record()
            missing = [each.part for each in self._regions if not self._file(each).exists()]
            if missing:
                _require_memory(missing, self._device)
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
        trying = self._folder / f"being-tried-on-{_device_name(self._device)}"
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
        """Compare all variants at all places, time them at one, then replace what is called.

        `report` is called before each call of the model.
        """
        chosen: list[tuple[Place, FixedShape]] = []
        phrases = []
        on_gpu = torch.device(self._device).type == "cuda"
        for region in self._regions:
            report()
            code, call = compiler.load(self._file(region)), region.call
            first, *others = region.places
            variants = variants_of(code, first.module, call, graphed=on_gpu and region.graphed)
            variants = usable(first.call, variants, call, report=report)
            if self._must_be_faster:
                variants[UNCOMPILED] = first.call

            best, seconds = fastest(variants, call, report=report)
            phrases.append(f"{region.part.name} {best} ({1000 * seconds:.1f} ms)")
            if best == UNCOMPILED:
                continue

            chosen.append((first, FixedShape(first.call, variants[best], call)))
            for place in others:
                variants = variants_of(code, place.module, call, graphed=False)
                variants = usable(place.call, variants, call, report=report)
                chosen.append((place, FixedShape(place.call, variants[COMPILED], call)))

        for place, compiled in chosen:
            place.put(compiled)

        self._swapped = [compiled for _, compiled in chosen]
        self.version = _digest(map(self._file, self._regions))
        self._serving = ", ".join(phrases)

    def _file(self, region: Region) -> Path:
        return self._folder / file_name(region.part)

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
