"""Kills a host, adds one, freezes one, cuts one off, and looks for what people lost who ask.

    python -m tests.chaos.hosts --requests 200 --people 20

The whole program runs with its workers on a real Ray cluster of local nodes with networks of their
own, two workers each. Each person asks again as soon as their request has ended, until all is done.
Every request must end in images or a sentence, none in two messages with images. Nobody may get
ahead of the others. Hosts that were frozen or cut off must be used again when they are back. No
process on a host may know the bot's token. Prints JSON; exit status 1 if anything was wrong.

It runs in a network that `unshare` makes, which needs no root where users may have namespaces.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from bot.chat.custom_ids import NotOurs, SetId
from bot.cli import control
from tests.chaos.report import told
from tests.support.discord import whole_program
from tests.support.discord.crowd import FIRST_MEMBER
from tests.support.discord.payloads import TOKEN, Message
from tests.support.discord.stub import DiscordStub
from tests.support.discord.whole_program import WholeProgram
from tests.support.generation.ray_nodes import RayNodes

SETTINGS = {
    **{name: text for name, text in whole_program.QUICK.items() if name != "OXHERD_DEVICES"},
    "OXHERD_PLACEHOLDER_STEP_SECONDS": "0.1",
    "OXHERD_RAY_WORKERS": "4",
}
WORKERS_A_HOST = 2
MOST_AHEAD = 3
"""By how many ended requests one person may be ahead of another while both ask: a turn, what is
running, and one that is made a second time. It is not counted while a host is silent: the queue
knows nothing of that, and the requests there are late."""

ENDS_WITHIN_S = 600.0


class Chaos:
    """One run; `report` has what happened."""

    def __init__(self, stub: DiscordStub, nodes: RayNodes, data: Path) -> None:
        self._stub = stub
        self._nodes = nodes
        self._data = data
        self._ended: Counter[int] = Counter()
        self._changed = asyncio.Condition()
        self._members = range(0)
        self._turns: Counter[int] | None = None
        self._broken = False
        self._most_ahead = 0
        self._seconds: list[float] = []
        self._answers: Counter[str] = Counter()
        self._problems: list[str] = []
        self._hosts: dict[str, str | None] = {}

    async def run(self, *, requests: int, people: int) -> None:
        each = requests // people
        self._members = range(FIRST_MEMBER, FIRST_MEMBER + people)
        self._count_turns()
        async with asyncio.TaskGroup() as tasks:
            for member in self._members:
                tasks.create_task(self._ask(member, each))

            tasks.create_task(self._break_hosts(each * people))

        self._hosts = await self._hosts_used()

    async def _ask(self, member: int, times: int) -> None:
        while self._ended[member] < times or not self._broken:
            asked = time.monotonic()
            interaction = await self._stub.command(member, "imagine", prompt="=a fox in the snow")
            message = await interaction.answered
            try:
                async with asyncio.timeout(ENDS_WITHIN_S):
                    while _is_open(message):  # noqa: ASYNC110 - the stand-in announces no edits
                        await asyncio.sleep(0.02)
            except TimeoutError:
                self._problems.append(f"a request of {member} did not end: {message.content}")

            self._seconds.append(time.monotonic() - asked)
            self._answers["images" if message.attachments else message.content] += 1
            await self._note_end(member)

        self._turns = None

    async def _note_end(self, member: int) -> None:
        self._ended[member] += 1
        if self._turns is not None:
            self._turns[member] += 1
            turns = self._turns.values()
            self._most_ahead = max(self._most_ahead, max(turns) - min(turns))

        async with self._changed:
            self._changed.notify_all()

    async def _break_hosts(self, requests: int) -> None:
        await self._until_ended(requests // 5)
        await self._look_for_tokens("a", "b")
        await self._nodes.kill("a")
        await self._until_ended(2 * requests // 5)
        await self._nodes.add("c", gpus=WORKERS_A_HOST)
        await self._until_ended(3 * requests // 5)
        self._turns = None
        await self._nodes.cut("b")
        await self._until_used("b", workers=0)
        await self._nodes.mend("b")  # before Ray takes it for dead
        await self._until_used("b")
        await self._nodes.freeze("b")
        await self._nodes.bring_back("b")
        await self._until_used("b")
        self._count_turns()
        await self._until_ended(self._ended.total() + requests // 5)
        self._turns = None
        await self._nodes.cut("c")
        await self._nodes.bring_back("c")
        await self._until_used("c")
        self._broken = True

    def _count_turns(self) -> None:
        self._turns = Counter(dict.fromkeys(self._members, 0))

    async def _until_ended(self, requests: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._ended.total() >= requests)

    async def _until_used(self, host: str, *, workers: int = WORKERS_A_HOST) -> None:
        """Wait until it has so many workers: all, unless it is lost."""
        until = time.monotonic() + ENDS_WITHIN_S
        while [*(await self._hosts_used()).values()].count(host) != workers:
            if time.monotonic() > until:
                self._problems.append(f"{host} has not come to {workers} workers")
                break

            await asyncio.sleep(1)

    async def _hosts_used(self) -> dict[str, str | None]:
        status = await control.status(self._data)

        return {worker.device: worker.host for worker in status.workers}

    async def _look_for_tokens(self, *labels: str) -> None:
        for label in labels:
            for pid in await self._nodes.processes(label):
                with suppress(psutil.Error):
                    process = psutil.Process(pid)
                    if TOKEN in process.environ().values():
                        self._problems.append(f"{process.name()} on {label} knows the token")

    def report(self) -> dict[str, Any]:
        """What was done, and what was wrong."""
        problems = [*self._problems, *self._made_twice()]
        if self._most_ahead > MOST_AHEAD:
            problems.append(f"somebody was {self._most_ahead} requests ahead of another")

        return {
            "requests": self._ended.total(),
            "answers": dict(self._answers),
            "most_ahead": self._most_ahead,
            "seconds": {
                "median": round(sorted(self._seconds)[len(self._seconds) // 2], 2),
                "max": round(max(self._seconds), 2),
            },
            "hosts_at_the_end": self._hosts,
            "problems": problems[:50],
            "problem_count": len(problems),
        }

    def _made_twice(self) -> list[str]:
        with_images = Counter(
            set_id
            for message in self._stub.messages.values()
            if message.attachments
            for set_id in _sets(message)
        )

        return [f"request {set_id} was made twice" for set_id, n in with_images.items() if n > 1]


def _is_open(message: Message) -> bool:
    return any(":cancel:" in custom_id for custom_id in message.buttons)


def _sets(message: Message) -> set[str]:
    """The ids of the sets whose **Again** is on the message."""
    found = set()
    for custom_id in message.buttons:
        try:
            button = SetId.parse(custom_id)
        except NotOurs:
            continue

        if button.action == "again":
            found.add(button.set_id)

    return found


async def chaos(data: Path, *, requests: int, people: int) -> dict[str, Any]:
    """The report of one run on a folder, which must not exist yet."""
    async with RayNodes.running(own_networks=True) as nodes:
        await nodes.add("a", gpus=WORKERS_A_HOST)
        await nodes.add("b", gpus=WORKERS_A_HOST)
        settings = {
            **SETTINGS,
            **nodes.environment,
            "OXHERD_RAY": nodes.address,
            "OXHERD_RAY_FOLDER": str(data.with_name("hosts")),
        }
        async with (
            DiscordStub.open() as stub,
            WholeProgram.running(stub, data, settings=settings),
        ):
            run = Chaos(stub, nodes, data)
            await run.run(requests=requests, people=people)

    return run.report()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.chaos.hosts")
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--in-own-network", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if not options.in_own_network:
        size = [f"--requests={options.requests}", f"--people={options.people}"]
        again = [sys.executable, "-m", "tests.chaos.hosts", *size, "--in-own-network"]
        os.execvp("unshare", ["unshare", "--map-root-user", "--net", *again])

    with tempfile.TemporaryDirectory() as folder:
        report = asyncio.run(
            chaos(Path(folder) / "data", requests=options.requests, people=options.people)
        )

    return told(report)


if __name__ == "__main__":
    sys.exit(main())
