"""The targets: for each trainer, what its files are, who writes and reads them, and how to train.

What the trainers' code does was read in that code; a target follows the code, not its manual.
"""

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from storage.dataset.columns import MADE_BY_COLUMNS, REQUEST_NUMBERS
from storage.errors import ExportError
from storage.export.claims import Said
from storage.export.formats import joined, pairs, ratings, rewards, shards, trl
from storage.export.output import Output
from storage.export.selection import SPLITS, Selection, Shape

_PAIRS, _RATINGS, _IMAGES = (frozenset({shape}) for shape in Shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One format. shapes: what its rows are about. files: for each configuration and split, what
    `datasets` loads; empty where nothing is for it. columns: what they mean. training: how to
    train with it. reads: whether the trainer reads a prompt as the text that it is.
    """

    name: str
    purpose: str
    shapes: frozenset[Shape]
    write: Callable[[Selection, Output], None]
    read: Callable[[Path], Iterator[Said]]
    columns: Mapping[str, str]
    training: str
    files: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    reads: Callable[[str], bool] = lambda _: True


_PARQUET = {"default": {split: f"{split}/*.parquet" for split in SPLITS}}
_TAR = {"default": {split: f"{split}/*.tar" for split in SPLITS}}

_DPO_COLUMNS = {
    "jpg_0`, `jpg_1": "the two images: the bytes of the PNG files, as they were voted on",
    "label_0": "1 if `jpg_0` is better, 0 if `jpg_1` is",
    "caption": "the prompt",
}

_JOINED_COLUMNS = {
    "prompt`, `negative_prompt": "what was asked for, as it was typed",
    "image_id`, `set_id`, `slot": "the image, its set, its number there",
    "good`, `bad": "how many people rated it so",
    "label`, `certainty": "what the image probably is, estimated from all votes, and how probably",
    "gold`, `exposures": "the right rating, if moderators know it; how often `/rate` showed it to "
    "those who voted",
    "votes": "each vote: voter, rating, when, where, after how many seconds, consent, reasons, "
    "exposures, and what was pressed when it was shown again",
    "`, `".join((*REQUEST_NUMBERS, *MADE_BY_COLUMNS, "versions")): "how it was made",
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
        name="orpo-wds",
        purpose="ORPO for SDXL with diffusers' script that reads WebDataset shards",
        shapes=_PAIRS,
        write=shards.write_orpo,
        read=shards.read_orpo,
        columns={
            "original_prompt.txt": "the prompt",
            "jpg_0.jpg": "the better image: PNG in spite of the name, which the script asks for; "
            "it opens both",
            "jpg_1.jpg": "the worse image, likewise",
            "label_0.txt`, `label_1.txt": "always 1 and 0: for the script the first always wins",
        },
        training="""\
The script is in diffusers, `examples/research_projects/diffusion_orpo`. `{00000..00000}` goes up to
the last file of `OUT/train`, and N is the number of rows in `train`.

```sh
accelerate launch train_diffusion_orpo_sdxl_lora_wds.py --num_train_examples N \\
  --dataset_path "OUT/train/{00000..00000}.tar" --dataloader_num_workers 1 \\
  --pretrained_model_name_or_path stabilityai/stable-diffusion-xl-base-1.0 \\
  --resolution 1024 --per_gpu_batch_size 2 --max_train_steps 2000 --output_dir orpo-lora
```""",
    ),
    Target(
        name="diffusion-kto",
        purpose="Diffusion-KTO: single images that are good or bad (jacklishufan/diffusion-kto)",
        shapes=_RATINGS,
        write=ratings.write_kto,
        read=ratings.read_kto,
        reads=ratings.reads,
        columns={
            "file_name`, `file_path": "the image, relative to this folder",
            "caption": "the prompt",
            "split`, `label": "the rating: `exclusive_win` or `exclusive_lose`",
        },
        training="""\
```sh
accelerate launch train_kto_sd_v1.5.py --dataset_name local --train_data_dir OUT \\
  --dataloader pick --pick_split train --policy gt_label_w_l \\
  --pretrained_model_name_or_path stable-diffusion-v1-5/stable-diffusion-v1-5 \\
  --resolution 512 --train_batch_size 4 --max_train_steps 2000 --output_dir kto-unet
```""",
    ),
    Target(
        name="pickscore",
        purpose="PickScore: a reward model of preferences, from CLIP (yuvalkirstain/PickScore)",
        shapes=_PAIRS,
        write=pairs.write_pickscore,
        read=pairs.read_pickscore,
        columns={
            **_DPO_COLUMNS,
            "label_1": "1 - `label_0`",
            "has_label`, `are_different": "always true; whether the bytes differ",
            "num_example_per_prompt": "how many pairs the prompt has; the loss is divided by it",
            "image_0_uid`, `image_1_uid`, `best_image_uid`, `user_id": "images and voter",
            "__index_level_0__": "the number of the pair; the loader drops it",
        },
        files={
            "default": {folder: f"{folder}/*.parquet" for folder in pairs.PICKSCORE_SPLITS.values()}
        },
        training="""\
```sh
accelerate launch trainer/scripts/train.py +experiment=clip_h \\
  dataset.dataset_name=OUT dataset.dataset_config_name=default
```""",
    ),
    Target(
        name="imagereward",
        purpose="ImageReward: a reward model of rankings, from BLIP (THUDM/ImageReward)",
        shapes=_PAIRS,
        write=rewards.write_imagereward,
        read=rewards.read_imagereward,
        columns={
            "id": "the set and the voter",
            "prompt": "the prompt",
            "generations": "the images, relative to this folder",
            "ranking": "1 for the good ones, 2 for the bad ones; smaller is better",
        },
        training="""\
In the repository's folder `train`, set `data_base` and `image_base` of `src/config/config.yaml` to
OUT. Then:

```sh
python src/make_dataset.py && bash scripts/train_one_node.sh
```""",
    ),
    Target(
        name="hpsv2",
        purpose="HPSv2: a reward model of preferences, from CLIP (tgxs002/HPSv2)",
        shapes=_PAIRS,
        write=rewards.write_hpsv2,
        read=rewards.read_hpsv2,
        columns={
            "prompt": "the prompt",
            "file_path": "the two images, relative to this folder",
            "human_preference": "1 for the better one, 0 for the other",
        },
        training="""\
```sh
python -m src.training.main --dataset-type HPD --model ViT-H-14 --pretrained laion2B-s32B-b79K \\
  --train-data OUT/train.json --train-folder OUT --val-data OUT/validation.json --val-folder OUT
```""",
    ),
    Target(
        name="hpsv3",
        purpose="HPSv3: a reward model of preferences, from Qwen2-VL (MizzenAI/HPSv3)",
        shapes=_PAIRS,
        write=rewards.write_hpsv3,
        read=rewards.read_hpsv3,
        columns={
            "path1`, `path2": "the better and the worse image, relative to this folder",
            "prompt": "the prompt",
            "choice_dist": "always 1 and 0: one voter's choice",
        },
        training="""\
The loader looks for the images from where it is started, so start it here. In a copy of
`hpsv3/config/HPSv3_7B.yaml`, set `train_json_list: [train.json]` and
`test_json_list: [[validation, validation.json]]`.

```sh
cd OUT && deepspeed --module hpsv3.train --config my.yaml
```""",
    ),
    Target(
        name="trl",
        purpose="KTO and DPO of vision-language models that judge images, with TRL",
        shapes=_RATINGS | _PAIRS,
        write=trl.write_trl,
        read=trl.read_trl,
        columns={
            "images": "one image (kto) or two (dpo)",
            "prompt": "a question of the user about them, with the prompt",
            "completion`, `label": "kto: the answer that the image is good, and whether it is",
            "chosen`, `rejected": "dpo: which image is better, and the other answer",
        },
        files={
            method: {split: f"{method}/{split}/*.parquet" for split in SPLITS}
            for method in ("kto", "dpo")
        },
        training="""\
```sh
trl kto --dataset_name OUT --dataset_config kto --model_name_or_path Qwen/Qwen2.5-VL-3B-Instruct
trl dpo --dataset_name OUT --dataset_config dpo --model_name_or_path Qwen/Qwen2.5-VL-3B-Instruct
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
        name="webdataset",
        purpose="the images with everything known of them, as tar files that are read in a stream",
        shapes=_IMAGES,
        write=shards.write_webdataset,
        read=shards.read_webdataset,
        columns={
            "png": "the bytes of the PNG file, as they were voted on",
            "txt": "the prompt",
            "json": "an object with the columns that follow",
            **_JOINED_COLUMNS,
        },
        files=_TAR,
        training="""\
```python
import glob

import webdataset

images = webdataset.WebDataset(sorted(glob.glob("OUT/train/*.tar")), shardshuffle=False)
for image in images.decode("pil"):
    print(image["txt"], image["png"].size, image["json"]["good"])
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
