"""Asks a process of its own one question, so that nothing it imports stays in this one."""

import multiprocessing
from collections.abc import Callable
from typing import Any


class NoAnswer(Exception):
    """The process did not answer; the message is a phrase that says how."""


def answer_of(target: Callable[..., None], *args: object, name: str, within_s: float) -> Any:
    """What `target` sends through the pipe that it gets as its last argument.

    Blocks for `within_s` at most; the process is gone on return. Raises NoAnswer.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=target, args=(*args, theirs), name=name, daemon=True)
    process.start()
    theirs.close()
    try:
        if not ours.poll(within_s):
            raise NoAnswer(f"no answer within {within_s:g} s")

        return ours.recv()
    except EOFError:
        raise NoAnswer("the process that checks it ended without an answer") from None
    finally:
        process.kill()
        process.join()
        ours.close()
