"""Finds a model: a folder, a copy in the hub's local cache, or a name on the hub."""

import hashlib
import json
import logging
from collections.abc import Iterable
from pathlib import Path

from generation.atomic_write import atomic_write
from generation.errors import BackendUnavailable, root_cause

log = logging.getLogger(__name__)

_HUB_TIMEOUT_S = 10.0


def local_folder(model: str, *, index: str) -> Path | None:
    """The folder that `model` names, which holds the file `index`; None for a name on the hub.

    Raises BackendUnavailable for a folder without `index`, or a path that does not exist.
    """
    folder = Path(model).expanduser()
    if (folder / index).is_file():
        return folder.resolve()

    if folder.is_dir():
        raise BackendUnavailable(f"The folder {folder} holds no {index}, so it is not a model.")

    if model.startswith(("/", ".", "~")):
        raise BackendUnavailable(f"The folder {folder} does not exist.")

    return None


def cached_file(model: str, file: str, *, revision: str | None) -> Path | None:
    """The file of a model on the hub, if it is in the local cache."""
    from huggingface_hub import try_to_load_from_cache  # here: the bot need not have it

    cached = try_to_load_from_cache(model, file, revision=revision or "main")

    return Path(cached) if isinstance(cached, str) else None


def fetched_file(model: str, file: str, *, revision: str | None) -> Path | None:
    """A file of a model on the hub, from the local cache if it is there; None if the model does not
    have it.

    Raises what huggingface_hub raises if it cannot be had.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import RemoteEntryNotFoundError

    if (cached := cached_file(model, file, revision=revision)) is not None:
        return cached

    try:
        found = hf_hub_download(model, file, revision=revision, etag_timeout=_HUB_TIMEOUT_S)
    except RemoteEntryNotFoundError:
        return None

    return Path(found)


def check_hub(model: str, *, revision: str | None, what: str) -> None:
    """Ask the hub for the model. Raises BackendUnavailable if it cannot be had."""
    from huggingface_hub import HfApi

    try:
        HfApi().model_info(model, revision=revision, timeout=_HUB_TIMEOUT_S)
    except Exception as exc:
        raise BackendUnavailable(not_found(model, exc, what=what)) from exc


def not_found(model: str, exc: BaseException, *, what: str) -> str:
    """The message for a name that is neither here nor on the hub; `what` it should have named."""
    return (
        f"The {what} {model!r} is not a folder here, not complete in the hub's local cache, and "
        f"could not be fetched: {root_cause(exc)}. Check its name and the network, or name "
        "a folder."
    )


def content_revision(folder: Path, files: Iterable[Path], *, remembered: Path | None = None) -> str:
    """A name for the content of the files: it changes when any of them changes.

    Reads every byte, so gigabytes take seconds, unless the file `remembered`, which is kept up to
    date, has the hash of an unchanged file. Raises OSError for a file that cannot be read.
    """
    known = {} if remembered is None else _remembered(remembered)
    digests: dict[str, str] = {}
    whole = hashlib.sha256()
    for file in sorted(files):
        state = _state(file)
        digests[state] = digest = known.get(state) or _digest(file)
        whole.update(f"{digest}  {file.relative_to(folder).as_posix()}\n".encode())

    if remembered is not None and not digests.items() <= known.items():
        _remember(remembered, known | digests)

    return f"sha256:{whole.hexdigest()}"


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _state(file: Path) -> str:
    """A text that differs whenever the content may differ. It does not contain the path."""
    found = file.stat()

    return " ".join(
        map(str, (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns))
    )


def _remembered(file: Path) -> dict[str, str]:
    try:
        known = json.loads(file.read_bytes())
    except (OSError, ValueError):  # missing or incomplete: every file is then hashed again
        return {}

    return known if isinstance(known, dict) else {}


def _remember(file: Path, digests: dict[str, str]) -> None:
    try:
        with atomic_write(file) as unfinished:
            unfinished.write_text(json.dumps(digests), encoding="utf-8")
    except OSError as exc:
        log.warning("the hashes of the model's files cannot be remembered: %s", exc)
