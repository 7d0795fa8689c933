"""What is done to the dataset and the journal: by the running bot, or from the disk."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from bot.cli import control
from bot.configuration import remote, repository_settings
from bot.errors import NotRunning
from bot.settings import Settings, SettingsError
from storage import offline
from storage.dataset.repository import CommitInfo
from storage.folder import DataFolder
from storage.journal.watermark import Refounded
from storage.people import Forgotten
from storage.refound import refound as make_anew
from storage.remote.rebuild import Adopted
from storage.remote.takeover import TakenOver


def snapshot(settings: Settings) -> str | None:
    """Write train.csv; the id of its commit, or None if it was up to date.

    Raises NotRunning when there is no dataset, ControlFailed, and StorageError.
    """
    try:
        return asyncio.run(control.snapshot(settings.data))
    except NotRunning:
        _require_dataset(settings)

        return offline.snapshot(settings.data, repository_settings(settings))


def log(settings: Settings, *, limit: int) -> Sequence[CommitInfo]:
    """The last commits, newest first. Raises what `snapshot` raises."""
    try:
        return asyncio.run(control.log(settings.data, limit=limit))
    except NotRunning:
        _require_dataset(settings)

        return offline.log(settings.data, repository_settings(settings), limit=limit)


def backup(settings: Settings, target: Path) -> None:
    """Copy the data folder to `target`. Raises NotRunning when there is no dataset, ControlFailed,
    and StorageError."""
    try:
        asyncio.run(control.backup(settings.data, target.absolute()))
    except NotRunning:
        _require_dataset(settings)
        offline.backup(settings.data, target)


def forget(settings: Settings, user_id: int, *, requests: bool) -> Forgotten:
    """Take a person out. Raises NotRunning when there is no dataset, ControlFailed, and
    StorageError."""
    try:
        return asyncio.run(control.forget(settings.data, user_id, requests=requests))
    except NotRunning:
        _require_dataset(settings)

        return offline.forget(settings.data, user_id, requests=requests)


def set_consent_text(settings: Settings, guild_id: int, text: str) -> int:
    """Set the text that people of the server have to agree to; its version. Raises ControlFailed
    and StorageError."""
    try:
        return asyncio.run(control.set_consent_text(settings.data, guild_id, text))
    except NotRunning:
        _require_dataset(settings)

        return offline.set_consent_text(settings.data, guild_id, text)


def refound(settings: Settings) -> Refounded:
    """Make the dataset anew. Raises NotRunning when there is none, and StorageError."""
    _require_dataset(settings)

    return make_anew(settings.data, repository_settings(settings))


def rebuild_journal(settings: Settings) -> Adopted:
    """Make the journal anew from the dataset. Raises NotRunning when there is no dataset, and
    StorageError."""
    _require_dataset(settings)

    return offline.rebuild_journal(settings.data, repository_settings(settings))


def take_over(settings: Settings) -> TakenOver:
    """Continue the remote's dataset on this host, which has no votes.

    Raises SettingsError when no remote is set, and StorageError.
    """
    where = remote(settings)
    if where is None:
        raise SettingsError("OXHERD_REMOTE is not set: it names the repository to continue.")

    return asyncio.run(offline.take_over(settings.data, where))


def _require_dataset(settings: Settings) -> None:
    """Opening a dataset would make one."""
    if not DataFolder(settings.data).dataset.is_dir():
        raise NotRunning(
            f"There is no dataset in {settings.data}; the bot makes it when it starts. "
            "OXHERD_DATA names the folder."
        )
