"""The card of a LoRA, README.md: what it was made of, how, and how to use it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from generation.tuning.fidelity import MOST_LOST, Look
from generation.tuning.learning import Learnt, Settings
from generation.worker.specs import WEIGHTS

CARD = "README.md"

_LIBRARIES = ("oxherd", "torch", "diffusers", "transformers", "accelerate", "peft")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the card says of a run. base: its name, never a path. watched_by: None for nothing.

    export: what `oxherd export` wrote of the votes. device: with its hardware.
    """

    name: str
    base: str
    base_revision: str
    on_hub: bool
    export: Mapping[str, Any]
    pairs: int
    settings: Settings
    learnt: Learnt
    watched_by: str | None
    device: str
    dtype: str
    processes: int


def card(facts: Facts) -> str:
    """The text. Nothing in it is private to the machine or to a person."""
    export, learnt = facts.export, facts.learnt
    options = {name: value for name, value in export["options"].items() if value is not None}
    used = {**asdict(facts.settings), "steps": learnt.step}
    dataset = f"commit `{export['commit']}`" if export["commit"] else "a copy without history"
    versions = {library: version(library) for library in _LIBRARIES}
    base_model = f"base_model: {facts.base}\n" if facts.on_hub else ""

    return f"""\
---
{base_model}library_name: diffusers
tags: [lora, text-to-image, diffusion-dpo, oxherd]
---
# {facts.name}

A LoRA for `{facts.base}`, made from votes by `oxherd tune` with Diffusion-DPO (Wallace et al.,
2023): the model became more likely to draw what people preferred. Revision of the base:
`{facts.base_revision}`.

Whether people prefer its images is not known from training. Compare it blind with the base.

## Use

In oxherd: `OXHERD_MORE_MODELS=/path/to/{facts.name}`. The base is loaded in the revision above.

```python
from diffusers import DiffusionPipeline

pipeline = DiffusionPipeline.from_pretrained({json.dumps(facts.base)}{_revision(facts)})
pipeline.load_lora_weights({json.dumps(facts.name)}, weight_name={json.dumps(WEIGHTS)})
```

## Data

A dataset of votes ({dataset}): {export["used"]:,} of {export["votes"]:,} votes were used. The
{facts.pairs:,} pairs of the training split were learned, those of the prompts in the splits
`validation` and `test` ({export["rows"]["validation"]:,} and {export["rows"]["test"]:,} pairs) were
not.

{_table("filter", options)}

{_table("votes left out", export["left_out"]) if export["left_out"] else "No vote was left out."}

## Training

{_table("setting", used)}

{learnt.step} of {facts.settings.steps} steps, on {facts.device}, in {facts.dtype}. Processes:
{facts.processes}.

{_table("version", versions)}

## Fidelity

{_fidelity(facts.watched_by, learnt.looks)}
"""


def write_card(folder: Path, facts: Facts) -> None:
    (folder / CARD).write_text(card(facts), encoding="utf-8")


def _revision(facts: Facts) -> str:
    return f", revision={json.dumps(facts.base_revision)}" if facts.on_hub else ""


def _table(title: str, values: Mapping[str, Any]) -> str:
    lines = [f"| {title} | |", "| --- | --- |"]

    return "\n".join([*lines, *(f"| {name} | {value} |" for name, value in values.items())])


def _fidelity(watched_by: str | None, looks: Sequence[Look]) -> str:
    if watched_by is None:
        return "Nothing watched whether prompts keep their meaning. Look at images before use."

    seen = {f"after {look.step} steps": f"{look.points:.1f}" for look in looks}
    ended = ""
    if looks[0].points - looks[-1].points > MOST_LOST:
        ended = " It was, so the LoRA is the one of the look before."

    return (
        f"Measured on a fixed list of prompts: {watched_by}, in points of 100. Training stops "
        f"when more than {MOST_LOST:g} are lost.{ended}\n\n{_table('', seen)}"
    )
