"""The LoRA while it is learned: in the UNet's attention, beside weights that stay as they are."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline
from diffusers.utils import convert_state_dict_to_diffusers
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict

Weights = dict[str, torch.Tensor]

_ATTENTION = ["to_k", "to_q", "to_v", "to_out.0"]


class Adapter:
    """A LoRA in a pipeline's UNet. It begins as nothing: the UNet does what it did."""

    def __init__(self, unet: Any, *, rank: int, seed: int) -> None:
        self._unet = unet
        unet.requires_grad_(False)
        torch.manual_seed(seed)
        unet.add_adapter(
            LoraConfig(
                r=rank, lora_alpha=rank, init_lora_weights="gaussian", target_modules=_ATTENTION
            )
        )
        for parameter in self.parameters():  # in float32 whatever the model is in
            parameter.data = parameter.data.float()

    def parameters(self) -> list[torch.nn.Parameter]:
        """What is learned."""
        return [parameter for parameter in self._unet.parameters() if parameter.requires_grad]

    @contextmanager
    def off(self) -> Iterator[None]:
        """The UNet as it was before."""
        self._unet.disable_adapters()
        try:
            yield
        finally:
            self._unet.enable_adapters()

    def weights(self) -> Weights:
        """A copy of what was learned so far."""
        found: Weights = get_peft_model_state_dict(self._unet)

        return {name: weight.detach().cpu().clone() for name, weight in found.items()}

    def restore(self, weights: Weights) -> None:
        """Go back to such a copy."""
        set_peft_model_state_dict(self._unet, weights)

    def save(self, weights: Weights, pipeline: DiffusionPipeline, folder: Path, name: str) -> None:
        """Write the file that diffusers and other programs load as a LoRA.

        Without peft's settings, which say nothing that the weights do not: the scale is one. Its
        file would have two entries of metadata, whose order is another one in each process.
        """
        pipeline.save_lora_weights(
            folder,
            unet_lora_layers=convert_state_dict_to_diffusers(weights),
            weight_name=name,
        )
        (folder / name).chmod(0o644)  # another user may run the bot
