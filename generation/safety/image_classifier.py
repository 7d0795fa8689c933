"""An image classifier of transformers that the operator names, on the worker's device.

Imported in worker processes only.
"""

import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub import HfApi, snapshot_download, try_to_load_from_cache
from PIL import Image

from generation.errors import BackendUnavailable, root_cause
from generation.safety.screen import SafetySpec

# Labels that published classifiers give to what a server may not want to show.
UNSAFE_LABELS = frozenset(
    {"explicit", "gore", "hentai", "nsfw", "nude", "nudity", "porn", "pornography", "pornographic"}
    | {"sex", "sexual", "sexy", "unsafe"}
)

# Weights only as safetensors: other formats run code when they are opened.
_FILES = ("config.json", "preprocessor_config.json", "*.safetensors", "*.safetensors.index.json")
_REACH_S = 10.0


class ImageClassifier:
    """A model that AutoModelForImageClassification loads, from safetensors.

    A picture's score is the sum of the probabilities of the unsafe labels; for a model whose
    labels do not exclude each other, the greatest of them.
    """

    def __init__(self, spec: SafetySpec, *, device: str) -> None:
        self._spec = spec
        self._device = _best_device() if device == "auto" else device
        self._model: Any
        self._processor: Any
        self._unsafe: list[int]

    def check(self) -> str:
        folder = _local_folder(self._spec.model)
        if folder is None:
            cached = try_to_load_from_cache(
                self._spec.model, "config.json", revision=self._spec.revision or "main"
            )
            if not isinstance(cached, str):
                return self._check_hub()

            folder = Path(cached).parent

        try:
            config = transformers.AutoConfig.from_pretrained(folder)
        except (OSError, ValueError) as exc:
            raise BackendUnavailable(f"The classifier in {folder}: {root_cause(exc)}") from exc

        unsafe = _unsafe_labels(config.id2label, self._spec)

        return f"{self._spec.model}, unsafe are its labels {', '.join(unsafe.values())}"

    def load(self) -> str:
        transformers.utils.logging.disable_progress_bar()
        folder = _local_folder(self._spec.model)
        on_hub = folder is None
        if folder is None:
            folder = self._fetched()

        try:
            # Pillow's way of resizing whatever else is installed: the scores stay the same.
            self._processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
            model = transformers.AutoModelForImageClassification.from_pretrained(
                folder, dtype=self._dtype(), use_safetensors=True
            )
            self._model = model.to(self._device).eval()
        except Exception as exc:
            raise BackendUnavailable(
                f"The image classifier {self._spec.model!r} is there and could not be loaded: "
                f"{root_cause(exc)}"
            ) from exc

        self._unsafe = list(_unsafe_labels(model.config.id2label, self._spec))
        if on_hub:
            return f"{self._spec.model} ({folder.name})"

        # A folder's path is this machine's business; its name and content are not.
        return f"{folder.name} ({_content_revision(folder)})"

    def scores(self, pngs: Sequence[bytes]) -> Sequence[float]:
        pictures = [Image.open(io.BytesIO(png)).convert("RGB") for png in pngs]
        inputs = self._processor(images=pictures, return_tensors="pt")
        with torch.inference_mode():
            pixels = inputs["pixel_values"].to(self._device, self._dtype())
            logits = self._model(pixel_values=pixels).logits.float()  # [pictures, labels]

        config = self._model.config
        if config.problem_type == "multi_label_classification" or config.num_labels == 1:
            scores = logits.sigmoid()[:, self._unsafe].amax(dim=1)
        else:
            scores = logits.softmax(dim=1)[:, self._unsafe].sum(dim=1).clamp(max=1.0)

        found: list[float] = scores.tolist()

        return found

    def _dtype(self) -> torch.dtype:
        return torch.float16 if self._device.startswith("cuda") else torch.float32

    def _fetched(self) -> Path:
        try:
            return Path(
                snapshot_download(
                    self._spec.model, revision=self._spec.revision, allow_patterns=list(_FILES)
                )
            )
        except Exception as exc:
            raise BackendUnavailable(_not_found(self._spec.model, exc)) from exc

    def _check_hub(self) -> str:
        try:
            HfApi().model_info(self._spec.model, revision=self._spec.revision, timeout=_REACH_S)
        except Exception as exc:
            raise BackendUnavailable(_not_found(self._spec.model, exc)) from exc

        return f"{self._spec.model} on the hub; loading will download it and look at its labels"


def _unsafe_labels(labels: Mapping[int, str], spec: SafetySpec) -> Mapping[int, str]:
    """Those labels that mean unsafe. Raises BackendUnavailable when that is not clear."""
    has = f"The image classifier {spec.model!r} has the labels {', '.join(labels.values())}"
    known = {label.casefold() for label in labels.values()}
    wanted = {label.casefold() for label in spec.labels} or UNSAFE_LABELS
    unsafe = {index: label for index, label in labels.items() if label.casefold() in wanted}
    if spec.labels and wanted - known:
        raise BackendUnavailable(
            f"{has}, and not {', '.join(sorted(wanted - known))}, which OXHERD_SAFETY_LABELS names."
        )

    # If every label of several were unsafe, so would be every picture.
    if not unsafe or len(unsafe) == len(labels) > 1:
        raise BackendUnavailable(
            f"{has}. Say in OXHERD_SAFETY_LABELS which of them are unsafe to show."
        )

    return unsafe


def _local_folder(model: str) -> Path | None:
    """The folder that the setting names, or None when it must be a name on the hub."""
    folder = Path(model).expanduser()
    if (folder / "config.json").is_file():
        return folder.resolve()

    if folder.is_dir():
        raise BackendUnavailable(f"The folder {folder} holds no config.json: not a classifier.")

    if model.startswith(("/", ".", "~")):
        raise BackendUnavailable(f"The image classifier's folder {folder} does not exist.")

    return None


def _content_revision(folder: Path) -> str:
    """A name for exactly this content: it changes when a file that is loaded changes."""
    whole = hashlib.sha256()
    for file in sorted({file for pattern in _FILES for file in folder.glob(pattern)}):
        with file.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()

        whole.update(f"{digest}  {file.name}\n".encode())

    return f"sha256:{whole.hexdigest()}"


def _not_found(model: str, exc: BaseException) -> str:
    return (
        f"The image classifier {model!r} is not a folder here, not complete in the hub's local "
        f"cache, and could not be fetched: {root_cause(exc)}. Check OXHERD_SAFETY_MODEL and the "
        "network, or name a folder."
    )


def _best_device() -> str:
    if torch.cuda.is_available():
        return "cuda"

    return "mps" if torch.backends.mps.is_available() else "cpu"
