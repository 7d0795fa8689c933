"""The messages between the queue and a worker process; pure and picklable."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from generation.errors import BackendUnavailable, Cancelled, RequestFailed
from generation.request import ImageRequest, Made, Preview, Provenance


@dataclass(frozen=True, slots=True, kw_only=True)
class Generate:
    """Make these images. Sent only to an idle worker. parent: the PNG file that they vary."""

    job_id: int
    request: ImageRequest
    parent: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """Stop this job after its current step, if it is still running."""

    job_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """The default model is loaded. `models` are all loaded models, by name."""

    models: Mapping[str, Provenance]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadFailed:
    """The default model cannot be loaded. The process ends after this message."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """How requests are served from now on, as a phrase for the operator.

    Sent again and again while the worker does something that takes long between two requests.
    """

    how: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Loading:
    """The job's model is being loaded. Loaded follows, even if that fails."""

    job_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The job's steps begin, or begin again. `models` are all loaded models, by name."""

    job_id: int
    models: Mapping[str, Provenance]


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
    """The images are made, and the worker is idle again."""

    job_id: int
    made: Made


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The job ended with this error, and the worker is idle again."""

    job_id: int
    error: Cancelled | BackendUnavailable | RequestFailed


ToWorker = Generate | Cancel
JobMessage = Loading | Loaded | StepDone | PreviewDrawn | Finished | Failed
FromWorker = Ready | LoadFailed | Serving | JobMessage
