"""`oxherd export`: the dataset in the format of a trainer, and `--verify`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from bot.cli.env_file import DEFAULT_ENV_FILE, EnvFile, settings_from
from bot.cli.exit_status import Exit
from bot.cli.reading.filters import (
    Dataset,
    MinCertainty,
    MinRaters,
    OnlyModel,
    Pairs,
    Revision,
    Sides,
    Since,
    SplitBy,
    Test,
    Validation,
    Whose,
    chosen_options,
)

if TYPE_CHECKING:
    from storage.export.export import Exported


def export(
    target: Annotated[str | None, typer.Argument(help="The format; --list has all.")] = None,
    out: Annotated[Path | None, typer.Argument(help="Folder that is absent or empty.")] = None,
    env_file: EnvFile = DEFAULT_ENV_FILE,
    dataset: Dataset = None,
    revision: Revision = None,
    pairs: Pairs = Whose.VOTER,
    split_by: SplitBy = Sides.PROMPT,
    validation: Validation = 0.1,
    test: Test = 0.1,
    model: OnlyModel = None,
    since: Since = None,
    min_raters: MinRaters = 1,
    min_certainty: MinCertainty = 0.0,
    exclude_set_aside: Annotated[
        bool,
        typer.Option(
            "--exclude-set-aside", help="Without votes that moderators set aside: always so."
        ),
    ] = True,
    raw_ids: Annotated[
        bool, typer.Option("--raw-ids", help="The dataset's voter ids, not numbers for them.")
    ] = False,
    verify: Annotated[
        Path | None, typer.Option(metavar="OUT", help="Check an export against the votes.")
    ] = None,
    list_targets: Annotated[
        bool, typer.Option("--list", help="Say what each target is for.")
    ] = False,
) -> None:
    """Write the dataset in the format of a trainer: `oxherd export TARGET OUT`.

    Works while the bot runs. Every vote is used, or left out for a reason that is counted. The card
    in OUT has the command to train with. The same commit and options give the same bytes.
    """
    from storage.export.targets import TARGETS, target_named

    console = Console()
    if list_targets:
        table = Table(box=None, pad_edge=False, show_header=False)
        for each in TARGETS.values():
            table.add_row(each.name, Text(each.purpose))

        console.print(table)
        return

    settings = settings_from(env_file)
    if verify is not None:
        _verify(verify, dataset=dataset, own=_dataset_of(settings.data), console=console)
        return

    if target is None or out is None:
        raise typer.BadParameter("Name a target and a folder: oxherd export TARGET OUT.")

    from storage.export.export import export as write

    options = chosen_options(
        pairs=pairs,
        split_by=split_by,
        validation=validation,
        test=test,
        model=model,
        since=since,
        min_raters=min_raters,
        min_certainty=min_certainty,
        raw_ids=raw_ids,
    )
    with progress_bar() as tell:
        done = write(
            target_named(target),
            out,
            dataset=dataset or _dataset_of(settings.data),
            revision=revision,
            options=options,
            tell=tell,
        )

    _show(console, done, out=out)


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    """A bar on standard error while the context lasts; nothing outside a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("")

        def tell(doing: str, done: int, total: int) -> None:
            bar.update(task, description=doing, completed=done, total=total or None)

        yield tell


def _verify(out: Path, *, dataset: Path | None, own: Path, console: Console) -> None:
    """Print what is wrong; exit 1 if anything is."""
    from storage.errors import ReadingError
    from storage.export.verify import verify

    with progress_bar() as tell:
        try:
            found = verify(out, dataset=dataset or own, tell=tell)
        except ReadingError:
            if dataset is not None:
                raise

            found = verify(out, dataset=None, tell=tell)

    for problem in found.problems:
        console.print(Text(problem), soft_wrap=True)

    if found.problems:
        raise typer.Exit(Exit.FAILED)

    if found.compared_with is None:
        say = (
            "The files are as they were written. The rows were not compared with the votes: "
            "name the dataset with --dataset."
        )
    else:
        say = f"Every row is what the votes of commit {found.compared_with} say."

    console.print(Text(f"{out} is a sound {found.target} export of {found.rows:,} rows. {say}"))


def _show(console: Console, done: "Exported", *, out: Path) -> None:
    selection = done.selection
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(justify="right")
    table.add_column(overflow="fold")
    for split, rows in done.rows.items():
        table.add_row(f"{rows:,}", f"rows in {split}")

    table.add_row(f"{selection.votes:,}", "votes in the dataset")
    table.add_row(f"{selection.used:,}", "used")
    for reason, votes in selection.left_out.items():
        table.add_row(f"{votes:,}", Text(f"left out: {reason}"))

    console.print(table)
    console.print(Text(f"{out / 'README.md'} says how to train with it."), soft_wrap=True)


def _dataset_of(data: Path) -> Path:
    from storage.folder import DataFolder

    return DataFolder(data).dataset
