"""`oxherd quality`: how far the labels can be trusted."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bot.cli.env_file import DEFAULT_ENV_FILE, EnvFile, settings_from
from bot.cli.reading.export import progress_bar
from bot.cli.reading.filters import Dataset, Revision

if TYPE_CHECKING:
    from storage.quality.summary import Quality, Share


def quality(
    out: Annotated[
        Path | None, typer.Argument(help="Folder for images.csv, voters.csv and quality.json.")
    ] = None,
    env_file: EnvFile = DEFAULT_ENV_FILE,
    dataset: Dataset = None,
    revision: Revision = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show how far the labels can be trusted: agreement, certainty, reliability of voters.

    Works while the bot runs, and changes nothing. With OUT, it writes the label and certainty of
    each image, and the reliability of each voter.
    """
    settings = settings_from(env_file)
    from storage.folder import DataFolder
    from storage.quality.evidence import set_aside_beside
    from storage.quality.labels import label
    from storage.quality.summary import summarise
    from storage.quality.tables import write
    from storage.reading.collection import collected
    from storage.reading.oxen import checked_out

    place = dataset or DataFolder(settings.data).dataset
    with (
        progress_bar() as tell,
        checked_out(place, revision) as checkout,
        collected(checkout, tell) as collection,
    ):
        label(collection)
        found = summarise(collection, set_aside_beside(place), goal=settings.raters)
        if out is not None:
            write(collection, found, out)

    console = Console()
    if as_json:
        console.print_json(json.dumps(found.to_json()))
    else:
        _show(console, found)


def _show(console: Console, found: "Quality") -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")

    def row(name: str, text: str) -> None:
        table.add_row(name, Text(text))

    row("votes", f"{found.votes:,} by {found.voters:,} voters on {found.images:,} images")
    row("agreement", f"Krippendorff's alpha {_alpha(found.alpha)} (1: all agree, 0: chance)")
    for month in found.months[-12:]:
        row("", f"{month.month}: {_alpha(month.alpha)}, {month.votes:,} votes")

    certain = ", ".join(f"{n:,} at {least}" for least, n in found.certain.items())
    row("labels", f"at least so certain: {certain}")
    enough = sum(images for raters, images in found.raters.items() if raters >= found.goal)
    row("raters", f"{enough:,} images have the {found.goal} that they are to have")
    row("voters", f"{found.of_no_use:,} whose votes say nothing; the labels weigh them so")
    aside = ", ".join(f"{n:,} ({why})" for why, n in found.set_aside.items()) or "0"
    row("set aside", f"{aside} votes, by moderators")
    for share in found.slots:
        row(f"slot {share.of}", _share(share))

    for share in found.models:
        row(share.of or "no model", _share(share))

    if found.seconds:
        quartiles = " / ".join(f"{seconds:.1f}" for seconds in found.seconds)
        row("seconds", f"{quartiles} to vote (quartiles)")

    console.print(table)


def _alpha(alpha: float | None) -> str:
    return "not defined" if alpha is None else f"{alpha:.2f}"


def _share(share: "Share") -> str:
    good = share.good / share.votes

    return f"{good:.0%} good, {share.low:.0%} to {share.high:.0%} with 95 % confidence"
