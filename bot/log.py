"""Where the log goes: standard error, for the supervisor to keep."""

import atexit
import logging
import queue
from logging.handlers import QueueHandler, QueueListener


def configure(level: str) -> None:
    """One line an event, with its time and UTC offset. Prompts are not in it.

    A thread writes the lines: a full pipe or a busy disk must not make the event loop wait.
    """
    stream = logging.StreamHandler()
    stream.setFormatter(
        logging.Formatter(
            "%(asctime)s %(levelname)-7s %(name)s: %(message)s", datefmt="%Y-%m-%dT%H:%M:%S%z"
        )
    )
    lines: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    listener = QueueListener(lines, stream)
    listener.start()
    atexit.register(listener.stop)  # writes what is left
    # Not by basicConfig: it would give the handler before the queue a format of its own, too.
    logging.getLogger().setLevel(level.upper())
    logging.getLogger().addHandler(QueueHandler(lines))

    # discord.py announces every reconnect at info; that is debugging to operators.
    logging.getLogger("discord").setLevel(max(logging.getLogger().level, logging.WARNING))
    # It also warns that voice is not supported. It is not.
    logging.getLogger("discord.client").setLevel(logging.ERROR)
