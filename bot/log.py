"""The log: lines on standard error, which the supervisor keeps."""

import atexit
import logging
import queue
from logging.handlers import QueueHandler, QueueListener


def configure(level: str) -> None:
    """Log each event as one line, with its time and UTC offset. Prompts are not logged.

    A thread writes the lines, so that a full pipe or a busy disk does not block the event loop.
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
    atexit.register(listener.stop)  # writes what is still queued
    # basicConfig would also give the queue's handler a format.
    logging.getLogger().setLevel(level.upper())
    logging.getLogger().addHandler(QueueHandler(lines))

    # At debug, discord.py's info is shown: every connection. Its own debug lines have prompts.
    quiet = logging.WARNING if level.upper() != "DEBUG" else logging.INFO
    logging.getLogger("discord").setLevel(max(logging.getLogger().level, quiet))
    # It also warns that voice is not supported, which oxherd does not need.
    if level.upper() != "DEBUG":
        logging.getLogger("discord.client").setLevel(logging.ERROR)
