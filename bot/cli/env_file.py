"""The option --env-file, the settings that it leads to, and the environment without tokens."""

import os
from pathlib import Path
from typing import Annotated

import typer

from bot.settings import TOKENS, Settings, SettingsError, load

EnvFile = Annotated[
    Path, typer.Option(help="File of settings; the environment wins over it.", show_default=True)
]
DEFAULT_ENV_FILE = Path(".env")


def settings_from(env_file: Path) -> Settings:
    """The settings; the tokens are then hidden.

    Raises SettingsError, also for a file that was named and does not exist.
    """
    if env_file != DEFAULT_ENV_FILE and not env_file.exists():
        raise SettingsError(f"{env_file} does not exist.")

    settings = load(os.environ, env_file)
    hide_tokens()

    return settings


def hide_tokens() -> None:
    """Remove the tokens from the environment, which every process started later inherits."""
    for name in TOKENS:
        os.environ.pop(name, None)
