"""A program that holds an executor until it is killed, for tests of what it leaves behind.

    python -m tests.support.generation.parent FOLDER PROMPT

Prints the worker's pid once the prompt's request has made a step.
"""

import asyncio
import sys
from pathlib import Path

from generation.queue.executor import Executor
from tests.support.generation.requests import a_request, stepping
from tests.support.generation.scripted_backend import one_model


async def main(folder: Path, prompt: str) -> None:
    async with Executor.open(one_model(folder)) as executor:
        await stepping(executor.submit(a_request(prompt), owner=1))
        sys.stdout.write(f"{executor.status().workers[0].pid}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
