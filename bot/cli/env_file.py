"""The option --env-file, and the settings that it leads to."""

import os
from pathlib import Path
from typing import Annotated

import typer

from bot.settings import Settings, SettingsError, load

EnvFile = Annotated[
    Path, typer.Option(help="File of settings; the environment wins over it.", show_default=True)
]
DEFAULT_ENV_FILE = Path(".env")


def settings_from(env_file: Path) -> Settings:
    """The settings. Raises SettingsError, also for a file that was named and does not exist."""
    if env_file != DEFAULT_ENV_FILE and not env_file.exists():
        raise SettingsError(f"{env_file} does not exist.")

    return load(os.environ, env_file)
