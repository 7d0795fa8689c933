"""The card of an export, README.md: what it has, what it leaves out, and how to train with it."""

import json
import re
from collections.abc import Mapping
from importlib.metadata import version

from storage.export.selection import Options, Selection, Shape, SplitBy, Truth
from storage.export.targets import Target
from storage.plurals import count

CARD = "README.md"

_ALWAYS = (
    "A hash of the prompt without case and surplus space decides, so a prompt is in the same split "
    "of every export."
)


def card(target: Target, selection: Selection, rows: Mapping[str, int]) -> str:
    """The card. rows: how many each split has."""
    checkout = selection.collection.checkout
    of_dataset = checkout.card()
    title = _found(r"^# (.+)$", of_dataset) or "Votes on generated images"
    licence = _found(r"^\* Licence: (.+)$", of_dataset) or "unknown"
    made_from = f"commit `{checkout.commit}`" if checkout.commit else "a copy without history"
    columns = "\n".join(f"| `{name}` | {text} |" for name, text in target.columns.items())
    sizes = "\n".join(f"| {split} | {number:,} |" for split, number in rows.items())
    reasons = "".join(f"| left out: {why} | {n:,} |\n" for why, n in selection.left_out.items())
    filters = "\n".join(f"* {line}" for line in _filters(selection.options))

    return f"""\
---
license: other
license_name: {json.dumps(licence, ensure_ascii=False)}
pretty_name: {json.dumps(title, ensure_ascii=False)}
{_configs(target, rows)}---
# {title}

Written by `oxherd export {target.name}`, oxherd {version("oxherd")}, from {made_from} of the
dataset. People asked for images in Discord and pressed 👍 or 👎. For: {target.purpose}.

* Licence: {licence}
* Consent: {_consents(selection)}
* Images: the PNG files byte for byte as they were voted on. `SHA256SUMS` has the hash of each file.
* Prompts: as they were typed, without the `'` that guards cells of the dataset's CSV files.
* {_voters(selection.options)}
* {_rows_are(selection)}

## How to train

`OUT` is this folder.

{target.training}

## What it has

| split | rows |
| --- | --- |
{sizes}

| votes | |
| --- | --- |
| in the dataset | {selection.votes:,} |
| used | {selection.used:,} |
{reasons}
Votes that moderators set aside are not in the dataset, and so not here.

{filters}

## Columns

| column | meaning |
| --- | --- |
{columns}
"""


def _configs(target: Target, rows: Mapping[str, int]) -> str:
    """What `datasets` loads: the splits that have rows."""
    if not target.files:
        return ""

    lines = ["configs:"]
    for name, files in target.files.items():
        lines += [f"- config_name: {name}", "  data_files:"]
        for (split, pattern), number in zip(files.items(), rows.values(), strict=True):
            if number:
                lines += [f"  - split: {split}", f"    path: {pattern}"]

    return "\n".join([*lines, ""])


def _filters(options: Options) -> list[str]:
    by_voter = options.split_by is SplitBy.VOTER
    shares = f"validation {options.validation:.0%}, test {options.test:.0%} of the prompts"
    sides = "no prompt and no voter is" if by_voter else "no prompt is"

    return [
        f"Splits: {shares}; {sides} in two. {_ALWAYS}",
        f"Raters: at least {options.min_raters} for each image.",
        f"Certainty of an image's estimated label: at least {options.min_certainty:g}.",
        f"Model: {options.model or 'all'}. Votes since: {options.since or 'the beginning'}.",
    ]


def _voters(options: Options) -> str:
    if options.raw_ids:
        return "Voters: the ids of the dataset, as asked for with `--raw-ids`."

    return "Voters, where there are any: numbers that mean nothing outside this export."


def _rows_are(selection: Selection) -> str:
    if selection.options.pairs is Truth.LABELS:
        return (
            "Rows: the labels that all votes together make probable, by Dawid and Skene's model "
            "with two coins a voter. Pairs: each good × each bad image of one set, so no ties."
        )

    if Shape.PAIRS not in selection.shapes:
        return "Rows: each vote, or each image with the votes on it."

    return (
        "Pairs: each good × each bad image of one voter in one set. There are no ties: where a "
        "voter rated all images of a set alike, they make no pair."
    )


def _consents(selection: Selection) -> str:
    found = selection.collection.database.execute(
        "SELECT consent, count(*) FROM votes WHERE fate IS NULL GROUP BY consent ORDER BY consent"
    )

    return "; ".join(
        f"{count(votes, 'vote')} {'of people who were not asked' if text is None else said}"
        for text, votes in found
        for said in [f"under version {text} of their server's text"]
    )


def _found(pattern: str, text: str) -> str | None:
    match = re.search(pattern, text, re.MULTILINE)

    return match[1].strip() if match else None
