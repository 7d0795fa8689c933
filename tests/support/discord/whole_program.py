"""The whole program as the operating system sees it: started, watched, stopped, killed."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psutil

from bot.cli import control
from bot.cli.status import Status
from bot.errors import ControlFailed, NotRunning
from tests.support.discord.payloads import TOKEN
from tests.support.discord.stub import DiscordStub

ROOT = Path(__file__).parents[3]
POLL_S = 0.05

# Fast enough to be killed often; the real defaults are for people and GPUs.
QUICK = {
    "OXHERD_BACKEND": "placeholder",
    "OXHERD_PLACEHOLDER_STEP_SECONDS": "0",
    "OXHERD_DEVICES": "cpu",
    "OXHERD_SIZES": "128x128",
    "OXHERD_DEFAULT_STEPS": "5",
    "OXHERD_SHUTDOWN_GRACE_S": "2",
    "OXHERD_MAX_REQUESTS_PER_MINUTE": "10000",
}


@dataclass(slots=True, eq=False)
class WholeProgram:
    """One start of `oxherd run` on a folder."""

    data: Path
    process: asyncio.subprocess.Process
    log: Path

    @classmethod
    async def start(
        cls,
        stub: DiscordStub,
        data: Path,
        *,
        settings: Mapping[str, str] = QUICK,
        module: str = "tests.support.discord.launch",
        stalls: Path | None = None,
    ) -> Self:
        """Start it; it is not connected yet. Its log goes beside its folder."""
        await stub.disconnected.wait()
        log = data.with_name(f"{data.name}.log")
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("OXHERD_")
        }
        environment |= settings
        environment |= {
            "OXHERD_DATA": str(data),
            "OXHERD_TOKEN": TOKEN,
            "PYTHONPATH": str(ROOT),
            "STUB_URL": stub.url,
        }
        if stalls is not None:
            environment["STALLS"] = str(stalls)

        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                module,
                "run",
                cwd=data.parent,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

        return cls(data=data, process=process, log=log)

    @classmethod
    @asynccontextmanager
    async def running(cls, stub: DiscordStub, data: Path, **options: Any) -> AsyncIterator[Self]:
        """Started and connected; stopped at the end, and all of it killed if that fails."""
        program = await cls.start(stub, data, **options)
        try:
            await program.connected(stub)
            yield program
            if program.process.returncode is None:
                await program.stop()
        finally:
            await sweep(data)
            with suppress(ProcessLookupError):
                program.process.kill()

            await program.process.wait()

    async def connected(self, stub: DiscordStub, *, within_s: float = 60) -> None:
        """Wait until the gateway is up. Raises RuntimeError with the log's end if it exits."""
        gateway = asyncio.create_task(stub.connected.wait())
        ended = asyncio.create_task(self.process.wait())
        try:
            await asyncio.wait(
                {gateway, ended}, timeout=within_s, return_when=asyncio.FIRST_COMPLETED
            )
            if not gateway.done():
                raise RuntimeError(f"the program did not connect:\n{self.log_end()}")
        finally:
            gateway.cancel()
            ended.cancel()

    async def stop(self, *, within_s: float = 60) -> int:
        """SIGTERM; its exit status."""
        self.process.send_signal(signal.SIGTERM)

        return await asyncio.wait_for(self.process.wait(), within_s)

    async def status(self) -> Status | None:
        """What `oxherd status` shows; None when nobody answers."""
        try:
            return await control.status(self.data)
        except (NotRunning, ControlFailed):
            return None

    async def settled(self, *, within_s: float) -> None:
        """Wait until it answers and no vote waits for its commit. Raises TimeoutError."""
        async with asyncio.timeout(within_s):
            while not await self._has_committed_all():  # noqa: ASYNC110  # another process
                await asyncio.sleep(POLL_S)

    async def _has_committed_all(self) -> bool:
        status = await self.status()

        return status is not None and status.votes.waiting == 0

    def log_end(self, *, lines: int = 30) -> str:
        """The last lines of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def family(data: Path) -> list[psutil.Process]:
    """Every process that was started for this folder, orphans too: they inherit its setting."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("OXHERD_DATA") == str(data):
                found.append(process)

    return found


def role(process: psutil.Process) -> str:
    """What the process is to the program: bot, writer, pusher, worker or helper."""
    try:
        command = " ".join(process.cmdline())
        if "tests.support.discord.launch" in command:
            return "bot"

        if "spawn_main" not in command:
            return "helper"

        maps = Path(f"/proc/{process.pid}/maps").read_text(errors="replace")
        log = Path(f"/proc/{process.pid}/fd/2").readlink().name
    except (psutil.Error, OSError):
        return "gone"

    if "oxen_py" not in maps:
        return "worker"

    return "pusher" if log.startswith("pusher.") else "writer"


async def sweep(data: Path) -> list[str]:
    """Kill what is left of the program; the command lines of what there was."""
    left = []
    for process in family(data):
        with suppress(psutil.Error):
            left.append(" ".join(process.cmdline()))
            process.kill()

    return left


async def gone(data: Path, *, within_s: float) -> list[str]:
    """Wait until no process of the folder is left; the command lines of those that stay."""
    for _ in range(int(within_s / 0.1)):
        if not family(data):
            return []

        await asyncio.sleep(0.1)

    return [f"{role(process)} {process.pid}" for process in family(data)]
