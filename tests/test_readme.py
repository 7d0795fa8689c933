"""The README tells the truth about settings and files."""

import re
from pathlib import Path

from bot.settings import PREFIX, Settings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def settings_table() -> str:
    """The table of settings, made from the settings themselves."""
    lines = ["| variable | default | what it is |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        default = field.default
        shown = ",".join(default) if isinstance(default, tuple) else default
        cell = "" if default in (None, ()) else f"`{_plain(shown)}`"
        lines.append(f"| `{PREFIX}{name.upper()}` | {cell} | {field.description} |")

    return "\n".join(lines)


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def test_the_table_of_settings_is_complete_and_right() -> None:
    assert settings_table() in README, settings_table()


def test_every_file_in_the_tree_exists_and_every_module_is_in_it() -> None:
    tree = re.search(r"```text\n(bot/.*?)```", README, re.DOTALL)
    assert tree is not None
    folder, named = "", set()
    for line in tree[1].splitlines():
        if match := re.match(r"(\w+/)", line):
            folder = match[1]
        elif match := re.match(r"  ([\w.]+\.py)\s+\S", line):
            named.add(folder + match[1])

    present = {
        f"{package}/{path.name}"
        for package in ("bot", "generation", "storage")
        for path in (ROOT / package).glob("*.py")
        if path.name != "__init__.py"
    }
    assert named == present


def test_every_linked_file_exists() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
