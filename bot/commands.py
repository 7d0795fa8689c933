"""The command line: one function a command.

A command imports Discord, aiohttp and storage itself, so that `--help` answers at once.
"""

import asyncio
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bot import log
from bot.cli import render
from bot.cli.env_file import DEFAULT_ENV_FILE, EnvFile, hide_tokens, settings_from
from bot.cli.exit_status import Commands, Exit
from bot.cli.reading.export import export
from bot.cli.reading.quality import quality
from bot.cli.reading.report import report
from bot.cli.reading.tune import tune
from bot.errors import CannotReplay

Subject = Annotated[str, typer.Argument(metavar="ID", help="The id of an image or a request.")]
Reason = Annotated[str, typer.Option(help="Why; for the journal and the moderators' channel.")]

app = typer.Typer(
    cls=Commands,
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


@app.command()
def run(env_file: EnvFile = DEFAULT_ENV_FILE) -> None:
    """Run the bot on Discord until SIGTERM or Ctrl-C.

    Needs OXHERD_TOKEN. On a stop, running requests get OXHERD_SHUTDOWN_GRACE_S seconds to finish,
    and the last votes OXHERD_FLUSH_S seconds to be committed. One Ctrl-C is enough.
    """
    settings = settings_from(env_file)
    log.configure(settings.log_level, settings.log_lines)
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
    story: Annotated[
        bool,
        typer.Option(
            "--story",
            help="Simulated members vote, the model is tuned, and an arena compares the two: "
            "ten minutes.",
        ),
    ] = False,
) -> None:
    """Try the bot in a simulated Discord in your browser: no token, no GPU, no network.

    The callbacks, the journal and the Oxen repository are the real ones, and a small model that
    ships with oxherd makes the images. Press r and Enter in the terminal to restart the bot while
    the page stays open; press Ctrl-C to stop.
    """
    hide_tokens()
    log.configure("warning")
    from bot.demo.run import run_demo

    asyncio.run(
        run_demo(
            data=data,
            port=port,
            members=[name.strip() for name in members.split(",") if name.strip()],
            open_browser=open_browser,
            placeholder=placeholder,
            story=story,
        )
    )


@app.command()
def doctor(env_file: EnvFile = DEFAULT_ENV_FILE) -> None:
    """Check everything that `run` needs, and say how to fix what is missing."""
    settings = settings_from(env_file)
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
        typer.Option(help="Only in the server with this id, where the commands show at once."),
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Remove them there instead.")] = False,
) -> None:
    """Register the slash commands with Discord: once, and again when the limits change."""
    settings = settings_from(env_file)
    log.configure(settings.log_level, settings.log_lines)
    from bot.cli.sync_commands import register

    for line in asyncio.run(register(settings, guild_id=guild, remove=remove)):
        Console().print(line)


@app.command()
def status(
    env_file: EnvFile = DEFAULT_ENV_FILE,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Print problems only; exit 1 if there is one.")
    ] = False,
) -> None:
    """Show the running bot's queue, workers, waiting votes, last commit and disk."""
    settings = settings_from(env_file)
    from bot.cli import control

    found = asyncio.run(control.status(settings.data))
    if as_json:
        sys.stdout.write(found.model_dump_json(indent=2) + "\n")
    elif check:
        sys.stdout.writelines(f"{problem}\n" for problem in found.problems)
    else:
        render.show_status(Console(), found)

    if check and found.problems:
        raise typer.Exit(Exit.FAILED)


@app.command()
def snapshot(env_file: EnvFile = DEFAULT_ENV_FILE) -> None:
    """Write train.csv, all votes in one file, and commit it. All of it is stored anew each time."""
    settings = settings_from(env_file)
    from bot.cli import dataset
    from storage.dataset.layout import SNAPSHOT
    from storage.folder import DataFolder

    commit = dataset.snapshot(settings)
    if commit is not None:
        said = f"Wrote train.csv as {commit}."
    elif (DataFolder(settings.data).dataset / SNAPSHOT).exists():
        said = "train.csv was up to date."
    else:
        said = "There are no votes yet, so there is no train.csv."

    Console().print(said)


@app.command()
def backup(
    target: Annotated[Path, typer.Argument(help="Folder that does not exist yet.")],
    env_file: EnvFile = DEFAULT_ENV_FILE,
) -> None:
    """Copy the journal, the dataset and the images without votes to a new folder.

    Works while the bot runs: votes are recorded meanwhile, and committed afterwards. The copy is a
    data folder: OXHERD_DATA may name it.
    """
    settings = settings_from(env_file)
    from bot.cli import dataset

    dataset.backup(settings, target)
    Console().print(f"Wrote the backup to {target}.")


@app.command()
def forget(
    user_id: Annotated[int, typer.Argument(min=1, help="The person's Discord id.")],
    env_file: EnvFile = DEFAULT_ENV_FILE,
    requests: Annotated[
        bool,
        typer.Option("--requests", help="Also what they asked for, with images and all votes."),
    ] = False,
) -> None:
    """Take a person's votes out of the journal at once, and out of the dataset by the next commit.

    It cannot be undone. Works while the bot runs. What is kept elsewhere is listed afterwards.
    """
    settings = settings_from(env_file)
    from bot.cli import dataset
    from storage.folder import DataFolder

    forgotten = dataset.forget(settings, user_id, requests=requests)
    render.show_forgotten(Console(), forgotten, set_aside=DataFolder(settings.data).set_aside)


@app.command()
def consent(
    guild_id: Annotated[int, typer.Argument(min=1, help="The server's id.")],
    text: Annotated[
        Path | None, typer.Argument(help="File with the text; without one, nobody is asked.")
    ] = None,
    env_file: EnvFile = DEFAULT_ENV_FILE,
) -> None:
    """Set the text that members of a server have to agree to before they ask or vote.

    It is shown with *I agree* at the first request or vote. A changed text is shown again.
    """
    settings = settings_from(env_file)
    from bot.cli import dataset
    from bot.cli.consent_text import read

    words = "" if text is None else read(text)
    version = dataset.set_consent_text(settings, guild_id, words)
    Console().print(
        f"Members of server {guild_id} are asked to agree to version {version}."
        if words
        else f"Members of server {guild_id} are not asked any more."
    )


@app.command()
def refound(env_file: EnvFile = DEFAULT_ENV_FILE) -> None:
    """Make the dataset anew from the journal, with no earlier history, and delete the old one.

    For people who were forgotten: the history has them until then. On the remote, a new branch
    replaces the old one when the bot runs again. Stop the bot first.
    """
    settings = settings_from(env_file)
    from bot.cli import dataset

    render.show_refounded(Console(), dataset.refound(settings), remote=settings.remote)


@app.command()
def rebuild_journal(env_file: EnvFile = DEFAULT_ENV_FILE) -> None:
    """Make the journal anew from the dataset, when it is lost, damaged or older than the dataset.

    The old journal is moved to the folder set-aside. Votes that were not committed are only there.
    Stop the bot first.
    """
    settings = settings_from(env_file)
    from bot.cli import dataset
    from storage.plurals import count

    found = dataset.rebuild_journal(settings)
    Console().print(
        f"The new journal has {count(found.votes, 'vote')} on {count(found.images, 'image')}. "
        f"The newest vote is from {found.newest_vote_at or '(none)'}."
    )


@app.command()
def take_over(env_file: EnvFile = DEFAULT_ENV_FILE) -> None:
    """Continue the dataset of OXHERD_REMOTE on this host, after the host that made it was lost.

    Stop the other bot first: two bots that push to one branch end up in two branches. Votes that
    it had not pushed are lost. Needs an OXHERD_DATA without requests.
    """
    settings = settings_from(env_file)
    log.configure(settings.log_level, settings.log_lines)
    from bot.cli import dataset

    render.show_taken_over(Console(), dataset.take_over(settings))


@app.command(name="log")
def show_log(
    env_file: EnvFile = DEFAULT_ENV_FILE,
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, help="How many commits.")] = 20,
    diff: Annotated[
        str | None,
        typer.Option(metavar="A..B", help="Rows and images that came, went and changed instead."),
    ] = None,
    copy: Annotated[
        Path | None, typer.Option("--dataset", help="For --diff: a copy of a dataset.")
    ] = None,
) -> None:
    """Show the dataset's last commits and what each changed, newest first.

    With --diff, two commits are compared: HEAD is the newest, and the beginning of an id will do.
    """
    settings = settings_from(env_file)
    from bot.cli import dataset

    if diff is not None:
        from bot.cli.reading.diff import show_diff

        show_diff(settings, diff, dataset=copy)
        return

    render.show_log(Console(), dataset.log(settings, limit=limit))


@app.command()
def remove(subject: Subject, env_file: EnvFile = DEFAULT_ENV_FILE, reason: Reason = "") -> None:
    """Take an image, or all images of a request, out of the dataset and off Discord.

    Needs the running bot. `oxherd restore` brings them back.
    """
    settings = settings_from(env_file)
    from bot.cli import control

    removal = control.Removal(subject=subject, reason=reason)
    Console().print(asyncio.run(control.remove(settings.data, removal)))


@app.command()
def restore(subject: Subject, env_file: EnvFile = DEFAULT_ENV_FILE, reason: Reason = "") -> None:
    """Bring back what `remove` or a moderator on Discord removed. Needs the running bot."""
    settings = settings_from(env_file)
    from bot.cli import control

    removal = control.Removal(subject=subject, reason=reason)
    Console().print(asyncio.run(control.restore(settings.data, removal)))


@app.command()
def replay(
    image_id: Annotated[str, typer.Argument(help="The image's id; the button Details shows it.")],
    env_file: EnvFile = DEFAULT_ENV_FILE,
    out: Annotated[Path | None, typer.Option(help="Write the new image to this PNG file.")] = None,
    dataset: Annotated[
        Path | None, typer.Option(help="A copy of somebody's dataset, instead of the bot's own.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="A model that the row may name, though the settings do not offer it."),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(help="Device that makes it, instead of the first of OXHERD_DEVICES."),
    ] = None,
) -> None:
    """Make one image again from its recorded row, and compare the bytes.

    If the bytes differ, it lists what differs from the record: model, libraries, device, number
    format. Works while the bot runs; the two then share the memory of the device.

    Exit status: 0 the same bytes · 1 different ones · 2 it could not be made.
    """
    settings = settings_from(env_file)
    log.configure("error")
    from bot.cli.render_replay import progress_line, show_replayed
    from bot.cli.replay import replay as make_again

    try:
        with progress_line(Console(stderr=True)) as tell:
            made = asyncio.run(
                make_again(
                    settings,
                    image_id,
                    dataset=dataset,
                    model=model,
                    device=device or (settings.local_devices or settings.devices)[0],
                    tell=tell,
                )
            )
    except KeyboardInterrupt:
        raise CannotReplay("Stopped before the image was made.") from None

    show_replayed(Console(), made)
    if out is not None:
        made.write(out)

    if not made.same_bytes:
        raise typer.Exit(Exit.FAILED)


app.command()(export)
app.command()(quality)
app.command()(report)
app.command()(tune)


@app.callback(invoke_without_command=True)
def _version(
    shown: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    if shown:
        sys.stdout.write(f"oxherd {version('oxherd')}\n")
        raise typer.Exit
