"""What a model takes, found in its small files without loading it. Imports no model library."""

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import Any

from generation.errors import BackendUnavailable, root_cause
from generation.families import INDEX, PLACEHOLDER, UNKNOWN, Traits, known_traits
from generation.lora_folder import base_of
from generation.model_folder import fetched_file, local_folder
from generation.worker.specs import BackendSpec, DiffusersSpec

log = logging.getLogger(__name__)


def read_traits(spec: BackendSpec) -> Traits:
    """What the model takes; UNKNOWN if its files cannot be had or the table does not know it.

    Fetches small files of a model on the hub that is not in the local cache, so it may block for
    seconds.
    """
    if not isinstance(spec, DiffusersSpec):
        return PLACEHOLDER

    try:
        base, lora = base_of(spec)
        folder = local_folder(base.model, index=INDEX)
        read = _reader(base) if folder is None else lambda file: read_settings(folder, file)

        takes = known_traits(PurePath(base.model).name, read) or UNKNOWN

        return takes if lora is None else lora.spec.applied(takes)
    except BackendUnavailable as exc:
        reason = exc.reason
    except Exception as exc:  # noqa: BLE001 - of files that anybody may have made, or of the hub
        reason = root_cause(exc)

    log.warning("what %s takes is not known until it is loaded: %s", spec.model, reason)

    return UNKNOWN


def read_settings(folder: Path, file: str) -> Mapping[str, Any]:
    """A small JSON file of the model; empty if the model does not have it.

    Raises OSError or ValueError for one that cannot be read.
    """
    return _json(folder / file) if (folder / file).exists() else {}


def _reader(spec: DiffusersSpec) -> Callable[[str], Mapping[str, Any]]:
    def read(file: str) -> Mapping[str, Any]:
        found = fetched_file(spec.model, file, revision=spec.revision)

        return {} if found is None else _json(found)

    return read


def _json(file: Path) -> Mapping[str, Any]:
    settings: dict[str, Any] = json.loads(file.read_bytes())

    return settings
