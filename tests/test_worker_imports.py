"""What a worker process pays for the libraries that it imports."""

import subprocess
import sys

SCRIPT = """
import gc

collections = 0


def count(phase, info):
    global collections
    collections += 1


gc.callbacks.append(count)
from generation.worker.backend import open_backend
from generation.worker.specs import DiffusersSpec

before = collections
open_backend(DiffusersSpec(), device="cpu")
assert collections == before, collections - before
assert gc.isenabled()
assert gc.get_freeze_count() > 100_000
"""


def test_what_libraries_leave_in_memory_is_never_searched_for_garbage() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert "leaked" not in done.stderr
