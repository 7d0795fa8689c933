"""Writes docs/files.md and docs/settings.md from the code: `make docs`."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from bot.settings import PREFIX, Settings

ROOT = Path(__file__).parents[1]
PACKAGES = ("bot", "generation", "storage", "training", "benchmarks")

_FILES = """\
# Files

Written by `make docs` from the first lines of the code; do not edit. Tests are in `tests/`, one
file per promise, and their helpers in `tests/support/`.
"""

_SETTINGS = """\
# Settings

Written by `make docs` from `bot/settings.py`; do not edit.

oxherd reads its settings from the environment and from the file `.env` in the working directory;
the environment wins. An unknown `OXHERD_…` variable is an error that names the nearest known one.
An empty variable counts as not set.
"""


def files_page() -> str:
    """docs/files.md: each folder with its docstring, each module with its first line.

    Raises ValueError naming a module that has no docstring.
    """
    sections = [section for package in PACKAGES for section in _folders(ROOT / package)]

    return "\n".join([_FILES, *sections])


def settings_page() -> str:
    """docs/settings.md: each variable with its default and its description."""
    lines = ["| variable | default | what it is |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        lines.append(
            f"| `{PREFIX}{name.upper()}` | {_shown(field.default)} | {field.description} |"
        )

    return "\n".join([_SETTINGS, *lines, ""])


def main() -> None:
    """Write both pages."""
    try:
        pages = {"files.md": files_page(), "settings.md": settings_page()}
    except ValueError as exc:
        sys.exit(str(exc))

    for name, text in pages.items():
        (ROOT / "docs" / name).write_text(text, encoding="utf-8")


def _folders(folder: Path) -> Iterator[str]:
    """The section of a folder, then those of the folders in it."""
    modules = sorted(folder.glob("*.py"))
    if not modules:
        return

    lines = [f"## {folder.relative_to(ROOT)}", ""]
    if (package := folder / "__init__.py") in modules:
        modules.remove(package)
        lines += [_docstring(package), ""]

    if modules:
        lines += ["| file | what it is |", "| --- | --- |"]
        lines += [f"| `{module.name}` | {_first_line(module)} |" for module in modules]
        lines.append("")

    yield "\n".join(lines)

    for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
        yield from _folders(inner)


def _first_line(module: Path) -> str:
    return _docstring(module).partition("\n")[0].replace("|", "\\|")


def _docstring(module: Path) -> str:
    text = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8")))
    if not text:
        raise ValueError(
            f"{module.relative_to(ROOT)} has no docstring: its first line says what it is."
        )

    return text


def _shown(default: object) -> str:
    """A default as an operator would write it; nothing where there is none."""
    if default in (None, ()):
        return ""

    if isinstance(default, tuple):
        return f"`{','.join(map(str, default))}`"

    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


if __name__ == "__main__":
    main()
