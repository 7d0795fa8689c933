"""The models that one worker holds: as many as fit beside each other, by name."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from generation.errors import OutOfMemory
from generation.request import Provenance
from generation.worker.backend import Backend, BackendSpec, open_backend

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Loaded:
    backend: Backend
    provenance: Provenance


class ModelShelf:
    """Loads a model when it is asked for, and unloads others when it does not fit beside them.

    Those that were not asked for the longest go first. Whether a model fits is an estimate: one
    that runs out of memory all the same is loaded once more, with nothing beside it.
    """

    def __init__(self, specs: Mapping[str, BackendSpec], *, device: str) -> None:
        self._specs = specs
        self._device = device
        self._loaded: dict[str, _Loaded] = {}  # in the order in which they were last asked for

    def holds(self, model: str) -> bool:
        """Whether it is loaded."""
        return model in self._loaded

    def loaded(self) -> dict[str, Provenance]:
        """What is loaded, by name; the one that was asked for last is the last."""
        return {model: loaded.provenance for model, loaded in self._loaded.items()}

    def take(self, model: str) -> Backend:
        """The model's backend, loaded; the shelf keeps it.

        Raises BackendUnavailable for one that cannot be had, and OutOfMemory for one that does not
        fit on the empty device. Others may be gone then, and are loaded when asked for.
        """
        loaded = self._loaded.pop(model, None) or self._load(model)
        self._loaded[model] = loaded

        return loaded.backend

    def between_requests(self) -> str:
        """What the backends do while nothing is made; how they serve, as a phrase."""
        phrases = {
            model: phrase
            for model, loaded in self._loaded.items()
            if (phrase := loaded.backend.between_requests())
        }

        return "; ".join(f"{model} {phrase}".lstrip() for model, phrase in phrases.items())

    def unload_others(self, model: str) -> bool:
        """Make all the room there is for this one; false if there was nothing beside it."""
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
            log.warning("no room for %s: %s", model or "the default model", exc.cause)
            if not self.unload_others(model):
                raise

        return _loaded(backend)

    def _unload(self, model: str) -> None:
        log.info("unloading %s from %s", model or "the default model", self._device)
        self._loaded.pop(model).backend.unload()


def _loaded(backend: Backend) -> _Loaded:
    try:
        return _Loaded(backend, backend.load())
    except BaseException:
        backend.unload()  # what was there before it failed
        raise
