"""The one door to Oxen: what is refused, what is translated, what is left alone."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import oxen
import pytest

from storage.dataset.card import CardFacts
from storage.dataset.oxen import OxenRepository, OxenSettings, moment
from storage.dataset.oxen_errors import translated
from storage.dataset.repository import Changes
from storage.errors import (
    RepositoryError,
    RepositoryForeign,
    RepositoryInUse,
)
from tests.support.storage.data import files_below


def settings(root: Path, **changes: object) -> OxenSettings:
    values: dict[str, object] = {
        "path": root / "dataset",
        "config_dir": root / "config",
        "journal_id": "0",
    }

    return OxenSettings(**(values | changes))  # type: ignore[arg-type] # names from above


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2026-11-23 17:25:37.280482962 +00:00:00", "2026-11-23T17:25:37.280482+00:00"),
        ("2026-11-26 0:15:40.266920601 +00:00:00", "2026-11-26T00:15:40.266920+00:00"),
        ("2026-11-26 9:05:04.0 +00:00:00", "2026-11-26T09:05:04+00:00"),
    ],
)
def test_a_commit_s_time_is_read_at_any_hour(written: str, meant: str) -> None:
    assert moment(written).isoformat() == meant


def test_a_new_repository_holds_cards_and_nothing_else(tmp_path: Path) -> None:
    facts = CardFacts(title="Foxes", licence="CC-BY-4.0")

    OxenRepository.open(settings(tmp_path, card=facts)).close()

    files = files_below(tmp_path / "dataset")
    assert sorted(files) == ["README.md", "generations/README.md", "train/README.md"]
    for fact in (b"# Foxes", b"CC-BY-4.0"):
        assert fact in files["README.md"]


def test_a_changed_card_is_committed_once(tmp_path: Path) -> None:
    OxenRepository.open(settings(tmp_path)).close()

    for _ in range(2):
        changed = OxenRepository.open(settings(tmp_path, card=CardFacts(licence="CC0-1.0")))
        commits = [commit.message for commit in changed.log(10)]
        changed.close()

    assert commits == ["dataset card", "dataset card"]


@pytest.mark.parametrize("harm", [Path.unlink, lambda card: card.write_bytes(b"")])
def test_a_card_that_is_empty_or_gone_is_written_anew(
    tmp_path: Path, harm: Callable[[Path], object]
) -> None:
    OxenRepository.open(settings(tmp_path)).close()
    card = tmp_path / "dataset" / "README.md"
    text = card.read_text(encoding="utf-8")
    harm(card)

    with pytest.raises(RepositoryForeign, match="a different journal"):
        OxenRepository.open(settings(tmp_path, journal_id="1"))

    harm(card)
    OxenRepository.open(settings(tmp_path)).close()

    assert card.read_text(encoding="utf-8") == text


def test_a_card_that_only_the_disk_has_is_committed_again(tmp_path: Path) -> None:
    OxenRepository.open(settings(tmp_path)).close()
    card = tmp_path / "dataset" / "README.md"
    text = card.read_text(encoding="utf-8")
    repo = oxen.Repo(str(tmp_path / "dataset"))
    repo.rm("README.md")
    repo.commit("as after a power cut")
    del repo
    card.write_text(text, encoding="utf-8")

    repository = OxenRepository.open(settings(tmp_path))
    card.unlink()

    assert repository.log(1)[0].message == "dataset card"
    assert repository.holds("README.md")
    repository.close()
    assert card.read_text(encoding="utf-8") == text


def test_a_repository_half_made_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "dataset.new" / ".oxen").mkdir(parents=True)
    (tmp_path / "dataset").mkdir()

    OxenRepository.open(settings(tmp_path)).close()

    assert not (tmp_path / "dataset.new").exists()


def test_a_folder_with_something_else_in_it_is_foreign(tmp_path: Path) -> None:
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "thesis.txt").write_text("mine", encoding="utf-8")

    with pytest.raises(RepositoryForeign, match=r"no \.oxen folder"):
        OxenRepository.open(settings(tmp_path))

    assert (tmp_path / "dataset" / "thesis.txt").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("card", [None, "# My own dataset\n"], ids=["no card", "another card"])
def test_a_repository_made_by_something_else_is_foreign(tmp_path: Path, card: str | None) -> None:
    OxenRepository.open(settings(tmp_path / "ours")).close()  # tells Oxen who commits
    (tmp_path / "dataset").mkdir()
    repo = oxen.Repo(str(tmp_path / "dataset"))
    repo.init()
    (tmp_path / "dataset" / ("README.md" if card else "thesis.txt")).write_text(
        card or "mine", encoding="utf-8"
    )
    repo.add(str(tmp_path / "dataset"))
    repo.commit("mine")
    del repo

    with pytest.raises(RepositoryForeign, match="mark"):
        OxenRepository.open(settings(tmp_path))


def test_a_dataset_made_from_another_journal_is_foreign(tmp_path: Path) -> None:
    OxenRepository.open(settings(tmp_path)).close()

    with pytest.raises(RepositoryForeign, match="a different journal"):
        OxenRepository.open(settings(tmp_path, journal_id="1"))


def test_a_repository_that_another_process_has_open_is_in_use(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from storage.dataset.oxen import *;"
        "root = Path(sys.argv[1]);"
        "OxenRepository.open(OxenSettings(path=root / 'dataset', config_dir=root, journal_id='0'));"
        "print('opened', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert b"opened\n" in iter(other.stdout.readline, b"")

        with pytest.raises(RepositoryInUse):
            OxenRepository.open(settings(tmp_path))

        other.stdin.close()

    OxenRepository.open(settings(tmp_path)).close()


def test_nothing_is_written_into_the_operator_s_home(tmp_path: Path) -> None:
    OxenRepository.open(settings(tmp_path)).close()

    assert os.environ["OXEN_CONFIG_DIR"] == str(tmp_path / "config")
    assert [path.name for path in (tmp_path / "config").iterdir()] == ["user_config.toml"]


@pytest.mark.parametrize(
    ("said", "ours", "sentence"),
    [
        (
            ValueError("IO error: While lock file: /x/LOCK: Resource temp"),
            RepositoryInUse,
            "Close it",
        ),
        (
            ValueError("write failed: No space left on device (os error 28)"),
            RepositoryError,
            "is full",
        ),
        (ValueError("MDB_MAP_FULL: Environment mapsize limit reached"), RepositoryError, "is full"),
        (OSError(errno.ENOSPC, "No space"), RepositoryError, "is full"),
        (ValueError("503 Service Unavailable"), RepositoryError, "tried again"),
        (Exception(""), RepositoryError, "tried again"),
    ],
    ids=["lock", "disk full", "database full", "no space", "anything else", "silence"],
)
def test_what_oxen_says_becomes_one_of_our_errors(
    said: Exception, ours: type[RepositoryError], sentence: str
) -> None:
    error = translated(said, path=Path("/data/dataset"), doing="committing")

    assert type(error) is ours
    assert sentence in str(error)


def test_files_of_a_folder_are_added_together_and_no_others_with_them(tmp_path: Path) -> None:
    folder = tmp_path / "dataset" / "images" / "000" / "00000"
    repository = OxenRepository.open(settings(tmp_path))
    for burst in ("ab", "cd"):
        spooled = {}
        for name in (f"{burst}{number}" for number in range(4)):
            source = tmp_path / name
            source.write_bytes(name.encode())
            spooled[f"images/000/00000/{name}.png"] = source

        repository.apply(Changes(files={}, images=spooled, removals=()))
        repository.commit(burst)
        (folder / "notes.txt").write_text("mine", encoding="utf-8")
        (folder / "ab0.png").unlink(missing_ok=True)

    repository.close()

    status = oxen.Repo(str(tmp_path / "dataset")).status()
    assert "notes.txt" in str(status)
    assert status.added_files() == []
    assert status.removed_files() == []
    assert not (tmp_path / "dataset" / ".oxenignore").exists()
    assert OxenRepository.open(settings(tmp_path)).holds("images/000/00000/ab0.png")


def test_many_images_leave_a_folder_and_come_back_in_one_call_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "dataset" / "images" / "000" / "00000"
    spooled = {}
    for name in (f"image{number}" for number in range(8)):
        source = tmp_path / name
        source.write_bytes(name.encode())
        spooled[f"images/000/00000/{name}.png"] = source

    leaving = list(spooled)[:5]
    coming = {path: spooled[path] for path in leaving}
    first = OxenRepository.open(settings(tmp_path))
    first.apply(Changes(files={}, images=spooled, removals=()))
    first.commit("all")
    first.close()
    calls: list[str] = []
    for name in ("add", "rm"):
        monkeypatch.setattr(oxen.Repo, name, counted(getattr(oxen.Repo, name), calls))

    for changes in (
        Changes(files={}, images={}, removals=leaving),
        Changes(files={}, images=coming, removals=()),
    ):
        repository = OxenRepository.open(settings(tmp_path))  # which knows no folder's content
        (folder / "notes.txt").write_text("mine", encoding="utf-8")
        (folder / "image7.png").unlink()
        calls.clear()
        repository.apply(changes)
        repository.commit("some")
        held = [path for path in spooled if repository.holds(path)]
        repository.close()

        status = oxen.Repo(str(tmp_path / "dataset")).status()
        assert "notes.txt" in str(status)
        assert (status.added_files(), status.removed_files()) == ([], [])
        assert held == [path for path in spooled if changes.images or path not in leaving]
        assert calls == ["add"]


def counted(call: Callable[..., Any], calls: list[str]) -> Callable[..., Any]:
    def counting(*arguments: Any, **options: Any) -> Any:
        calls.append(call.__name__)
        return call(*arguments, **options)

    return counting


def test_a_kill_while_oxen_removes_its_staging_area_is_mended_by_opening(tmp_path: Path) -> None:
    repository = OxenRepository.open(settings(tmp_path))
    changes = Changes(files={"train/00000.csv": b"a,b\n1,2\n"}, images={}, removals=())
    repository.apply(changes)
    repository.close()
    staged = tmp_path / "dataset" / ".oxen" / "staged"
    remains = [file for file in staged.iterdir() if file.name not in ("CURRENT", "LOCK")]
    assert remains, "oxen stages elsewhere now"
    for file in staged.iterdir():
        if file.name.startswith("MANIFEST") or file.suffix in (".sst", ".log"):
            file.write_bytes(b"half removed")

    mended = OxenRepository.open(settings(tmp_path))
    mended.apply(changes)
    commit_id = mended.commit("after the kill")
    mended.close()

    assert commit_id is not None
