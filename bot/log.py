"""Where the log goes: standard error, for the supervisor to keep."""

import logging


def configure(level: str) -> None:
    """One line an event, with its time in UTC-offset form. Prompts appear at debug level only."""
    logging.basicConfig(
        level=level.upper(),
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S%z",
    )
    # discord.py announces every reconnect at info; that is debugging to operators.
    logging.getLogger("discord").setLevel(max(logging.getLogger().level, logging.WARNING))
    # It also warns that voice is not supported. It is not.
    logging.getLogger("discord.client").setLevel(logging.ERROR)
