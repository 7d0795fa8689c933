"""The log: lines on standard error, which the supervisor keeps."""

import atexit
import json
import logging
import queue
from datetime import UTC, datetime
from logging.handlers import QueueHandler, QueueListener
from typing import Literal


class JsonLines(logging.Formatter):
    """Each event as one JSON object on one line, with its time in UTC.

    What concerns some of the journal's changes has `changes`: the first and the last of them.
    """

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, object] = {
            "time": at.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (changes := getattr(record, "changes", None)) is not None:
            line["changes"] = changes

        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        elif record.exc_text:  # the queue's handler has formatted it
            line["error"] = record.exc_text

        return json.dumps(line, ensure_ascii=False)


def configure(level: str, lines: Literal["text", "json"] = "text") -> None:
    """Log each event as one line, with its time and UTC offset. Prompts are not logged.

    A thread writes the lines, so that a full pipe or a busy disk does not block the event loop.
    """
    stream = logging.StreamHandler()
    stream.setFormatter(
        JsonLines()
        if lines == "json"
        else logging.Formatter(
            "%(asctime)s %(levelname)-7s %(name)s: %(message)s", datefmt="%Y-%m-%dT%H:%M:%S%z"
        )
    )
    records: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    listener = QueueListener(records, stream)
    listener.start()
    atexit.register(listener.stop)  # writes what is still queued
    # basicConfig would also give the queue's handler a format.
    logging.getLogger().setLevel(level.upper())
    logging.getLogger().addHandler(QueueHandler(records))

    # At debug, discord.py's info is shown: every connection. Its own debug lines have prompts.
    quiet = logging.WARNING if level.upper() != "DEBUG" else logging.INFO
    logging.getLogger("discord").setLevel(max(logging.getLogger().level, quiet))
    # It also warns that voice is not supported, which oxherd does not need.
    if level.upper() != "DEBUG":
        logging.getLogger("discord.client").setLevel(logging.ERROR)
