"""The command line. Failures become one sentence and an exit status a supervisor can use.

Discord, Oxen and torch are imported by the commands that need them, so that `--help` and `status`
answer at once.
"""

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from bot import log
from bot.cli import render
from bot.cli.control import ask
from bot.errors import CannotConnect, CannotDemo, CannotReplay, ControlFailed, NotRunning
from bot.settings import Settings, SettingsError, load

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="""
    Turns a Discord server into a labelling team for image models: `/imagine` makes four images,
    members press 👍 or 👎, and each vote becomes a commit in a versioned Oxen dataset.

    Settings come from the environment or `.env`; docs/settings.md lists the variables.
    Try `oxherd demo` first: it needs no token, no GPU and no network.
    """,
    epilog="Exit status: 0 done or stopped as asked · 1 failed, or not well · 2 wrong usage · "
    "75 try again later · 78 the settings need a person.",
)


class Exit(IntEnum):
    """Exit statuses; 75 and 78 are sysexits.h's EX_TEMPFAIL and EX_CONFIG."""

    FAILED = 1
    USAGE = 2
    TRY_LATER = 75
    SETTINGS = 78


EnvFile = Annotated[
    Path, typer.Option(help="File of settings; the environment wins over it.", show_default=True)
]
DEFAULT_ENV_FILE = Path(".env")


@app.command()
def run(env_file: EnvFile = DEFAULT_ENV_FILE) -> None:
    """Run the bot on Discord, until SIGTERM or Ctrl-C.

    Needs OXHERD_TOKEN. On a stop, running requests get OXHERD_SHUTDOWN_GRACE_S seconds and the
    last votes OXHERD_FLUSH_S to be committed; a second Ctrl-C is not needed.
    """
    with _sentences():
        settings = _settings(env_file)
        log.configure(settings.log_level)
        from bot.app import run as run_bot

        asyncio.run(run_bot(settings))


@app.command()
def demo(
    data: Annotated[
        Path, typer.Option(help="Folder for the journal and the dataset of the demo.")
    ] = Path("oxherd-demo"),
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on this machine; 0 takes a free one.")
    ] = 8765,
    members: Annotated[
        str, typer.Option(help="The people you can be, separated by commas.")
    ] = "alice,bob",
    open_browser: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in the browser.")
    ] = True,
    placeholder: Annotated[
        bool, typer.Option("--placeholder", help="Draw without a model; needs no torch.")
    ] = False,
) -> None:
    """Try the bot in a simulated Discord in your browser: no token, no GPU, no network.

    The callbacks, the journal and the Oxen repository are the real ones, and the pictures are made
    by a small model that ships with oxherd. Press r and Enter in the
    terminal to restart the bot while the page stays, Ctrl-C to stop.
    """
    with _sentences():
        log.configure("warning")
        from bot.demo.run import run_demo

        asyncio.run(
            run_demo(
                data=data,
                port=port,
                members=[name.strip() for name in members.split(",") if name.strip()],
                open_browser=open_browser,
                placeholder=placeholder,
            )
        )


@app.command()
def doctor(env_file: EnvFile = DEFAULT_ENV_FILE) -> None:
    """Check everything that `run` needs, and say what to do about what is missing."""
    with _sentences():
        settings = _settings(env_file)
        from bot.cli.doctor import examine

        findings = examine(settings)
        render.show_findings(Console(), findings)
        if not all(finding.ok for finding in findings):
            raise typer.Exit(Exit.FAILED)


@app.command()
def sync_commands(
    env_file: EnvFile = DEFAULT_ENV_FILE,
    guild: Annotated[
        int | None,
        typer.Option(help="Only in this server (its id): shows at once, good for trying."),
    ] = None,
) -> None:
    """Register the slash commands with Discord: once, and when the limits change."""
    with _sentences():
        settings = _settings(env_file)
        log.configure(settings.log_level)
        from bot.cli.sync_commands import register

        names = asyncio.run(register(settings, guild_id=guild))
        where = "everywhere" if guild is None else f"in server {guild}"
        Console().print(f"Registered {where}: {', '.join(f'/{name}' for name in names)}.")


@app.command()
def status(
    env_file: EnvFile = DEFAULT_ENV_FILE,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Print problems only; exit 1 if there is one.")
    ] = False,
) -> None:
    """Ask the running bot how it is: queue, workers, votes waiting, last commit, disk."""
    with _sentences():
        settings = _settings(env_file)
        state: dict[str, Any] = asyncio.run(ask(settings.data, "status"))
        if as_json:
            sys.stdout.write(json.dumps(state, indent=2) + "\n")
        elif check:
            for problem in state["problems"]:
                sys.stdout.write(f"{problem}\n")
        else:
            render.show_status(Console(), state)

        if check and state["problems"]:
            raise typer.Exit(Exit.FAILED)


@app.command()
def snapshot(env_file: EnvFile = DEFAULT_ENV_FILE) -> None:
    """Write train.csv, all votes in one file, and commit it. The running bot does it daily too."""
    with _sentences():
        settings = _settings(env_file)
        try:
            commit = asyncio.run(ask(settings.data, "snapshot"))
        except NotRunning:
            from bot.configuration import repository_settings
            from storage import offline

            _require_dataset(settings)
            commit = offline.snapshot(settings.data, repository_settings(settings))

        Console().print(
            "train.csv was up to date." if commit is None else f"Wrote train.csv as {commit}."
        )


@app.command(name="log")
def show_log(
    env_file: EnvFile = DEFAULT_ENV_FILE,
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, help="How many commits.")] = 20,
) -> None:
    """Show the dataset's last commits and what each changed, newest first."""
    with _sentences():
        settings = _settings(env_file)
        try:
            commits = asyncio.run(ask(settings.data, "log", limit=limit))
        except NotRunning:
            from bot.cli.status import plain
            from bot.configuration import repository_settings
            from storage import offline

            _require_dataset(settings)
            commits = plain(offline.log(settings.data, repository_settings(settings), limit=limit))

        render.show_log(Console(), commits)


@app.command()
def replay(
    image_id: Annotated[str, typer.Argument(help="The image's id; Details under it says it.")],
    env_file: EnvFile = DEFAULT_ENV_FILE,
    out: Annotated[
        Path | None, typer.Option(help="Write the image that was made to this PNG file.")
    ] = None,
    dataset: Annotated[
        Path | None, typer.Option(help="A copy of somebody's dataset, instead of the bot's own.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Where to make it, instead of the first of OXHERD_DEVICES.")
    ] = None,
) -> None:
    """Make one image again from its recorded row, and compare the bytes.

    If they differ, it says what is another here than what was recorded: model, libraries, device,
    number format. Works while the bot runs, which then has to share its device's memory.

    Exit status: 0 the same bytes · 1 different ones · 2 it could not be made.
    """
    with _sentences():
        settings = _settings(env_file)
        log.configure("error")
        from bot.cli.replay import replay as replayed

        try:
            with render.told(Console(stderr=True)) as tell:
                made = asyncio.run(
                    replayed(
                        settings,
                        image_id,
                        dataset=dataset,
                        device=device or settings.devices[0],
                        tell=tell,
                    )
                )
        except KeyboardInterrupt:
            raise CannotReplay("Stopped before the image was made.") from None

        render.show_replayed(Console(), made)
        if out is not None:
            _write(out, made.png)

        if not made.same_bytes:
            raise typer.Exit(Exit.FAILED)


@app.callback(invoke_without_command=True)
def _version(
    shown: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    if shown:
        sys.stdout.write(f"oxherd {version('oxherd')}\n")
        raise typer.Exit


def main() -> None:
    """The console script `oxherd`, and `python -m bot`."""
    app()


def _settings(env_file: Path) -> Settings:
    if env_file != DEFAULT_ENV_FILE and not env_file.exists():
        raise SettingsError(f"{env_file} does not exist.")

    return load(os.environ, env_file)


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as exc:
        raise CannotReplay(f"{path} cannot be written: {exc.strerror}.") from exc


def _require_dataset(settings: Settings) -> None:
    """Asking about a dataset must not make one."""
    if not (settings.data / "dataset").is_dir():
        raise NotRunning(
            f"There is no dataset in {settings.data}; the bot makes it when it starts. "
            "OXHERD_DATA names the folder."
        )


@contextmanager
def _sentences() -> Iterator[None]:
    """Known failures leave as one sentence on standard error; unknown ones crash loudly."""
    try:
        yield
    except SettingsError as exc:
        _leave(exc, Exit.SETTINGS)
    except (NotRunning, ControlFailed) as exc:
        _leave(exc, Exit.FAILED)
    except KeyboardInterrupt:
        raise typer.Exit from None
    except Exception as exc:
        status = _known(exc)
        if status is None:
            raise

        _leave(exc, status)


def _known(error: Exception) -> Exit | None:
    """The exit status for an error of ours; imported late, when it has been imported anyway."""
    from storage.errors import RemoteUnavailable, StorageError

    if isinstance(error, CannotConnect | RemoteUnavailable):
        return Exit.TRY_LATER

    if isinstance(error, CannotReplay):
        return Exit.USAGE

    return Exit.FAILED if isinstance(error, StorageError | CannotDemo) else None


def _leave(error: Exception, status: Exit) -> None:
    sys.stderr.write(f"oxherd: {error}\n")
    raise typer.Exit(status) from error


if __name__ == "__main__":
    main()
