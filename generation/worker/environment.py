"""The environment of a worker process: what its libraries read when they are imported."""

from collections.abc import MutableMapping

_VISIBLE = "CUDA_VISIBLE_DEVICES"


def prepare(environment: MutableMapping[str, str], *, device: str) -> str:
    """Change the process's environment for a worker on the device, before torch is imported.

    Threads of torch sleep while they wait for each other. By default they spin, so on a busy
    machine each of their thousands of meetings burns a time slice of the processor.

    A worker on a GPU sees only that GPU, so nothing that it does can end up on a different one. In
    its process that GPU is `cuda:0`. Returns what the device is called there.
    """
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    kind, _, number = device.partition(":")
    if kind not in ("cuda", "auto"):
        return device

    gpus = _visible_gpus(environment)
    index = int(number) if number else 0
    if gpus is not None and index >= len(gpus):
        return device  # there is none with this number, which torch says best

    environment[_VISIBLE] = str(index) if gpus is None else gpus[index]

    return "cuda:0" if number else device


def _visible_gpus(environment: MutableMapping[str, str]) -> list[str] | None:
    """The GPUs that the operator lets the bot use, in order; None for all."""
    if _VISIBLE not in environment:
        return None

    return [gpu for gpu in environment[_VISIBLE].split(",") if gpu.strip()]
