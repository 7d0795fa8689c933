"""A worker process on this host."""

from collections.abc import Mapping

from generation.processes.child_process import ChildProcess
from generation.worker.main import serve
from generation.worker.messages import FromWorker, ToWorker
from generation.worker.specs import BackendSpec


class WorkerProcess(ChildProcess[ToWorker, FromWorker]):
    def __init__(self, models: Mapping[str, BackendSpec], *, device: str) -> None:
        super().__init__(serve, models, device, name=f"gpu-worker-{device}")
