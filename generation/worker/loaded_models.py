"""The models that are loaded in one worker, by name: as many as fit together."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from generation.errors import OutOfMemory
from generation.request import Provenance
from generation.worker.backend import Backend, open_backend
from generation.worker.specs import BackendSpec

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Loaded:
    backend: Backend
    provenance: Provenance


class LoadedModels:
    """Loads a model when it is requested, and unloads others if it does not fit beside them.

    The least recently requested are unloaded first. Whether a model fits is an estimate: if
    loading runs out of memory nevertheless, all others are unloaded and it is loaded again.
    """

    def __init__(self, specs: Mapping[str, BackendSpec], *, device: str) -> None:
        self._specs = specs
        self._device = device
        self._loaded: dict[str, _Loaded] = {}  # least recently requested first

    def holds(self, model: str) -> bool:
        """Whether the model is loaded."""
        return model in self._loaded

    def provenance(self) -> dict[str, Provenance]:
        """The loaded models, by name; the most recently requested is the last."""
        return {model: loaded.provenance for model, loaded in self._loaded.items()}

    def load(self, model: str) -> Backend:
        """Load the model unless it is loaded, and return its backend.

        Raises BackendUnavailable if it cannot be loaded, and OutOfMemory if it does not fit on the
        empty device. Other models may be unloaded by then.
        """
        loaded = self._loaded.pop(model, None) or self._load(model)
        self._loaded[model] = loaded

        return loaded.backend

    def between_requests(self, report: Callable[[str], None]) -> str:
        """Let the backends work while there is no request; how they serve, as a phrase.

        report: told a phrase again and again while a backend works for long.
        """
        phrases = [
            self._phrase(model, phrase)
            for model, loaded in self._loaded.items()
            if (phrase := loaded.backend.between_requests(self._reporter(model, report)))
        ]

        return "; ".join(phrases)

    def _reporter(self, model: str, report: Callable[[str], None]) -> Callable[[str], None]:
        return lambda phrase: report(self._phrase(model, phrase))

    def _phrase(self, model: str, phrase: str) -> str:
        return phrase if len(self._specs) == 1 else f"{model} {phrase}"

    def unload_others(self, model: str) -> bool:
        """Unload all models but this one; false if no other was loaded."""
        others = [name for name in self._loaded if name != model]
        for name in others:
            self._unload(name)

        return bool(others)

    def _load(self, model: str) -> _Loaded:
        backend = open_backend(self._specs[model], device=self._device)
        while self._loaded and not backend.fits():
            self._unload(next(iter(self._loaded)))

        try:
            return _loaded(backend)
        except OutOfMemory as exc:
            log.warning("%s does not fit: %s", model, exc.cause)
            if not self.unload_others(model):
                raise

        return _loaded(backend)

    def _unload(self, model: str) -> None:
        log.info("unloading %s from %s", model, self._device)
        self._loaded.pop(model).backend.unload()


def _loaded(backend: Backend) -> _Loaded:
    try:
        return _Loaded(backend, backend.load())
    except BaseException:
        backend.unload()  # the parts that were loaded before the error
        raise
