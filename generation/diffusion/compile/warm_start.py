"""Serves eagerly while a compiled version is made, and then puts that in its place.

In the order of what happens: `prepare` lays the weights out; `begin` runs the model once, which
warms the device up and shows what is called with what; the compiler works in a process of its own,
unless an earlier start left its files; `look`, called between two requests, swaps. Whatever goes
wrong leaves the model serving eagerly, is told once, and is not tried again in this process.
"""

import hashlib
import logging
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from generation.diffusion.compile import compiler
from generation.diffusion.compile.compiler import Part
from generation.diffusion.compile.cuda_graph import GraphedCall
from generation.diffusion.denoising import Denoiser
from generation.diffusion.memory import free_bytes
from generation.request import ImageRequest, Size

log = logging.getLogger(__name__)

COMPILED = "oxherd compiled"
"""What `versions["engine"]` says of images that the compiled version made."""

PREPARED = "channels_last, fused qkv"
"""What `versions["layout"]` says when the weights were laid out by `prepare`."""

_LONGEST_S = 3600.0
"""A compiler that takes longer is ended."""

_IMAGES = 4
"""How many images `/imagine` asks for."""

_TIMES = 5
"""How often each variant is called when the fastest is chosen."""

_ROOM_BYTES = 6 * 2**30
"""Kept free while something is compiled, beside another copy of the weights: for four images, and
for the kernels that the compiler tries. An estimate."""

# How far compiled may be from eager, against the size of what it computes: rounding, with room.
_TOLERANCES = {torch.float32: 1e-3, torch.float16: 3e-2, torch.bfloat16: 1e-1}


class Unusable(Exception):
    """The compiled version cannot serve; the message says why."""


@dataclass(frozen=True, slots=True)
class Call:
    """The arguments of one call that the engine made."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    def __call__(self, callee: Callable[..., Any]) -> Any:
        return callee(*self.args, **self.kwargs)


class FixedShape:
    """Calls the compiled version for arguments of its shape, and the eager one for all others."""

    def __init__(
        self, eager: Callable[..., Any], compiled: Callable[..., Any], example: Call
    ) -> None:
        self.calls = 0
        """How often the compiled version was called."""
        self._eager = eager
        self._compiled = compiled
        self._layout = compiler.layout_of((example.args, example.kwargs))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if compiler.layout_of((args, kwargs)) != self._layout:
            return self._eager(*args, **kwargs)

        self.calls += 1

        return self._compiled(*args, **kwargs)


def pays(device: str) -> bool:
    """Whether compiling makes enough of a difference on the device to be done unasked."""
    if torch.device(device).type != "cuda":
        return False

    major, _ = torch.cuda.get_device_capability(device)

    return bool(major >= 8)


def prepare(pipeline: Any) -> None:
    """Lay the UNet and the VAE out as GPUs like it. Images change by rounding."""
    for module in (pipeline.unet, pipeline.vae):
        module.to(memory_format=torch.channels_last)
        if hasattr(module, "fuse_qkv_projections"):
            module.fuse_qkv_projections()


class WarmStart:
    """One model's way from eager to compiled.

    engine and pipeline: the engine, and the loaded pipeline whose parts it calls.
    size: what the compiled version is made for. Requests for four images of
        this size with guidance use it, and all others the eager one.
    folder: where compiled versions are kept for the next start.
    must_be_faster: what is measured to be slower than eager is not used.
    """

    def __init__(
        self,
        engine: Denoiser,
        pipeline: Any,
        *,
        size: Size,
        folder: Path,
        must_be_faster: bool,
    ) -> None:
        self.serving = "eager"
        """How requests are served now, as a phrase."""
        self.version = ""
        """Names the compiled code, once there is some."""
        self._engine = engine
        self._modules = {"unet": pipeline.unet, "decoder": pipeline.vae}
        self._request = ImageRequest(prompt="", seeds=(0,) * _IMAGES, steps=2, size=size, model="")
        self._folder = folder
        self._must_be_faster = must_be_faster
        self._calls: Mapping[str, Call] = {}
        self._files: Mapping[str, Path] = {}
        self._compiler: subprocess.Popen[bytes] | None = None
        self._began_s = 0.0
        self._swapped: list[FixedShape] = []

    @property
    def compiled_calls(self) -> int:
        """How often compiled code was called so far."""
        return sum(each.calls for each in self._swapped)

    def begin(self) -> None:
        """Swap at once to what an earlier start compiled, or begin to compile."""
        try:
            self._calls = _calls_of(self._engine, self._request)
            parts = [
                compiler.part_of(name, self._modules[name], call.args, call.kwargs)
                for name, call in self._calls.items()
            ]
            self._files = {part.name: self._folder / compiler.file_name(part) for part in parts}
            missing = [part for part in parts if not self._files[part.name].exists()]
            if missing:
                _require_room(missing, self._engine.device)
                self._compiler = compiler.start(missing, self._folder)
                self._began_s = time.monotonic()
                self.serving = "eager, compiling"
        except Exception as exc:  # noqa: BLE001 - the model serves without it
            self._give_up(exc)
        else:
            if not missing:
                self._swap()

    def look(self) -> None:
        """Swap if the compiler has finished. Call it between two requests only."""
        if self._compiler is None:
            return

        status = self._compiler.poll()
        if status is None and time.monotonic() - self._began_s > _LONGEST_S:
            self._compiler.kill()
            status = self._compiler.wait()

        if status is None:
            return

        self._compiler = None
        if status == 0:
            self._swap()
        else:
            self._give_up(
                Unusable(
                    f"the compiler ended with status {status}; its words are in "
                    f"{compiler.log_of(self._folder)}"
                )
            )

    def end(self) -> None:
        """Stop the compiler, if it is still at work."""
        if self._compiler is not None:
            self._compiler.kill()
            self._compiler.wait()

        self._compiler = None

    def _swap(self) -> None:
        # Left behind only by a process that died in here; it would die again at every start.
        # Each device has a worker of its own, which may be trying at this moment.
        trying = self._folder / f"being-tried-on-{self._engine.device.replace(':', '-')}"
        if trying.exists():
            self._give_up(
                Unusable(
                    "a worker died while it tried the compiled version. To have it tried again, "
                    f"remove the folder {self._folder}"
                )
            )
            return

        try:
            trying.touch()
            with torch.no_grad():
                self._use_what_is_best()
        except Exception as exc:  # noqa: BLE001 - the model serves without it
            self._give_up(exc)
        finally:
            trying.unlink(missing_ok=True)

    def _use_what_is_best(self) -> None:
        """Compare and time all variants, then replace what the engine calls."""
        eager: dict[str, Callable[..., Any]] = {
            "unet": self._engine.unet,
            "decoder": self._engine.decode,
        }
        chosen: dict[str, FixedShape] = {}
        told = []
        for name, call in self._calls.items():
            variants = {"eager": eager[name], **self._compiled(name, call)}
            _require_alike(variants["eager"], variants["compiled"], call)
            seconds = {how: _seconds(variant, call) for how, variant in variants.items()}
            if not self._must_be_faster:
                del seconds["eager"]

            best = min(seconds, key=seconds.__getitem__)
            told.append(f"{name} {best} ({1000 * seconds[best]:.1f} ms)")
            if best != "eager":
                chosen[name] = FixedShape(eager[name], variants[best], call)

        self._engine.unet = chosen.get("unet", eager["unet"])
        self._engine.decode = chosen.get("decoder", eager["decoder"])
        self._swapped = list(chosen.values())
        self.version = _digest(self._files.values())
        self.serving = ", ".join(told)

    def _compiled(self, name: str, call: Call) -> Mapping[str, Callable[..., Any]]:
        """The compiled call in all its variants, of which "compiled" is one."""
        compiled = partial(compiler.load(self._files[name]), self._modules[name])
        if torch.device(self._engine.device).type != "cuda" or name != "unet":
            return {"compiled": compiled}  # a graph keeps its memory, and a request decodes once

        try:
            graphed = GraphedCall(compiled, call.args, call.kwargs)
        except RuntimeError:
            log.warning("the compiled %s cannot be recorded as a CUDA graph", name, exc_info=True)
            return {"compiled": compiled}

        return {"compiled": compiled, "compiled, in a CUDA graph": graphed}

    def _give_up(self, exc: Exception) -> None:
        log.debug("there will be no compiled version", exc_info=exc)
        self.serving = f"eager, for good: {str(exc).strip() or type(exc).__name__}"


def _calls_of(engine: Denoiser, request: ImageRequest) -> Mapping[str, Call]:
    """What a run calls, seen by running a step; that warms the device up, too."""
    calls: dict[str, Call] = {}

    def noted(name: str, callee: Callable[..., Any]) -> Callable[..., Any]:
        def note(*args: Any, **kwargs: Any) -> Any:
            calls[name] = Call(args, kwargs)
            return callee(*args, **kwargs)

        return note

    unet, decode = engine.unet, engine.decode
    engine.unet, engine.decode = noted("unet", unet), noted("decoder", decode)
    try:
        run = engine.begin(request)
        run.step()
        run.finish()
    finally:
        engine.unet, engine.decode = unet, decode

    return calls


def _require_room(parts: Sequence[Part], device: str) -> None:
    """Raises Unusable where the compiler would take memory from the requests."""
    needed = sum(map(compiler.bytes_of, parts)) + _ROOM_BYTES
    free = free_bytes(device)
    if free is not None and free < needed:
        raise Unusable(
            f"compiling beside the requests takes {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB "
            "are free"
        )


def _require_alike(eager: Callable[..., Any], compiled: Callable[..., Any], call: Call) -> None:
    """Raises Unusable unless both compute the same within rounding."""
    one, other = _first(call(eager)), _first(call(compiled))
    difference = float((one - other).float().norm() / one.float().norm())
    if not difference <= _TOLERANCES[one.dtype]:  # not, so that NaN raises
        raise Unusable(f"what it computes is off by {difference:.2g} of the whole")


def _first(output: Any) -> Any:
    return output[0] if isinstance(output, tuple) else output


def _seconds(callee: Callable[..., Any], call: Call) -> float:
    """The fastest of a few calls, on a device that does nothing else."""
    taken = []
    for _ in range(_TIMES):
        _wait_for_the_device()
        began = time.perf_counter()
        call(callee)
        _wait_for_the_device()
        taken.append(time.perf_counter() - began)

    return min(taken)


def _wait_for_the_device() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _digest(files: Iterable[Path]) -> str:
    """A short name for the content of the files."""
    whole = hashlib.sha256()
    for file in files:
        whole.update(file.read_bytes())

    return whole.hexdigest()[:16]
