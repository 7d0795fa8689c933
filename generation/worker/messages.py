"""What the executor and a worker process say to each other; pure, picklable."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from generation.request import ImageRequest, Made, Preview, Provenance


@dataclass(frozen=True, slots=True, kw_only=True)
class Generate:
    """Make these images. Sent only to a worker that has nothing else to do."""

    job_id: int
    request: ImageRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """Stop that job at its next step, if it is still the one that runs."""

    job_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """The default model is loaded."""

    provenance: Provenance


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadFailed:
    """The default model cannot be loaded; the process ends after saying so."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Loading:
    """The job's model is not at hand, and loading it takes its time; Loaded follows."""

    job_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The job begins, or begins anew. `models` are all that are loaded now, by name."""

    job_id: int
    models: Mapping[str, Provenance]


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """How requests are served from now on, as a phrase for the operator."""

    how: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDone:
    job_id: int
    step: int
    steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewDrawn:
    job_id: int
    preview: Preview


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    job_id: int
    made: Made


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """The job was cancelled and the worker is idle again."""

    job_id: int


class FailureKind(StrEnum):
    REQUEST = "request"
    MEMORY = "memory"
    MODEL = "model"
    CHECK = "check"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The backend raised for this job, and the worker is idle again."""

    job_id: int
    kind: FailureKind
    cause: str


ToWorker = Generate | Cancel
FromWorker = (
    Ready
    | LoadFailed
    | Serving
    | Loading
    | Loaded
    | StepDone
    | PreviewDrawn
    | Finished
    | Stopped
    | Failed
)
