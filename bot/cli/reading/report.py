"""`oxherd report`: pages to look at, and a server for them on this machine."""

import functools
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from bot.cli.env_file import DEFAULT_ENV_FILE, EnvFile, settings_from
from bot.cli.reading.export import progress_bar
from bot.cli.reading.filters import Dataset, Revision


def report(
    out: Annotated[Path, typer.Argument(help="Folder that is absent or empty.")],
    env_file: EnvFile = DEFAULT_ENV_FILE,
    dataset: Dataset = None,
    revision: Revision = None,
    publish: Annotated[
        bool, typer.Option("--publish", help="Leave out everything personal: voters and times.")
    ] = False,
    serve: Annotated[
        bool,
        typer.Option("--serve", help="Show it on this machine; a report in OUT is not redone."),
    ] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port for --serve.")] = 8766,
) -> None:
    """Make a page to look at: images with votes and certainty, plots, prompts and history.

    Works while the bot runs. OUT opens from the disk, needs no network, and may be put on any web
    server; with --publish it names no person.
    """
    settings = settings_from(env_file)
    from storage.folder import DataFolder
    from storage.report.report import INDEX, make

    console = Console()
    if not (serve and (out / INDEX).is_file()):
        with progress_bar() as tell:
            made = make(
                out,
                dataset=dataset or DataFolder(settings.data).dataset,
                revision=revision,
                goal=settings.raters,
                publish=publish,
                tell=tell,
            )

        lost = f" {made.unreadable:,} images could not be read." if made.unreadable else ""
        say = f"{made.images:,} images and {made.prompts:,} prompts: open {out / INDEX}.{lost}"
        console.print(Text(say), soft_wrap=True)

    if serve:
        handler = functools.partial(_Quiet, directory=str(out))
        with ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
            console.print(f"http://127.0.0.1:{server.server_port} (Ctrl-C stops it)")
            server.serve_forever()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a line a picture would hide the address."""
