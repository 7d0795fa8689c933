"""The dataset's card, README.md: what people who train with the dataset need to know. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from storage.people import ConsentVersion

# In the first commit, so that both folders are in every commit: Oxen clones a part of a repository
# with its history only if each commit has the folders that were asked for.
FOLDER_CARDS = {
    "train/README.md": "The ratings, in parts. ../README.md describes the columns.\n",
    "generations/README.md": "How each image was made, in parts. See ../README.md.\n",
}

MARKER = "<!-- oxherd dataset, format 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFacts:
    """What the operator says about the dataset."""

    title: str = "Votes on generated images"
    licence: str = "unknown"


def journal_of(card: str) -> str | None:
    """The id of the journal that the dataset is made from; None if the card is not oxherd's."""
    match = re.search(f"{re.escape(MARKER)}, journal ([0-9a-f]+):", card)

    return match[1] if match else None


def render(facts: CardFacts, *, journal_id: str, consents: Sequence[ConsentVersion] = ()) -> str:
    """The card of the dataset that is made from this journal. consents: the texts that people were
    asked to agree to."""
    return _CARD.format(
        marker=MARKER,
        journal_id=journal_id,
        title=_one_line(facts.title),
        licence=_one_line(facts.licence),
        consents="; ".join(
            f"version {text.version} of server `{text.server}`, set on {text.since[:10]}"
            for text in consents
        )
        or "none",
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())


_CARD = """\
---
configs:
- config_name: default
  data_files: images/*/*/*.png
  drop_labels: true
---
{marker}, journal {journal_id}: written by oxherd; edits are overwritten when it starts -->
# {title}

People asked for images in Discord, looked at four candidates and pressed 👍 or 👎.
Each press is a row; a changed mind replaces the row, Undo takes a press back. The history has them
all.

* Licence: {licence}
* Texts that people had to agree to: {consents}

## Files

| path | what it holds |
| --- | --- |
| `train/*/*.csv` | one row for each (image, voter): the ratings |
| `arena/*/*.csv` | one row for each (pair, voter) of blind comparisons of models |
| `images/*/*/*.png` | every image that somebody rated or compared, as posted, byte for byte |
| `generations/*/*.csv` | one row for each image made, rated or not: how to make it again |
| `train.csv` | everything in `train/`, concatenated; as old as the last commit that names it |

## Columns of `train/*/*.csv`

| column | meaning |
| --- | --- |
| `prompt` | what was asked for |
| `path` | the image, relative to the dataset's folder |
| `rating` | `good` or `bad` |
| `voter_id` | the voter's Discord id; a number below 2**53 is a random one in its place |
| `image_id`, `set_id`, `slot` | the image, the request it was made for, its number there (1 to 4) |
| `voted_at` | when this voter last changed their mind, UTC |
| `seed`, `model`, `revision` | what made the image; `generations` has the rest |
| `server` | a random name of the Discord server; `unknown` if the host was lost in between |
| `own_request` | whether the voter asked for the image: `yes`, `no` or `unknown` |
| `shown_in` | where they saw it: `post` in the channel, `rate` one image after the other |
| `seconds` | from being shown (`post`: the first press on the set) to the press; may be empty |
| `consent` | `version N` of the server's text that the voter agreed to; `not asked` without one |
| `reasons` | why, as picked from a list, with `;` between; `not given` without any |
| `gold` | `good` or `bad` if moderators marked that as the right rating; else `no` |
| `exposures` | how often `/rate` showed the voter this image; 0: they voted in the channel only |
| `repeat` | what they pressed when it was shown again: `good`, `bad`, `skipped`; `not repeated` |

`arena/*/*.csv` has, of a pair of images that two models made, `prompt`, the paths `left` and
`right`, the `choice` (`left`, `right` or `tie`), `arena_id` and `pair_id`, and `voter_id`,
`voted_at`, `server`, `shown_in`, `seconds` and `consent` as above. Who votes does not know which
model made which image: until the arena is closed, `model_left` and `model_right` are `hidden`,
`closed_at` is `open`, and `generations` has no rows for the images. `rule` is when the arena was to
end, fixed when it was opened.

`generations/*/*.csv` adds `shown_at`, `negative_prompt` and `guidance_scale` (without what had no
effect: `'` and an empty cell), `steps`, `width_px`, `height_px`, `parent` (the id of the image
that this one is a variation of, by SDEdit; `no` for one that began with noise alone), `strength`
(of a variation, above 0 to 1: the share of the steps that were made), `scheduler`, `backend`,
`device`, `dtype`, `versions` (JSON), `sha256` of the PNG, `unsafe_score` (an image classifier's, 0
to 1; empty where none looked) and `withheld`: `no` for an image that was shown, else why it was
kept back: by the `classifier` or the model's own `checker`, or as `doubtful` in a channel without
an age restriction. Nobody saw that one and its bytes were not kept. Files from before these two
columns have shown images only.

## How to load

`datasets.load_dataset` on the dataset's folder shows the images. The votes, and each vote with its
image and how that was made, from within the folder:

```python
import datasets

votes = datasets.load_dataset("csv", data_files="train/*/*.csv")
```

```python
from pathlib import Path

import datasets
import pandas


def table(name):
    files = sorted(Path(name).glob("*/*.csv"))
    return pandas.concat(pandas.read_csv(file, keep_default_na=False) for file in files)


joined = table("train").merge(table("generations"), on="image_id", suffixes=("", "_made"))
pictures = datasets.Dataset.from_pandas(joined.assign(image=joined["path"]))
pictures = pictures.cast_column("image", datasets.Image())
pictures[0]["image"]
```

`oxherd export --list` names the trainers that the dataset can be written for, with splits that do
not leak. oxherd's own small model, of which its demo's images are, is in the folder
`generation/emoji/oxherd-emoji` of oxherd, for `diffusers.StableDiffusionPipeline.from_pretrained`.

Text that people typed is guarded: a cell that a spreadsheet would run as a formula, or a reader
would take for a number, a boolean or a missing value, and one that is empty or starts with `'`,
has one `'` before it. `text.removeprefix("'")` gives the text back, for every cell of `prompt`,
`negative_prompt`, `model`, `model_left`, `model_right`, `revision`, `scheduler`, `backend`,
`device` and `dtype`.
"""
