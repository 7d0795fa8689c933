"""The recipes of docs/dataset.md, word for word, against a real Oxen server."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from storage.vote import Rating
from tests.support.remote import oxen_server
from tests.support.remote.bench import PATIENCE_S, open_store, vote
from tests.support.remote.oxen_server import ROOT, OxenServer

pytestmark = [oxen_server.needed, pytest.mark.stalls("starts processes")]

IN_THE_DOCS = "https://hub.example.org/my-team/votes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """A dataset that was pushed: set-0 by two voters, and then changes of three votes."""

    url: str
    dataset: Path
    before: str
    after: str


@pytest.fixture
async def pushed(tmp_path: Path) -> AsyncIterator[Pushed]:
    async with OxenServer.running(tmp_path / "server") as server:
        url = f"{server.url}/ox/votes"
        async with open_store(tmp_path / "data", url) as store:
            await vote(store, "set-0", voters=2)
            assert await store.settle(PATIENCE_S)
            before = (await store.status()).last_commit_id
            await store.vote("set-0-1", 1, Rating.BAD)
            await store.vote("set-0-2", 3, Rating.GOOD)
            await store.vote("set-0-3", 2, None)
            assert await store.settle(PATIENCE_S)
            after = (await store.status()).last_commit_id

        assert before is not None
        assert after is not None
        yield Pushed(url=url, dataset=tmp_path / "data" / "dataset", before=before, after=after)


@pytest.fixture
def reader(tmp_path: Path) -> Path:
    """A folder of somebody who reads the dataset."""
    folder = tmp_path / "reader"
    folder.mkdir()

    return folder


def recipe(pushed: Pushed) -> str:
    """The docs' Python, with this server, these commits and a part that exists."""
    text = (ROOT / "docs" / "dataset.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    code: str = next(block for block in blocks if IN_THE_DOCS in block)
    for written, meant in (
        (IN_THE_DOCS, pushed.url),
        ("<older commit>", pushed.before),
        ("<newer commit>", pushed.after),
        ("train/000/00042.csv", "train/000/00000.csv"),
    ):
        assert written in code
        code = code.replace(written, meant)

    return code


async def run(code: str, *, within: Path) -> tuple[int | None, str]:
    """A reader's Python there: exit status and output."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code),
        cwd=within,
        env={**os.environ, "OXEN_CONFIG_DIR": str(within / "config")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()

    return process.returncode, output.decode()


async def test_the_recipes_clone_the_tables_and_compare_votes(reader: Path, pushed: Pushed) -> None:
    more = """
rows = {(row["image_id"], row["voter_id"]): row for row in diff.tabular.data.to_dicts()}
assert {key: row["_oxen_diff_status"] for key, row in rows.items()} == {
    ("set-0-1", 1): "modified", ("set-0-2", 3): "added", ("set-0-3", 2): "removed"
}, rows
assert (rows["set-0-1", 1]["rating.left"], rows["set-0-1", 1]["rating.right"]) == ("good", "bad")
print("commits:", len(oxen.Repo(".").log()))
"""
    status, output = await run(recipe(pushed) + more, within=reader)

    assert status == 0, output
    mine = {path.relative_to(pushed.dataset): path for path in pushed.dataset.rglob("*.csv")}
    for name in ("tables", "tables-history"):
        theirs = {path.relative_to(reader / name): path for path in (reader / name).rglob("*.csv")}
        assert {part: path.read_bytes() for part, path in theirs.items()} == {
            part: path.read_bytes() for part, path in mine.items()
        }
        assert not (reader / name / "images").exists()

    assert int(output.rpartition("commits: ")[2]) >= 3


async def test_the_images_cannot_be_cloned_with_all_of_history(
    reader: Path, pushed: Pushed
) -> None:
    """The docs warn of it; when this fails, they need not any more."""
    status, output = await run(
        f"import oxen\noxen.clone({pushed.url!r}, 'part', filters=['images'], all=True)",
        within=reader,
    )

    assert status != 0
    assert "Merkle tree hash not found" in output
