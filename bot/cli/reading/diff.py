"""`oxherd log --diff`: what changed between two commits."""

from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bot.cli.reading.export import progress_bar
from bot.settings import Settings
from storage.plurals import count

_SHOWN = 100


def show_diff(settings: Settings, commits: str, *, dataset: Path | None) -> None:
    """Print the votes and images that differ, and how many there are. commits: `A..B`."""
    from storage.folder import DataFolder
    from storage.reading.diff import differences

    before, dots, after = commits.partition("..")
    if not (before and dots and after):
        raise typer.BadParameter("--diff takes two commits: --diff A..B.")

    place = dataset or DataFolder(settings.data).dataset
    with progress_bar() as tell:
        found = differences(place, before, after, tell=tell)

    came = sum(vote.before is None for vote in found.votes)
    went = sum(vote.after is None for vote in found.votes)
    console = Console()
    console.print(
        f"{count(came, 'vote')} came, {count(went, 'vote')} went, "
        f"{count(len(found.votes) - came - went, 'vote')} changed; "
        f"{count(len(found.came), 'image')} came, {count(len(found.went), 'image')} went.",
        soft_wrap=True,
    )
    table = Table(box=None, pad_edge=False)
    for heading in ("image", "voter", "before", "after"):
        table.add_column(heading, overflow="fold")

    for vote in found.votes[:_SHOWN]:
        ratings = (vote.before or "-", vote.after or "-")
        table.add_row(Text(vote.image_id), str(vote.voter_id), *ratings)

    if found.votes:
        console.print(table)

    if len(found.votes) > _SHOWN:
        console.print(f"… and {len(found.votes) - _SHOWN:,} more votes.")
