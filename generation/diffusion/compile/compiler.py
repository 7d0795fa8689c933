"""Compiles parts of a model to files, in a process of its own.

A process, because torch's compiler is not safe beside other work in its process, holds the
interpreter for minutes, and may crash. The worker, and each later start, loads such a file in about
a second.

Compiled code checks nothing. Its caller must pass arguments with the layout that it was compiled
for (`layout_of`), and the module that the file's name stands for.
"""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import ModelMixin

from generation.atomic_write import atomic_write
from generation.diffusion.compile.part import (
    Part,
    TensorLayout,
    call_of,
    dtype_of,
    file_name,
    tuning,
)
from generation.worker.parent import die_with_parent

# Not `-m`: that would load this module a second time, under the name __main__.
PROCESS = "from generation.diffusion.compile.compiler import main; main()"


def can_compile() -> bool:
    """Whether this torch can compile ahead of time, and load what it compiled."""
    needed = ("load_compiled_function", "skip_all_guards_unsafe")

    return all(hasattr(torch.compiler, name) for name in needed)


def load(file: Path) -> Callable[..., Any]:
    """The compiled call; its first argument is the module. Raises whatever torch raises."""
    _use_caches(file)
    with file.open("rb") as content:
        loaded: Callable[..., Any] = torch.compiler.load_compiled_function(content)

    return loaded


def start(parts: Sequence[Part], folder: Path) -> subprocess.Popen[bytes]:
    """Start compiling the parts into files of the folder; the output goes to `log_of` it.

    The process takes `bytes_of` each part, and more to try out its kernels. The kernel kills it
    when the thread that called this ends.
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
    """The compiler's log."""
    return folder / "compiling.log"


def tuned_choices(file: Path) -> list[Path]:
    """What the first calls of the compiled file's kernels chose, one file for each; ordered."""
    return sorted(_caches_of(file).rglob("*.best_config"))


def compile_to_file(part: Part, folder: Path) -> None:
    """Compile one part, which takes minutes for a large one; writes the file atomically.

    The compiled code is called first. The first call of a kernel tunes it, also for minutes, and
    keeps what it chose; the second shows that the code can be called again.
    """
    file = folder / file_name(part)
    _use_caches(file)
    torch._dynamo.config.enable_aot_compile = True  # off by default from torch 2.9 to 2.14
    module = _rebuilt(part)
    args, kwargs = _emptied(part.arguments)
    options = tuning(part) | {"guard_filter_fn": torch.compiler.skip_all_guards_unsafe}
    with torch.no_grad():
        call: Any = torch.compile(
            call_of(part.name), fullgraph=True, dynamic=False, options=options
        )
        compiled = call.aot_compile(((module, *args), kwargs))
        for _ in range(2):
            compiled(module, *args, **kwargs)

    with atomic_write(file) as unfinished:
        compiled.save_compiled_function(unfinished)


def _rebuilt(part: Part) -> torch.nn.Module:
    """A module like the part's, with arbitrary weights: code does not depend on them."""
    with torch.device("meta"):
        model: ModelMixin = getattr(diffusers, part.model_class).from_config(part.config).eval()

    if part.fused:
        model.fuse_qkv_projections()

    if part.attention is not None:
        model.set_attention_backend(part.attention)

    module: torch.nn.Module = model.get_submodule(part.path)
    for name, layout in part.tensors.items():
        owner_name, _, leaf = name.rpartition(".")
        owner = module.get_submodule(owner_name)
        tensor = _empty(layout)
        if leaf in owner._parameters:
            owner._parameters[leaf] = torch.nn.Parameter(tensor, requires_grad=False)
        else:
            owner._buffers[leaf] = tensor

    return module


def _empty(layout: TensorLayout) -> torch.Tensor:
    return torch.empty_strided(
        layout.shape, layout.strides, dtype=dtype_of(layout), device=layout.device
    )


def _emptied(value: Any) -> Any:
    """Arguments with these layouts; their values do not matter."""
    if isinstance(value, TensorLayout):
        return _empty(value).zero_()

    if isinstance(value, Mapping):
        return {key: _emptied(each) for key, each in value.items()}

    return tuple(map(_emptied, value)) if isinstance(value, tuple) else value


def _use_caches(file: Path) -> None:
    """Let torch keep its intermediate results, and what tuning chose, beside the compiled file."""
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(_caches_of(file) / "inductor")
    os.environ["TRITON_CACHE_DIR"] = str(_caches_of(file) / "triton")


def _caches_of(file: Path) -> Path:
    return file.with_suffix(".caches")


def main() -> None:
    """The process: compile each part of the order."""
    die_with_parent()
    os.nice(10)  # requests come first
    order = Path(sys.argv[1])
    parts, folder = pickle.loads(order.read_bytes())
    order.unlink()
    for part in parts:
        if not (folder / file_name(part)).exists():  # another device's worker may have made it
            compile_to_file(part, folder)
