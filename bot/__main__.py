"""The console script `oxherd`, and `python -m bot`.

Every process that the bot starts imports this module first, so it imports the commands only where
one is called.
"""

import os


def main() -> None:
    """Run the command line."""
    from bot.commands import app

    os.umask(0o077)  # prompts and voters' ids are for the bot's user alone
    app()


if __name__ == "__main__":
    main()
