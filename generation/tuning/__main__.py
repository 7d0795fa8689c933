"""One process of a run: `python -m generation.tuning OUT DEVICE`. `launch.py` starts it."""

import sys
import warnings
from pathlib import Path

import diffusers
import transformers

from generation.errors import GenerationError
from generation.tuning.job import REFUSED, TuningFailed, Work
from generation.tuning.run import run
from generation.worker.parent import die_with_parent


def main() -> int:
    out, device = sys.argv[1:]
    for library in (diffusers, transformers):
        library.utils.logging.disable_progress_bar()
        library.utils.logging.set_verbosity_error()  # warnings quote prompts that were cut

    die_with_parent()
    warnings.simplefilter("ignore")
    work = Work(Path(out))
    job = work.job()
    assert job is not None, "a job comes first"
    try:
        run(work, job, device=device)
    except (GenerationError, TuningFailed) as exc:
        sys.stderr.write(f"oxherd: {exc}\n")
        return REFUSED

    return 0


if __name__ == "__main__":
    sys.exit(main())
