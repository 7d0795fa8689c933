"""An image classifier that dislikes red: a real ViT, with weights that were thought out.

Each patch becomes how much redder than blue it is, the attention takes the average over all of
them, and the classifier's last layer reads it off. Nothing is downloaded.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessorPil

SIDE_PX = 32
_PATCH_PX = 16
_SURE = 5.0


def save_tiny_classifier(
    folder: Path, *, labels: Sequence[str] = ("normal", "nsfw"), broken: bool = False
) -> Path:
    """Save it in the folder. The last of its labels is the one for red; broken, it finds NaN."""
    config = ViTConfig(
        hidden_size=4,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=4,
        image_size=SIDE_PX,
        patch_size=_PATCH_PX,
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
    )
    model = ViTForImageClassification(config)
    weights = dict(model.named_parameters())
    with torch.no_grad():
        for name, weight in weights.items():
            weight.fill_(1.0 if "norm" in name and name.endswith("weight") else 0.0)

        mean = 1 / _PATCH_PX**2
        redder = torch.tensor([1.0, 0.0, -1.0]) * mean  # red, green, blue
        patches = weights["vit.embeddings.patch_embeddings.projection.weight"]
        patches[0] = redder[:, None, None]
        patches[1] = -redder[:, None, None]
        for projection in ("v_proj", "o_proj"):
            weights[f"vit.layers.0.attention.{projection}.weight"].copy_(torch.eye(4))

        weights["classifier.weight"][-1, 0] = math.nan if broken else _SURE
        weights["classifier.weight"][-1, 1] = -_SURE

    target = folder / "tiny-classifier"
    model.save_pretrained(target)
    ViTImageProcessorPil(size={"height": SIDE_PX, "width": SIDE_PX}).save_pretrained(target)

    return target
