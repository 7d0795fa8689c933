"""An image classifier of the operator's choice, loaded by transformers on the worker's device.

Imported in worker processes only.
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import transformers
from huggingface_hub import snapshot_download
from PIL import Image
from transformers import BaseImageProcessor, PreTrainedModel

from generation.best_device import best_device
from generation.errors import BackendUnavailable, root_cause
from generation.model_folder import (
    cached_file,
    check_hub,
    content_revision,
    local_folder,
    not_found,
)
from generation.safety.screen import SafetySpec

# Labels of published classifiers for images that a server may not want to show.
UNSAFE_LABELS = frozenset(
    {"explicit", "gore", "hentai", "nsfw", "nude", "nudity", "porn", "pornography", "pornographic"}
    | {"sex", "sexual", "sexy", "unsafe"}
)

# Only safetensors: other formats can run code when they are opened.
_FILES = ("config.json", "preprocessor_config.json", "*.safetensors", "*.safetensors.index.json")
_INDEX = "config.json"
_WHAT = "OXHERD_SAFETY_MODEL"


class ImageClassifier:
    """A model that AutoModelForImageClassification can load from safetensors.

    The score of an image is the sum of the probabilities of the unsafe labels; for a model whose
    labels do not exclude each other, it is the highest of these probabilities.
    """

    def __init__(self, spec: SafetySpec, *, device: str) -> None:
        self._spec = spec
        self._device = best_device() if device == "auto" else device
        self._model: PreTrainedModel
        self._processor: BaseImageProcessor
        self._unsafe: list[int]

    def check(self) -> str:
        spec = self._spec
        folder = local_folder(spec.model, index=_INDEX)
        if folder is None:
            cached = cached_file(spec.model, _INDEX, revision=spec.revision)
            if cached is None:
                check_hub(spec.model, revision=spec.revision, what=_WHAT)
                return f"{spec.model} on the hub; loading will download it and check its labels"

            folder = cached.parent

        try:
            config = transformers.AutoConfig.from_pretrained(folder)
        except (OSError, ValueError) as exc:
            raise BackendUnavailable(f"The classifier in {folder}: {root_cause(exc)}") from exc

        unsafe = _unsafe_labels(config.id2label, self._spec)

        return f"{self._spec.model}, unsafe are its labels {', '.join(unsafe.values())}"

    def load(self) -> str:
        transformers.utils.logging.disable_progress_bar()
        folder = local_folder(self._spec.model, index=_INDEX)
        on_hub = folder is None
        if folder is None:
            folder = self._download()

        try:
            # Resize with Pillow, whatever else is installed, so that the scores are the same.
            self._processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
            model = transformers.AutoModelForImageClassification.from_pretrained(
                folder, dtype=self._dtype(), use_safetensors=True
            )
            self._model = model.to(self._device).eval()
        except Exception as exc:
            raise BackendUnavailable(
                f"The image classifier {self._spec.model!r} was found and could not be loaded: "
                f"{root_cause(exc)}"
            ) from exc

        self._unsafe = list(_unsafe_labels(model.config.id2label, self._spec))
        if on_hub:
            return f"{self._spec.model} ({folder.name})"

        # Recorded with the images: the folder's name and content, but not its path.
        files = {file for pattern in _FILES for file in folder.glob(pattern)}

        return f"{folder.name} ({content_revision(folder, files)})"

    def scores(self, pngs: Sequence[bytes]) -> Sequence[float]:
        images = [Image.open(io.BytesIO(png)).convert("RGB") for png in pngs]
        inputs = self._processor(images=images, return_tensors="pt")
        with torch.inference_mode():
            pixels = inputs["pixel_values"].to(self._device, self._dtype())
            # [images, labels]
            logits: torch.Tensor = self._model(pixel_values=pixels).logits.float()

        config = self._model.config
        if config.problem_type == "multi_label_classification" or config.num_labels == 1:
            scores = logits.sigmoid()[:, self._unsafe].amax(dim=1)
        else:
            scores = logits.softmax(dim=1)[:, self._unsafe].sum(dim=1).clamp(max=1.0)

        probabilities: list[float] = scores.tolist()

        return probabilities

    def _dtype(self) -> torch.dtype:
        return torch.float16 if self._device.startswith("cuda") else torch.float32

    def _download(self) -> Path:
        try:
            return Path(
                snapshot_download(
                    self._spec.model, revision=self._spec.revision, allow_patterns=list(_FILES)
                )
            )
        except Exception as exc:
            raise BackendUnavailable(not_found(self._spec.model, exc, what=_WHAT)) from exc


def _unsafe_labels(labels: Mapping[int, str], spec: SafetySpec) -> Mapping[int, str]:
    """The labels that mean unsafe. Raises BackendUnavailable if that is unclear."""
    has = f"The image classifier {spec.model!r} has the labels {', '.join(labels.values())}"
    known = {label.casefold() for label in labels.values()}
    wanted = {label.casefold() for label in spec.labels} or UNSAFE_LABELS
    unsafe = {index: label for index, label in labels.items() if label.casefold() in wanted}
    if spec.labels and wanted - known:
        raise BackendUnavailable(
            f"{has}, and not {', '.join(sorted(wanted - known))}, which OXHERD_SAFETY_LABELS names."
        )

    # If all of several labels were unsafe, every image would be.
    if not unsafe or len(unsafe) == len(labels) > 1:
        raise BackendUnavailable(
            f"{has}. Say in OXHERD_SAFETY_LABELS which of them are unsafe to show."
        )

    return unsafe
