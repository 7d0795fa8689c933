"""The docs tell the truth about files and settings, and the tree stays easy to read."""

import re
from pathlib import Path

import pytest

from docs.generate import files_page, models_page, settings_page

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
MOST_MODULES = 15


def test_the_page_of_files_is_up_to_date() -> None:
    assert (ROOT / "docs/files.md").read_text(encoding="utf-8") == files_page(), (
        "docs/files.md is stale: run `make docs` (python -m docs.generate) and commit it"
    )


def test_the_page_of_models_is_up_to_date() -> None:
    assert (ROOT / "docs/models.md").read_text(encoding="utf-8") == models_page(), (
        "docs/models.md is stale: run `make docs` (python -m docs.generate) and commit it"
    )


def test_the_page_of_settings_is_up_to_date() -> None:
    assert (ROOT / "docs/settings.md").read_text(encoding="utf-8") == settings_page(), (
        "docs/settings.md is stale: run `make docs` (python -m docs.generate) and commit it"
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_linked_file_exists(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_named_file_exists(page: Path) -> None:
    folders = "bot|docs|generation|locks|scripts|storage|tests|training"

    for named in re.findall(rf"`((?:{folders})/[\w./-]*)`", page.read_text(encoding="utf-8")):
        assert (ROOT / named).exists(), f"{page.name} names {named}"


@pytest.mark.parametrize("package", ["bot", "generation", "storage"])
def test_no_folder_has_more_modules_than_a_reader_takes_in(package: str) -> None:
    for folder in {path.parent for path in (ROOT / package).rglob("*.py")}:
        modules = [path for path in folder.glob("*.py") if path.name != "__init__.py"]

        assert len(modules) <= MOST_MODULES, (
            f"{folder.relative_to(ROOT)} has {len(modules)} modules side by side, and at most "
            f"{MOST_MODULES} are allowed: make a folder for the ones that belong together"
        )
