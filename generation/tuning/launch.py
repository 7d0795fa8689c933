"""Starts a run's processes, one a device, and waits for them. Imports no model library."""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from importlib.util import find_spec

from generation.tuning.job import REFUSED, TuningFailed, Work
from generation.worker.environment import prepare

_POLL_S = 0.2


def tune(work: Work, devices: Sequence[str]) -> bool:
    """Run the job of `work` to its end. False if it cannot be done, and why is on standard error.

    Raises TuningFailed if a process ends in another way; the others are then stopped. What was
    learned until the last checkpoint is kept.
    """
    kinds = {device.partition(":")[0] for device in devices}
    if len(devices) > 1 and kinds not in ({"cuda"}, {"cpu"}):
        raise TuningFailed(
            f"{', '.join(devices)}: several devices must be GPUs of one kind, such as "
            "cuda:0,cuda:1."
        )

    if missing := [name for name in ("torch", "diffusers", "peft") if find_spec(name) is None]:
        raise TuningFailed(f"Tuning needs {' and '.join(missing)}: install oxherd's extra gpu.")

    port = _free_port()
    with ExitStack() as stack:
        processes = []
        for rank, device in enumerate(devices):
            environment = dict(os.environ)
            name = prepare(environment, device=device)
            if len(devices) > 1:
                environment |= _meeting(rank, len(devices), port=port)

            command = [sys.executable, "-m", "generation.tuning", str(work.out), name]
            process = stack.enter_context(subprocess.Popen(command, env=environment))
            stack.callback(process.kill)
            processes.append(process)

        while running := [process for process in processes if process.returncode is None]:
            with suppress(subprocess.TimeoutExpired):
                running[0].wait(_POLL_S)

            for process in processes:
                if process.poll() == REFUSED:
                    return False

                if process.returncode:
                    raise TuningFailed(
                        "The tuning ended early. The same command goes on from the last checkpoint."
                    )

    return True


def _meeting(rank: int, processes: int, *, port: int) -> Mapping[str, str]:
    """What accelerate reads to find the other processes. Each sees one device, its number 0."""
    return {
        "RANK": str(rank),
        "WORLD_SIZE": str(processes),
        "LOCAL_RANK": "0",
        "LOCAL_WORLD_SIZE": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
    }


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]

        return port
