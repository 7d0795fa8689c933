"""`oxherd log --diff`: what changed between two commits."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bot.cli.reading.export import progress_bar
from bot.settings import Settings
from storage.plurals import count

if TYPE_CHECKING:
    from storage.reading.diff import TableChanges

_SHOWN = 100

# What is printed of a row that came or went; of one that changed, all that differs is.
_OF_VOTES = ("rating", "reasons")
_OF_ARENA = ("prompt", "choice")
_OF_GENERATIONS = ("set_id", "prompt")


def show_diff(settings: Settings, commits: str, *, dataset: Path | None) -> None:
    """Print the rows and images that differ, and how many there are. commits: `A..B`."""
    from storage.folder import DataFolder
    from storage.reading.diff import differences

    before, dots, after = commits.partition("..")
    if not (before and dots and after):
        raise typer.BadParameter("--diff takes two commits: --diff A..B.")

    place = dataset or DataFolder(settings.data).dataset
    with progress_bar() as tell:
        found = differences(place, before, after, limit=_SHOWN, tell=tell)

    votes, rows = found.train, found.generations
    console = Console()
    console.print(
        f"{_counts(votes, 'vote')}; {_counts(found.arena, 'arena vote')}; "
        f"{count(found.images_came, 'image')} came, {count(found.images_went, 'image')} went; "
        f"{count(rows.came, 'row')} of generations came, {count(rows.went, 'row')} went, "
        f"{count(rows.changed, 'row')} changed.",
        soft_wrap=True,
    )
    _show(console, votes, _OF_VOTES, title="votes")
    _show(console, found.arena, _OF_ARENA, title="arena votes", subject="pair")
    _show(console, rows, _OF_GENERATIONS, title="rows of generations")


def _counts(changes: "TableChanges", row: str) -> str:
    return (
        f"{count(changes.came, row)} came, {count(changes.went, row)} went, "
        f"{count(changes.changed, row)} changed"
    )


def _show(
    console: Console,
    changes: "TableChanges",
    columns: Sequence[str],
    *,
    title: str,
    subject: str = "image",
) -> None:
    if not changes.first:
        return

    table = Table(box=None, pad_edge=False, title=title, title_justify="left")
    of_voters = any(row.voter_id for row in changes.first)
    for heading in (subject, *(["voter"] if of_voters else []), "before", "after"):
        table.add_column(heading, overflow="fold")

    for row in changes.first:
        key = [Text(row.subject_id), *([Text(row.voter_id)] if of_voters else [])]
        shown = row.changed or columns
        table.add_row(*key, _cells(row.before, shown), _cells(row.after, shown))

    console.print(table)
    more = changes.came + changes.went + changes.changed - len(changes.first)
    if more:
        console.print(f"… and {more:,} more {title}.")


def _cells(row: Mapping[str, str] | None, columns: Sequence[str]) -> Text:
    if row is None:
        return Text("-")

    return Text("\n".join(f"{column}: {row.get(column, '-')}" for column in columns))
