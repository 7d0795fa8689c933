"""Compiles what a model does most, for one shape, in a process of its own and onto the disk.

A process, because torch's compiler is not safe beside other work in its process, holds the
interpreter for minutes, and may die. The worker loads the file in about a second, as every later
start does, without compiling anything.

The compiled call checks nothing: whoever calls it sees to it that the arguments are laid out as
those it was compiled for (`layout_of`), and that the module is the one that the file's name stands
for.
"""

import hashlib
import math
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import diffusers
import torch

from generation.atomic_write import atomic_write
from generation.worker.parent import die_with_parent

# Not `-m`: run as a program, this module would be another one than that of the pickled classes.
PROCESS = "from generation.diffusion.compile.compiler import main; main()"


@dataclass(frozen=True, slots=True)
class TensorLayout:
    """What compiled code takes for granted of a tensor."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A module of a model and one shape of its call: all that the compiler has to know.

    name: a key of CALLS, which says how the module is called.
    module_class: its name in diffusers. config: what it is made from.
    tensors: its parameters and buffers. fused: whether its attention projections are.
    arguments: `layout_of` the positional and the named ones.
    """

    name: str
    module_class: str
    config: Mapping[str, Any]
    tensors: Mapping[str, TensorLayout]
    fused: bool
    arguments: Any


def predict_noise(unet: Any, *args: Any, **kwargs: Any) -> Any:
    """The UNet, as the engine calls it."""
    return unet(*args, **kwargs)


def decode(vae: Any, latents: Any) -> Any:
    """The VAE's decoder, as the engine calls it."""
    return vae.decode(latents, return_dict=False)[0]


CALLS: Mapping[str, Callable[..., Any]] = {"unet": predict_noise, "decoder": decode}


def part_of(name: str, module: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Part:
    """Describe a module on its device, and a call of it."""
    state = [*module.named_parameters(), *module.named_buffers()]

    return Part(
        name=name,
        module_class=type(module).__name__,
        config={key: value for key, value in module.config.items() if not key.startswith("_")},
        tensors={key: layout_of(tensor) for key, tensor in state},
        fused=any("to_qkv" in key for key, _ in state),
        arguments=layout_of((args, dict(kwargs))),
    )


def layout_of(value: Any) -> Any:
    """The value with each tensor's layout in its place; two that are equal fit the same code."""
    if isinstance(value, torch.Tensor):
        return TensorLayout(tuple(value.shape), value.stride(), str(value.dtype), str(value.device))

    if isinstance(value, Mapping):
        return {key: layout_of(each) for key, each in value.items()}

    return tuple(map(layout_of, value)) if isinstance(value, tuple | list) else value


def file_name(part: Part) -> str:
    """A name that changes with everything on which compiled code depends."""
    libraries = [f"{name} {version(name)}" for name in ("torch", "diffusers")]
    facts = repr((part, libraries, _gpu(part), sys.version_info, _tuning(part)))

    return f"{part.name}-{hashlib.sha256(facts.encode()).hexdigest()[:16]}.compiled"


def bytes_of(part: Part) -> int:
    """How much memory the compiler takes for a copy of the weights."""
    return sum(
        math.prod(layout.shape) * getattr(torch, layout.dtype.removeprefix("torch.")).itemsize
        for layout in part.tensors.values()
    )


def load(file: Path) -> Callable[..., Any]:
    """The compiled call; its first argument is the module. Raises whatever torch raises."""
    _use_caches(file.parent)
    with file.open("rb") as content:
        loaded: Callable[..., Any] = torch.compiler.load_compiled_function(content)

    return loaded


def start(parts: Sequence[Part], folder: Path) -> subprocess.Popen[bytes]:
    """Begin to compile, into files of the folder. What the compiler says is in `log_of` it.

    The process takes `bytes_of` each part, and some more to try what it made. The kernel ends it
    with the thread that called this.
    """
    folder.mkdir(parents=True, exist_ok=True)
    order = folder / f"order-{os.getpid()}"
    order.write_bytes(pickle.dumps((tuple(parts), folder)))
    with log_of(folder).open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-c", PROCESS, order],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def log_of(folder: Path) -> Path:
    """Where the compiler's own words are."""
    return folder / "compiling.log"


def compile_to_file(part: Part, folder: Path) -> None:
    """Compile one part; minutes for a large one. The file is there whole or not at all."""
    _use_caches(folder)
    module = _rebuilt(part)
    args, kwargs = _emptied(part.arguments)
    options = _tuning(part) | {"guard_filter_fn": torch.compiler.skip_all_guards_unsafe}
    with torch.no_grad():
        call: Any = torch.compile(CALLS[part.name], fullgraph=True, dynamic=False, options=options)
        compiled = call.aot_compile(((module, *args), kwargs))

    with atomic_write(folder / file_name(part)) as unfinished:
        compiled.save_compiled_function(unfinished)


def _gpu(part: Part) -> str:
    """The kind of GPU that the part is on, or none."""
    device = next(iter(part.tensors.values())).device
    if not device.startswith("cuda"):
        return "none"

    return f"{torch.cuda.get_device_name(device)} {torch.cuda.get_device_capability(device)}"


def _tuning(part: Part) -> dict[str, Any]:
    """On a GPU, try several kernels for each product and keep the fastest."""
    if _gpu(part) != "none":
        options: dict[str, Any] = torch._inductor.list_mode_options("max-autotune-no-cudagraphs")
        return options

    return {}


def _rebuilt(part: Part) -> Any:
    """A module like the part's, with any weights: code does not depend on them."""
    with torch.device("meta"):
        module = getattr(diffusers, part.module_class).from_config(part.config).eval()

    if part.fused:
        module.fuse_qkv_projections()

    for name, layout in part.tensors.items():
        owner_name, _, leaf = name.rpartition(".")
        owner = module.get_submodule(owner_name)
        tensor = _empty(layout)
        if leaf in owner._parameters:
            owner._parameters[leaf] = torch.nn.Parameter(tensor, requires_grad=False)
        else:
            owner._buffers[leaf] = tensor

    return module


def _empty(layout: TensorLayout) -> Any:
    return torch.empty_strided(
        layout.shape,
        layout.strides,
        dtype=getattr(torch, layout.dtype.removeprefix("torch.")),
        device=layout.device,
    )


def _emptied(value: Any) -> Any:
    """From layouts to arguments; the values do not matter."""
    if isinstance(value, TensorLayout):
        return _empty(value).zero_()

    if isinstance(value, Mapping):
        return {key: _emptied(each) for key, each in value.items()}

    return tuple(map(_emptied, value)) if isinstance(value, tuple) else value


def _use_caches(folder: Path) -> None:
    """Have torch keep what it makes on the way in the folder, too."""
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder / "inductor")
    os.environ["TRITON_CACHE_DIR"] = str(folder / "triton")


def main() -> None:
    """The process: compile what the order says, one part after another."""
    die_with_parent()
    os.nice(10)  # whoever waits for a picture comes first
    order = Path(sys.argv[1])
    parts, folder = pickle.loads(order.read_bytes())
    order.unlink()
    for part in parts:
        compile_to_file(part, folder)
