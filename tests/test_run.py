"""`oxherd run` as an operator meets it: the whole program against the stand-in for Discord."""

import asyncio
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from discord.http import Route
from typer.testing import CliRunner

from bot.chat.custom_ids import VoteId
from bot.commands import app
from storage.dataset.memory import MemoryRepository
from storage.dataset.writer_process import RepositorySettings
from storage.journal.file import JournalFile
from storage.store import VoteStore
from storage.vote import Rating
from tests.support.discord.payloads import Message
from tests.support.discord.stub import DiscordStub
from tests.support.discord.whole_program import QUICK, ROOT, WholeProgram, family, role
from tests.support.discord.world import dataset_rows
from tests.support.remote.bench import show

pytestmark = pytest.mark.stalls("starts processes; the bot is a process of its own")

PATIENCE_S = 100.0
ALICE, BOB = 2_000_000_000_000_000_001, 2_000_000_000_000_000_002
TOKEN = ".".join(["M" * 26, "G" * 6, "x" * 38])
NOBODY = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def no_env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands run in a folder without a file of settings."""
    monkeypatch.chdir(tmp_path)


@asynccontextmanager
async def running(data: Path, **settings: str) -> AsyncIterator[tuple[DiscordStub, WholeProgram]]:
    """The stand-in, and the program connected to it."""
    async with (
        DiscordStub.open() as stub,
        WholeProgram.running(stub, data, settings={**QUICK, **settings}) as program,
    ):
        yield stub, program


async def images(stub: DiscordStub, prompt: str = "a fox") -> Message:
    """What /imagine ends in."""
    interaction = await stub.command(ALICE, "imagine", prompt=prompt)

    return await asyncio.wait_for(interaction.posted, PATIENCE_S)


async def vote(stub: DiscordStub, message: Message, *, member: int = BOB, button: int = 0) -> str:
    """Press one of the vote buttons; the last line of what the member reads."""
    custom_ids = [c for c in message.buttons if VoteId.PATTERN.fullmatch(c)]
    interaction = await stub.press(member, message, custom_ids[button])

    return (await asyncio.wait_for(interaction.answered, PATIENCE_S)).content.splitlines()[-1]


async def problems(program: WholeProgram) -> list[str]:
    """What `status --check` would print."""
    status = await program.status()
    assert status is not None

    return list(status.problems)


def opened(
    data: Path, repository: RepositorySettings | MemoryRepository
) -> AbstractAsyncContextManager[VoteStore]:
    """The storage alone, in this process."""
    return VoteStore.open(data, repository=repository, keep_unvoted=timedelta(days=7))


def oxherd(*arguments: str, data: Path) -> tuple[int, str, str]:
    """A command in this process: exit status, standard output, standard error."""
    settings = {**QUICK, "OXHERD_DATA": str(data), "OXHERD_TOKEN": TOKEN}
    done = CliRunner().invoke(app, arguments, env=settings)
    assert isinstance(done.exception, SystemExit | None), done.exc_info

    return done.exit_code, done.stdout, done.stderr


async def another_shell(*arguments: str, data: Path, url: str = NOBODY) -> tuple[int, str, str]:
    """The same in a process of its own. url: of the stand-in for Discord."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.discord.launch", *arguments),
        cwd=data.parent,
        env={
            **os.environ,
            **QUICK,
            "OXHERD_DATA": str(data),
            "OXHERD_TOKEN": TOKEN,
            "PYTHONPATH": str(ROOT),
            "STUB_URL": url,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    assert process.returncode is not None
    assert b"Traceback" not in out + err

    return process.returncode, out.decode(), err.decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
async def test_a_stop_flushes_the_votes_and_exits_with_zero(
    tmp_path: Path, number: signal.Signals
) -> None:
    data = tmp_path / "data"
    async with running(data) as (stub, program):
        message = await images(stub)
        told = await vote(stub, message)

        program.process.send_signal(number)
        status = await asyncio.wait_for(program.process.wait(), PATIENCE_S)

    assert status == 0
    assert told == "👍 recorded for image 1."
    assert len(dataset_rows(data, "train")) == 1
    log = program.log_end(lines=1000)
    assert "Traceback" not in log
    assert re.search(r"INFO +storage\.dataset\.committer: committed the changes", log), log


async def test_a_running_request_gets_its_time_when_the_bot_stops(tmp_path: Path) -> None:
    data = tmp_path / "data"
    slow = {"OXHERD_PLACEHOLDER_STEP_SECONDS": "0.4", "OXHERD_SHUTDOWN_GRACE_S": "30"}
    async with running(data, **slow) as (stub, program):
        await images(stub)
        asked = await stub.command(ALICE, "imagine", prompt="a fox")
        late = await stub.command(BOB, "imagine", prompt="an owl")
        await asyncio.gather(asked.acknowledged, late.acknowledged)

        status = await program.stop()

        assert status == 0
        assert len(asked.posted.result().attachments) == 4
        assert late.original is not None
        assert "I am restarting" in json.dumps(late.original.components)


async def test_the_status_can_be_read_from_another_shell(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with running(data) as (stub, program):
        await vote(stub, await images(stub))
        await program.settled(within_s=PATIENCE_S)

        healthy = await another_shell("status", "--check", data=data)
        table, state, log, snapshot = [
            await asyncio.to_thread(oxherd, *command.split(), data=data)
            for command in ("status", "status --json", "log", "snapshot")
        ]

        assert healthy == (0, "", "")
        assert others_can_read(data) == []
        assert inherited_tokens(program) == []
        assert not [name for name in mapped(program) if "torch" in name or "oxen_py" in name]
        for word in ("connected", "queue", "worker cpu", "idle", "votes waiting", "last commit"):
            assert word in table[1]
        assert json.loads(state[1])["votes"]["waiting"] == 0
        assert json.loads(state[1])["problems"] == []
        assert "1 vote: 1 good, 0 bad, on 1 image" in log[1]
        assert "a fox" not in log[1]
        assert "train.csv" in snapshot[1]
        assert (data / "dataset" / "train.csv").read_text().count("\n") == 2


def others_can_read(data: Path) -> list[Path]:
    """Files and folders of the data folder that are open to other users of the host."""
    return [path for path in (data, *data.rglob("*")) if path.lstat().st_mode & 0o077]


def mapped(program: WholeProgram) -> set[str]:
    """The names of the libraries in the memory of the bot's process."""
    process = psutil.Process(program.process.pid)

    return {Path(library.path).name for library in process.memory_maps()}


def inherited_tokens(program: WholeProgram) -> list[str]:
    """Processes beside the bot that have its token in their environment."""
    children = [p for p in family(program.data) if p.pid != program.process.pid]
    assert len(children) >= 3, "a worker, a writer, and multiprocessing's resource tracker"

    return [role(process) for process in children if "OXHERD_TOKEN" in process.environ()]


async def test_health_fails_while_a_part_is_gone_and_lost_processes_are_replaced(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    async with running(data) as (stub, program):
        for who in ("worker", "writer"):
            [victim] = [process for process in family(data) if role(process) == who]

            victim.kill()

            async with asyncio.timeout(PATIENCE_S):
                while not any(who in p for p in await problems(program)):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)

                while await problems(program):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)

        await stub.hang_up()

        status, said, _ = await another_shell("status", "--check", data=data)

        assert status == 1
        assert "The gateway is not connected." in said


async def test_a_second_bot_on_the_folder_is_refused_with_a_sentence(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with opened(data, MemoryRepository()):
        status, _, said = await another_shell("run", data=data)

    assert status == 1
    assert f"process {os.getpid()}" in said
    assert said.count("\n") == 1


async def test_offline_commands_answer_when_no_bot_runs(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with opened(data, RepositorySettings()) as store:
        images = await show(store, "set-0")
        await store.vote(images[0], BOB, Rating.GOOD)

    snapshot = await asyncio.to_thread(oxherd, "snapshot", data=data)
    log = await asyncio.to_thread(oxherd, "log", data=data)

    assert snapshot[0] == 0
    assert "1 vote" in log[1]
    assert "snapshot" in log[1]
    assert (data / "dataset" / "train.csv").read_text().count("\n") == 2


async def test_a_token_that_discord_refuses_is_a_sentence(tmp_path: Path) -> None:
    async with DiscordStub.open() as stub:
        status, _, said = await another_shell("run", data=tmp_path / "data", url=stub.url)

    assert status == 78
    assert said.endswith(
        "oxherd: Discord does not accept OXHERD_TOKEN. It may have been reset: copy the current "
        "one from the developer portal (your application, Bot, Reset Token).\n"
    )


def test_discord_away_asks_the_supervisor_to_try_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Route, "BASE", NOBODY)

    status, _, said = oxherd("run", data=tmp_path / "data")

    assert status == 75
    assert "oxherd: Discord could not be reached" in said


@pytest.mark.parametrize("what", ["foreign", "newer", "damaged"])
def test_a_journal_that_is_not_ours_is_left_alone(tmp_path: Path, what: str) -> None:
    data = tmp_path / "data"
    data.mkdir()
    journal = data / "journal.sqlite3"
    if what == "damaged":
        journal.write_bytes(b"not a database" * 100)
    else:
        with JournalFile.open(journal):
            pass
        with _database(journal) as database:
            database.execute(
                "PRAGMA application_id = 1" if what == "foreign" else "PRAGMA user_version = 999"
            )
    before = journal.read_bytes()

    status, _, said = oxherd("run", data=data)

    assert status == 1
    assert str(journal) in said
    assert journal.read_bytes() == before


def test_a_repository_made_by_something_else_is_left_alone(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "dataset").mkdir(parents=True)
    (data / "dataset" / "README.md").write_text("mine")

    status, _, said = oxherd("run", data=data)

    assert status == 78
    assert "was not made by oxherd" in said
    assert (data / "dataset" / "README.md").read_text() == "mine"


async def test_a_full_disk_refuses_votes_and_loses_none(small_disk: Path) -> None:
    data = small_disk / "data"
    async with running(data) as (stub, program):
        message = await images(stub)
        before = await vote(stub, message, button=0)
        await program.settled(within_s=PATIENCE_S)

        filler = small_disk / "filler"
        _fill(filler)
        # What is already allocated may still hold a few votes.
        told = [await vote(stub, message, member=BOB + n, button=2) for n in range(1, 200)]
        filler.unlink()
        after = await vote(stub, message, button=3)
        await program.settled(within_s=PATIENCE_S)

    recorded = [text for text in [before, *told, after] if "recorded for image" in text]
    assert any("My disk is full, so **nothing was recorded**" in text for text in told)
    assert before in recorded
    assert after in recorded
    assert len(dataset_rows(data, "train")) == len(recorded)


async def test_a_full_disk_under_the_dataset_delays_commits_and_loses_none(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with opened(data, RepositorySettings()):
        pass

    (data / "dataset").rename(data / "moved")
    with _disk(data / "dataset"):
        shutil.copytree(data / "moved", data / "dataset", dirs_exist_ok=True)
        async with running(data) as (stub, program):
            message = await images(stub)
            told = [await vote(stub, message, button=0)]
            await program.settled(within_s=PATIENCE_S)

            filler = data / "dataset" / "filler"
            _fill(filler)
            told += [await vote(stub, message, member=BOB + n, button=2) for n in range(1, 20)]
            async with asyncio.timeout(PATIENCE_S):
                while "is full" not in " ".join(await problems(program)):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)

            filler.unlink()
            await program.settled(within_s=PATIENCE_S)

        assert all("recorded for image" in text for text in told)
        assert len(dataset_rows(data, "train")) == len(told)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own."""
    with _disk(tmp_path / "disk") as place:
        yield place


@contextmanager
def _disk(place: Path) -> Iterator[Path]:
    """A file system of 24 MB in this place; skips the test where it may not be mounted."""
    place.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False).returncode != 0:
        pytest.skip("mounting a small file system needs root")

    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        for size in (2**20, 2**12, 2**9):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue


@contextmanager
def _database(path: Path) -> Iterator[sqlite3.Connection]:
    database = sqlite3.connect(path)
    try:
        yield database
        database.commit()
    finally:
        database.close()
