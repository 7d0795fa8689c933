"""The targets: for each trainer, what its files are, who writes and reads them, and how to train.

What the trainers' code does was read in that code; a target follows the code, not its manual.
"""

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from storage.errors import ExportError
from storage.export import joined, pairs
from storage.export.claims import Said
from storage.export.output import Output
from storage.export.selection import SPLITS, Selection, Shape

_PAIRS, _RATINGS, _IMAGES = (frozenset({shape}) for shape in Shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One format. shapes: what its rows are about. files: for each split, what `datasets` loads;
    empty where nothing is for it. columns: what they mean. training: how to train with it.
    reads: whether the trainer reads a prompt as the text that it is; None if it reads all.
    """

    name: str
    purpose: str
    shapes: frozenset[Shape]
    write: Callable[[Selection, Output], None]
    read: Callable[[Path], Iterator[Said]]
    columns: Mapping[str, str]
    training: str
    files: Mapping[str, str] = field(default_factory=dict)
    reads: Callable[[str], bool] | None = None


_PARQUET = {split: f"{split}/*.parquet" for split in SPLITS}

_DPO_COLUMNS = {
    "jpg_0`, `jpg_1": "the two images: the bytes of the PNG files, as they were voted on",
    "label_0": "1 if `jpg_0` is better, 0 if `jpg_1` is",
    "caption": "the prompt",
}

_JOINED_COLUMNS = {
    "prompt`, `negative_prompt": "what was asked for, as it was typed",
    "image_id`, `set_id`, `slot": "the image, its set, its number there",
    "good`, `bad": "how many people rated it so",
    "votes": "each vote: voter, rating, when, where, after how many seconds, consent, reasons",
    "seed`, `steps`, `guidance_scale`, `width_px`, `height_px`, `model`, `revision`, `scheduler`, "
    "`backend`, `device`, `dtype`, `versions": "how it was made",
    "shown_at`, `unsafe_score`, `sha256": "when it was posted, a classifier's score, its bytes",
}

_TARGETS = (
    Target(
        name="diffusers-dpo",
        purpose="Diffusion-DPO with diffusers' scripts, for SD 1.5 and SDXL",
        shapes=_PAIRS,
        write=pairs.write_dpo,
        read=pairs.read_dpo,
        columns=_DPO_COLUMNS,
        files=_PARQUET,
        training="""\
The script is in diffusers, `examples/research_projects/diffusion_dpo`. The one beside it for SDXL
takes the same options.

```sh
accelerate launch train_diffusion_dpo.py --dataset_name OUT --dataset_split_name train \\
  --pretrained_model_name_or_path stable-diffusion-v1-5/stable-diffusion-v1-5 \\
  --resolution 512 --train_batch_size 4 --max_train_steps 2000 --output_dir dpo-lora
```""",
    ),
    Target(
        name="salesforce-dpo",
        purpose="Diffusion-DPO with the code of its paper (SalesforceAIResearch/DiffusionDPO)",
        shapes=_PAIRS,
        write=pairs.write_dpo,
        read=pairs.read_dpo,
        columns=_DPO_COLUMNS,
        files=_PARQUET,
        training="""\
```sh
accelerate launch train.py --dataset_name OUT --split train --caption_column caption \\
  --pretrained_model_name_or_path stable-diffusion-v1-5/stable-diffusion-v1-5 \\
  --train_batch_size 1 --max_train_steps 2000 --beta_dpo 5000 --output_dir dpo-unet
```""",
    ),
    Target(
        name="imagefolder",
        purpose="the images with everything known of them, for `datasets` and for looking at",
        shapes=_IMAGES,
        write=joined.write_imagefolder,
        read=joined.read_imagefolder,
        columns={"file_name": "the image, beside `metadata.jsonl`", **_JOINED_COLUMNS},
        training="""\
```python
import datasets

images = datasets.load_dataset("imagefolder", data_dir="OUT", split="train")
liked = images.filter(lambda row: row["good"] > row["bad"])
```

diffusers' `train_text_to_image.py` takes the folder too:

```sh
accelerate launch train_text_to_image.py --train_data_dir OUT/train --caption_column prompt \\
  --pretrained_model_name_or_path stable-diffusion-v1-5/stable-diffusion-v1-5 --resolution 512
```""",
    ),
    Target(
        name="parquet",
        purpose="one joined table with the images' bytes, for analysis",
        shapes=_IMAGES,
        write=joined.write_parquet,
        read=joined.read_joined_parquet,
        columns={"image": "the bytes of the PNG file, as they were voted on", **_JOINED_COLUMNS},
        files=_PARQUET,
        training="""\
```python
import pandas

images = pandas.read_parquet("OUT/train")
```

`datasets.load_dataset("OUT").cast_column("image", datasets.Image())` shows the images.""",
    ),
)

TARGETS: Mapping[str, Target] = {target.name: target for target in _TARGETS}


def target_named(name: str) -> Target:
    """The target. Raises an ExportError with the most similar name."""
    found = TARGETS.get(name)
    if found is None:
        nearest = difflib.get_close_matches(name, TARGETS, n=1)
        raise ExportError.unknown_target(name, nearest=nearest)

    return found
