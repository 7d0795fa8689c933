"""What `export` and `tune` ask alike: which dataset, and which of its votes."""

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from storage.export.selection import Options

Dataset = Annotated[
    Path | None, typer.Option(help="A copy of a dataset, instead of the bot's own.")
]
Revision = Annotated[
    str | None, typer.Option(metavar="COMMIT", help="As it was at this commit, not the newest.")
]


class Whose(StrEnum):
    """`--pairs`."""

    VOTER = "voter"
    LABELS = "labels"


class Sides(StrEnum):
    """`--split-by`."""

    PROMPT = "prompt"
    VOTER = "voter"


Pairs = Annotated[
    Whose, typer.Option(help="One voter's word, or the labels that all votes make probable.")
]
SplitBy = Annotated[
    Sides, typer.Option(help="No prompt is in two splits; with voter, no voter is either.")
]
Validation = Annotated[float, typer.Option(help="Share of the prompts for validation.")]
Test = Annotated[float, typer.Option(help="Share of the prompts for test.")]
OnlyModel = Annotated[str | None, typer.Option(help="Only images of this model.")]
Since = Annotated[
    datetime | None,
    typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="Only votes since then, UTC."),
]
MinRaters = Annotated[int, typer.Option(min=1, help="Only images with votes of so many people.")]
MinCertainty = Annotated[
    float, typer.Option(min=0, max=1, help="Only images whose label is so certain.")
]


def chosen_options(
    *,
    pairs: Whose,
    split_by: Sides,
    validation: float,
    test: float,
    model: str | None,
    since: datetime | None,
    min_raters: int,
    min_certainty: float,
    raw_ids: bool = False,
) -> "Options":
    """The options as storage takes them. Raises an ExportError for what cannot be."""
    from storage.clock import timestamp
    from storage.export import selection

    return selection.Options(
        pairs=selection.Truth(pairs),
        split_by=selection.SplitBy(split_by),
        validation=validation,
        test=test,
        model=model,
        since=None if since is None else timestamp(since.replace(tzinfo=UTC)),
        min_raters=min_raters,
        min_certainty=min_certainty,
        raw_ids=raw_ids,
    )
