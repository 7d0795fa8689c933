"""`oxherd log --diff`: which rows and images came, went and changed between two commits."""

from collections.abc import Mapping
from pathlib import Path

from typer.testing import CliRunner, Result

from bot.commands import app
from storage.dataset.layout import arena_path, csv_file, shown_path, train_path
from storage.dataset.oxen import OxenRepository, OxenSettings
from storage.dataset.repository import Changes
from tests.support.storage.collected import Collected

OF_VOTES = ("image_id", "voter_id", "rating", "reasons")
OF_ARENA = ("pair_id", "voter_id", "prompt", "choice", "model_left")
OF_GENERATIONS = ("image_id", "set_id", "prompt", "withheld")

Cells = tuple[str, ...]


def diff(dataset: Path, commits: str) -> Result:
    return CliRunner().invoke(
        app, ["log", "--diff", commits, "--dataset", str(dataset)], env={"COLUMNS": "160"}
    )


def commit(
    repository: OxenRepository, *, votes: list[Cells], arena: list[Cells], generations: list[Cells]
) -> str:
    """All tables anew, as one commit; its id."""
    files: Mapping[str, bytes] = {
        train_path(0): csv_file(OF_VOTES, votes),
        arena_path(0): csv_file(OF_ARENA, arena),
        shown_path(0): csv_file(OF_GENERATIONS, generations),
    }
    repository.apply(Changes(files=files, images={}, removals=[]))
    commit_id = repository.commit("a test")
    assert commit_id is not None

    return commit_id


def test_rows_that_came_went_and_changed_are_listed(tmp_path: Path) -> None:
    repository = OxenRepository.open(
        OxenSettings(
            path=tmp_path / "dataset", config_dir=tmp_path / "oxen", journal_id="0123456789abcdef"
        )
    )
    same = ("same", "1", "good", "not given")
    before = commit(
        repository,
        votes=[same, ("reasoned", "1", "bad", "not given"), ("gone", "1", "good", "colours")],
        arena=[("pair", "1", "a fox", "left", "hidden")],
        generations=[("same", "s", "a fox", "no"), ("gone", "s", "a fox", "no")],
    )
    after = commit(
        repository,
        votes=[same, ("reasoned", "1", "bad", "hands"), ("same", "2", "bad", "text;hands")],
        arena=[("pair", "1", "a fox", "left", "red"), ("pair", "2", "a fox", "tie", "red")],
        generations=[("same", "s", "a fox", "classifier"), ("new", "t", "[red]wolf", "no")],
    )
    repository.close()

    done = diff(tmp_path / "dataset", f"{before}..{after}")

    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith(
        "1 vote came, 1 vote went, 1 vote changed; "
        "1 arena vote came, 0 arena votes went, 1 arena vote changed; "
        "0 images came, 1 image went; "
        "1 row of generations came, 1 row went, 1 row changed.\n"
    )
    assert [line.split() for line in done.stdout.splitlines()[1:]] == [
        *(["votes"], ["image", "voter", "before", "after"]),
        ["gone", "1", "rating:", "good", "-"],
        ["reasons:", "colours"],
        ["reasoned", "1", "reasons:", "not", "given", "reasons:", "hands"],
        ["same", "2", "-", "rating:", "bad"],
        ["reasons:", "text;hands"],
        *(["arena", "votes"], ["pair", "voter", "before", "after"]),
        ["pair", "1", "model_left:", "hidden", "model_left:", "red"],
        ["pair", "2", "-", "prompt:", "a", "fox"],
        ["choice:", "tie"],
        *(["rows", "of", "generations"], ["image", "before", "after"]),
        ["gone", "set_id:", "s", "-"],
        ["prompt:", "a", "fox"],
        ["new", "-", "set_id:", "t"],
        ["prompt:", "[red]wolf"],
        ["same", "withheld:", "no", "withheld:", "classifier"],
    ]


def test_the_other_way_round_what_came_went(collected: Collected) -> None:
    commits = (collected.first_commit, "HEAD")
    there, back = (diff(collected.dataset, "..".join(each)) for each in (commits, commits[::-1]))

    earlier = {f"set-{number:03d}" for number in range(18)}
    later = [vote for vote in collected.votes if vote.set_id not in earlier]
    assert f"{len(later)} votes came" in there.stdout
    assert f"{len({vote.image_id for vote in later})} images came" in there.stdout
    assert "72 rows of generations came, 0 rows went, 0 rows changed." in there.stdout
    assert f"{len(later)} votes went" in back.stdout


def test_what_is_no_pair_of_commits_is_a_usage_error(collected: Collected) -> None:
    assert diff(collected.dataset, "zzz").exit_code == 2
