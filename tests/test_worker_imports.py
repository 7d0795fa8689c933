"""What a worker process pays for the libraries that it imports."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import gc
import sys

collections = 0


def count(phase, info):
    global collections
    collections += 1


gc.callbacks.append(count)
from generation.worker.backend import open_backend
from generation.worker.specs import BackendSpec, DiffusersSpec


class LargeSpec(BackendSpec):
    backend = "large_library:Backend"


before = collections
open_backend({"diffusers": DiffusersSpec, "large": LargeSpec}[sys.argv[1]](), device="cpu")
assert collections == before, collections - before
assert gc.isenabled()
assert gc.get_freeze_count() > 100_000
"""

LARGE_LIBRARY = """
objects = [[number] for number in range(200_000)]


class Backend:
    def __init__(self, spec, *, device):
        pass
"""


@pytest.mark.parametrize("library", ["large", pytest.param("diffusers", marks=pytest.mark.long)])
def test_what_libraries_leave_in_memory_is_never_searched_for_garbage(
    tmp_path: Path, library: str
) -> None:
    (tmp_path / "large_library.py").write_text(LARGE_LIBRARY, encoding="utf-8")
    root = Path(__file__).parents[1]

    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, library],
        env={**os.environ, "PYTHONPATH": f"{root}:{tmp_path}"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "leaked" not in done.stderr
