"""Makes an export: one commit, one target, one folder. The same again is the same bytes."""

import json
from collections import Counter
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from storage.errors import ExportError
from storage.export.card import CARD, card
from storage.export.claims import claims
from storage.export.output import Output
from storage.export.selection import SPLITS, Options, Selection, select
from storage.export.targets import Target
from storage.reading.collection import Tell, collected
from storage.reading.oxen import checked_out

ABOUT = "export.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What was written. rows: by split."""

    selection: Selection
    rows: dict[str, int]


def export(
    target: Target,
    out: Path,
    *,
    dataset: Path,
    revision: str | None,
    options: Options,
    least: int = 1,
    tell: Tell,
) -> Exported:
    """Write `out`, if at least so many votes can be used.

    Raises an ExportError or a ReadingError; then `out` is as it was.
    """
    with (
        Output.open(out) as output,
        checked_out(dataset, revision) as checkout,
        collected(checkout, tell) as collection,
    ):
        selection = select(
            collection,
            options,
            target.shapes,
            reads=target.reads,
            tell=tell,
        )
        if not selection.used and least == 1:
            raise ExportError.nothing(target.name, why=_why(selection))

        if selection.used < least:
            raise ExportError.too_few(selection.used, least=least, why=_why(selection))

        counted = Counter(claim.split for claim in claims(selection))
        rows = {split: counted[split] for split in SPLITS}
        tell("writing", 0, counted.total())
        target.write(selection, output)
        about = {
            "target": target.name,
            "commit": checkout.commit,
            "oxherd": version("oxherd"),
            "options": options.to_json(),
            "votes": selection.votes,
            "used": selection.used,
            "left_out": selection.left_out,
            "rows": rows,
        }
        output.write(ABOUT, json.dumps(about, indent=2, ensure_ascii=False) + "\n")
        output.write(CARD, card(target, selection, rows))

        return Exported(selection=selection, rows=rows)


def _why(selection: Selection) -> str:
    if not selection.votes:
        return "the dataset has no votes"

    if not selection.left_out:
        return "the dataset has no more"

    return "; ".join(f"{votes} votes: {why}" for why, votes in selection.left_out.items())
