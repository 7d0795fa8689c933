"""Which pictures are kept back in the worker, before anybody sees them. No model library here."""

import pkgutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, cast

from generation.errors import NotChecked
from generation.request import GeneratedImage, Made, Withheld

PACKAGED = "open_nsfw"
"""The classifier whose weights come inside a package, with the extra `safety`."""

_PACKAGED_CLASS = "generation.safety.open_nsfw:OpenNsfw"
_OTHER_CLASS = "generation.safety.image_classifier:ImageClassifier"


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetySpec:
    """Which classifier looks at every picture, and from which score on one is withheld.

    model: PACKAGED, or an image classifier of transformers: a name on the hub, or a folder.
    revision: a branch, tag or commit of a model on the hub; None is its default branch.
    labels: those of its labels that mean unsafe; empty for those that are known to.
    threshold: from 0 to 1; a picture that scores as much or more is withheld.
    """

    model: str
    revision: str | None = None
    labels: tuple[str, ...] = ()
    threshold: float = 0.5


class Classifier(Protocol):
    """Says of pictures how likely they are unsafe; on the thread that it is called from."""

    def __init__(self, spec: SafetySpec, *, device: str) -> None:
        """Only assign; `load` does the work."""
        ...

    def check(self) -> str:
        """What `load` would use, as a phrase. Raises BackendUnavailable when it would."""
        ...

    def load(self) -> str:
        """Get ready; the name and version to record. Raises BackendUnavailable with a sentence."""
        ...

    def scores(self, pngs: Sequence[bytes]) -> Sequence[float]:
        """The probability, 0 to 1, that each picture is unsafe; all of them in one go."""
        ...


def open_classifier(spec: SafetySpec, *, device: str) -> Classifier:
    """The classifier that the spec names, not loaded."""
    place = _PACKAGED_CLASS if spec.model == PACKAGED else _OTHER_CLASS
    classifier_class = cast("type[Classifier]", pkgutil.resolve_name(place))

    return classifier_class(spec, device=device)


class Screen:
    """Looks at every picture that leaves the worker, and lets no withheld one through."""

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
        """The same, with scores, and without the bytes of what is withheld.

        Raises NotChecked when the classifier fails: what nobody looked at is not shown.
        """
        if self._spec is None or self._classifier is None:
            return replace(made, images=tuple(map(_without_bytes, made.images)))

        looked_at = [image for image in made.images if image.withheld is None]
        scores = iter(_checked_scores(self._classifier, [image.png for image in looked_at]))
        images = [
            image if image.withheld else _rated(image, next(scores), self._spec.threshold)
            for image in made.images
        ]
        made_by = made.provenance
        checked_by = {"safety": self._name, "safety_threshold": f"{self._spec.threshold:g}"}

        return replace(
            made,
            images=tuple(map(_without_bytes, images)),
            provenance=replace(made_by, versions={**made_by.versions, **checked_by}),
        )


def _checked_scores(classifier: Classifier, pngs: Sequence[bytes]) -> Sequence[float]:
    if not pngs:
        return []

    try:
        scores = classifier.scores(pngs)
    except Exception as exc:
        raise NotChecked(f"{type(exc).__name__}: {exc}") from exc

    # NaN, which a number format that is too small makes, is in no range.
    if len(scores) != len(pngs) or not all(0.0 <= score <= 1.0 for score in scores):
        raise NotChecked(f"the classifier's scores are {list(scores)} for {len(pngs)} images")

    return scores


def _rated(image: GeneratedImage, score: float, threshold: float) -> GeneratedImage:
    withheld = Withheld.CLASSIFIER if score >= threshold else None

    return replace(image, unsafe_score=score, withheld=withheld)


def _without_bytes(image: GeneratedImage) -> GeneratedImage:
    return replace(image, png=b"") if image.withheld else image
