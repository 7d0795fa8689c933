"""Checks images in the worker, before anybody sees them. Imports no model library."""

import pkgutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, cast

from generation.errors import NotChecked
from generation.request import GeneratedImage, Made, Withheld

PACKAGED = "open_nsfw"
"""The classifier that comes with the extra `safety`, weights included."""

_PACKAGED_CLASS = "generation.safety.open_nsfw:OpenNsfw"
_OTHER_CLASS = "generation.safety.image_classifier:ImageClassifier"


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetySpec:
    """Which classifier checks every image, and from which score on an image is withheld, or shown
    and doubtful.

    model: PACKAGED, or an image classifier for transformers: a name on the hub, or a folder.
    revision: a branch, tag or commit of a model on the hub; None is its default branch.
    labels: the labels that mean unsafe; if empty, those of UNSAFE_LABELS.
    threshold: 0 to 1; an image with this score or a higher one is withheld.
    doubtful: the same; with a lower score than the threshold, it is doubtful. None: no image is.
    """

    model: str
    revision: str | None = None
    labels: tuple[str, ...] = ()
    threshold: float = 0.5
    doubtful: float | None = None


class Classifier(Protocol):
    """Estimates how likely images are unsafe, on the calling thread."""

    def __init__(self, spec: SafetySpec, *, device: str) -> None:
        """Store the arguments; `load` does the work."""
        ...

    def check(self) -> str:
        """What `load` would load, as a phrase. Raises BackendUnavailable if `load` would."""
        ...

    def load(self) -> str:
        """Load the classifier; its name and version, to record. Raises BackendUnavailable."""
        ...

    def scores(self, pngs: Sequence[bytes]) -> Sequence[float]:
        """The probability, 0 to 1, that each image is unsafe."""
        ...


def open_classifier(spec: SafetySpec, *, device: str) -> Classifier:
    """The classifier of the spec, not loaded."""
    class_name = _PACKAGED_CLASS if spec.model == PACKAGED else _OTHER_CLASS
    classifier_class = cast("type[Classifier]", pkgutil.resolve_name(class_name))

    return classifier_class(spec, device=device)


class Screen:
    """Checks every image of a request, and removes the bytes of those that are withheld."""

    def __init__(self, spec: SafetySpec | None, *, device: str) -> None:
        self._spec = spec
        self._device = device
        self._classifier: Classifier | None = None
        self._name = ""

    def load(self) -> None:
        """Load the classifier, if there is one. Raises BackendUnavailable."""
        if self._spec is not None:
            self._classifier = open_classifier(self._spec, device=self._device)
            self._name = self._classifier.load()

    def screened(self, made: Made) -> Made:
        """The same images with scores, and without the bytes of the withheld ones.

        Raises NotChecked if the classifier fails, because unchecked images must not be shown.
        """
        if self._spec is None or self._classifier is None:
            return replace(made, images=tuple(map(_without_bytes, made.images)))

        unchecked = [image for image in made.images if image.withheld is None]
        scores = iter(_checked_scores(self._classifier, [image.png for image in unchecked]))
        images = [
            image if image.withheld else _rated(image, next(scores), self._spec)
            for image in made.images
        ]
        checked_by = {"safety": self._name, "safety_threshold": f"{self._spec.threshold:g}"}

        return replace(
            made,
            images=tuple(map(_without_bytes, images)),
            provenance=replace(
                made.provenance, versions={**made.provenance.versions, **checked_by}
            ),
        )


def _checked_scores(classifier: Classifier, pngs: Sequence[bytes]) -> Sequence[float]:
    if not pngs:
        return []

    try:
        scores = classifier.scores(pngs)
    except Exception as exc:
        raise NotChecked(f"{type(exc).__name__}: {exc}") from exc

    # Also refuses NaN, which an overflow in half precision produces.
    if len(scores) != len(pngs) or not all(0.0 <= score <= 1.0 for score in scores):
        raise NotChecked(f"the classifier's scores are {list(scores)} for {len(pngs)} images")

    return scores


def _rated(image: GeneratedImage, score: float, spec: SafetySpec) -> GeneratedImage:
    if score >= spec.threshold:
        return replace(image, unsafe_score=score, withheld=Withheld.CLASSIFIER)

    doubtful = spec.doubtful is not None and score >= spec.doubtful

    return replace(image, unsafe_score=score, doubtful=doubtful)


def _without_bytes(image: GeneratedImage) -> GeneratedImage:
    return replace(image, png=b"") if image.withheld else image
