"""A host continues a remote's dataset only when it is told to, or when it made it."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from bot.cli.exit_status import Exit, _status_of
from storage import offline
from storage.dataset.card import CardFacts, render
from storage.dataset.memory import MemoryRepository
from storage.errors import RemoteError, RemoteHasData, RemoteUnavailable
from storage.folder import DataFolder
from storage.journal.thread import JournalThread
from storage.remote.pusher import Remote
from storage.remote.settings import RemoteSettings
from storage.store import VoteStore
from storage.vote import Rating, VoteKind
from tests.support.remote.scripted_remote import ScriptedProcess, ScriptedRemote
from tests.support.storage.data import NOON, a_set
from tests.support.storage.desk import Desk

pytestmark = pytest.mark.stalls("many short threads; the bot's own loop is watched elsewhere")

THEIRS = "abcdef0123456789"
SETTINGS = RemoteSettings.at("http://127.0.0.1:1/ox/votes", branch="main", token="", create=True)


def their_dataset(root: Path) -> Mapping[str, bytes]:
    """What another host pushed: four images, one with a vote."""
    repository = MemoryRepository()
    with Desk.open(DataFolder(root), lambda: repository) as desk:
        first, *_ = desk.show("set-0")
        desk.vote(first, 1, Rating.GOOD)
        desk.settle()

    card = render(CardFacts(), journal_id=THEIRS)
    tables = {p: c for p, c in repository.files.items() if not p.startswith("images/")}

    return {**tables, "README.md": card.encode()}


@pytest.fixture
def server(tmp_path: Path) -> ScriptedRemote:
    return ScriptedRemote(branches={"main": 1}, dataset=their_dataset(tmp_path / "theirs"))


def remote(server: ScriptedRemote) -> Remote:
    return Remote(settings=SETTINGS, start=lambda: ScriptedProcess(server))


async def start(data: Path, server: ScriptedRemote) -> None:
    """Start and stop a store."""
    async with VoteStore.open(
        data,
        repository=MemoryRepository(),
        keep_unvoted=timedelta(days=30),
        remote=remote(server),
    ):
        pass


async def test_a_first_start_beside_a_remote_with_data_is_refused(
    tmp_path: Path, server: ScriptedRemote
) -> None:
    with pytest.raises(RemoteHasData, match="run `oxherd take-over` here") as refused:
        await start(tmp_path / "here", server)

    assert _status_of(refused.value) is Exit.SETTINGS
    assert server.branches == {"main": 1}, "it pushed"
    assert not DataFolder(tmp_path / "here").dataset.exists()
    assert not DataFolder(tmp_path / "here").fetched.exists()


async def test_a_dataset_that_holds_only_its_card_makes_no_difference(
    tmp_path: Path, server: ScriptedRemote
) -> None:
    """`doctor` and `log` make one."""
    DataFolder(tmp_path / "here").dataset.mkdir(parents=True)

    with pytest.raises(RemoteHasData):
        await start(tmp_path / "here", server)

    taken = await offline.take_over(tmp_path / "here", remote(server))
    assert taken.adopted.votes == 1


async def test_a_dataset_that_lost_its_journal_is_neither_continued_nor_deleted(
    tmp_path: Path, server: ScriptedRemote
) -> None:
    here = DataFolder(tmp_path / "here")
    here.dataset.mkdir(parents=True)
    card = render(CardFacts(), journal_id=THEIRS)
    (here.dataset / "README.md").write_text(card, encoding="utf-8")
    (here.dataset / "an-image.png").write_bytes(b"png")

    await start(here.root, server)  # a real dataset is refused by its writer
    await offline.take_over(here.root, remote(server))

    assert (here.set_aside / "dataset-1" / "an-image.png").read_bytes() == b"png"


async def test_take_over_continues_it(tmp_path: Path, server: ScriptedRemote) -> None:
    here = DataFolder(tmp_path / "here")
    taken = await offline.take_over(here.root, remote(server))
    async with JournalThread.open(here.journal) as journal:
        again = await journal.run(lambda j: j.vote("set-0-1", 1, Rating.GOOD, now=NOON))
        journal_id = await journal.run(lambda j: j.id())

    assert (taken.branch, taken.adopted.votes, taken.adopted.shown) == ("main", 1, 4)
    assert again.kind is VoteKind.UNCHANGED
    assert journal_id == THEIRS
    assert (here.dataset / "README.md").exists()
    await start(here.root, server)


async def test_a_remote_without_a_dataset_lets_the_first_start_make_one(tmp_path: Path) -> None:
    empty = ScriptedRemote()
    await start(tmp_path / "here", empty)

    with pytest.raises(RemoteError, match="no dataset of oxherd in the branch main"):
        await offline.take_over(tmp_path / "new", remote(empty))


async def test_a_host_that_saw_a_free_remote_starts_without_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    here, down = DataFolder(tmp_path / "here"), RemoteUnavailable.while_("pushing", reason="down")
    server = ScriptedRemote(failures=[down] * 100)
    await start(here.root, server)
    here.dataset.mkdir()  # its writer has made it, and nothing was pushed

    server.unreachable = True
    await start(here.root, server)

    assert "so this one is continued" in caplog.text


async def test_a_host_that_never_saw_the_remote_does_not_start_without_it(tmp_path: Path) -> None:
    here, server = DataFolder(tmp_path / "here"), ScriptedRemote(unreachable=True)
    here.dataset.mkdir(parents=True)  # `doctor` made it

    with pytest.raises(RemoteUnavailable) as refused:
        await start(here.root, server)

    assert _status_of(refused.value) is Exit.TRY_LATER


async def test_a_free_remote_says_nothing_about_a_different_one(tmp_path: Path) -> None:
    here, server = DataFolder(tmp_path / "here"), ScriptedRemote()
    async with JournalThread.open(here.journal) as journal:
        await journal.run(lambda j: j.remote.set("http://first", branch="main", now=NOON))
        await journal.run(lambda j: j.remote.mark_free(now=NOON))

    here.dataset.mkdir(parents=True)
    server.unreachable = True
    with pytest.raises(RemoteUnavailable):
        await start(here.root, server)


async def test_a_host_with_requests_takes_over_nothing(
    tmp_path: Path, server: ScriptedRemote
) -> None:
    here = DataFolder(tmp_path / "here")
    async with JournalThread.open(here.journal) as journal:
        await journal.run(lambda j: j.add_request(a_set(), now=NOON))

    with pytest.raises(RemoteError, match="has requests of its own"):
        await offline.take_over(here.root, remote(server))
