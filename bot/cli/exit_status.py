"""How a command ends: one sentence on standard error, and an exit status for a supervisor."""

import sys
from enum import IntEnum
from typing import Any

import typer
from typer.core import TyperGroup

from bot.errors import (
    CannotConnect,
    CannotDemo,
    CannotReplay,
    CannotTune,
    ControlFailed,
    NotRunning,
    UnusableText,
)
from bot.settings import SettingsError
from storage.errors import RemoteHasData, RemoteUnavailable, RepositoryForeign, StorageError


class Exit(IntEnum):
    """Exit statuses; 75 and 78 are sysexits.h's EX_TEMPFAIL and EX_CONFIG."""

    FAILED = 1
    USAGE = 2
    TRY_LATER = 75
    SETTINGS = 78


class Commands(TyperGroup):
    """Commands whose known errors leave as one sentence. Unknown ones leave with a traceback."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]  # typer's is click's
        """Run the command. Ctrl-C is a stop as asked."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Exit from None
        except Exception as exc:
            status = _status_of(exc)
            if status is None:
                raise

            sys.stderr.write(f"oxherd: {exc}\n")
            raise typer.Exit(status) from exc


def _status_of(error: Exception) -> Exit | None:
    match error:
        case SettingsError() | RemoteHasData() | RepositoryForeign():
            return Exit.SETTINGS
        case CannotConnect() | RemoteUnavailable():
            return Exit.TRY_LATER
        case CannotReplay() | UnusableText():
            return Exit.USAGE
        case NotRunning() | ControlFailed() | CannotDemo() | CannotTune() | StorageError():
            return Exit.FAILED
        case _:
            return None
