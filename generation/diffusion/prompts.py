"""From prompts to the UNet's conditions: the text part of Stable Diffusion 1.x, 2.x and XL."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import torch
from diffusers import DiffusionPipeline
from transformers import BatchEncoding, PreTrainedTokenizerBase

from generation.request import ImageRequest

_REMEMBERED = 32
"""Encoded prompts kept, at most 0.7 MB each. Nearly every request has the empty negative one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What conditions the UNet in every step.

    rows: one per seed, or with guidance two: those of the negative prompt first, then the prompt's.
    embeds: [rows, tokens, width].
    added: XL's pooled embeddings [rows, pooled width] and sizes [rows, 6]; None for the others.
    """

    embeds: torch.Tensor
    added: dict[str, torch.Tensor] | None


class Conditioning(Protocol):
    def encode(self, request: ImageRequest, *, guided: bool) -> Conditions:
        """The conditions for one row per seed, or two if guided. Too long texts are cut."""
        ...


class OneEncoder:
    """Stable Diffusion 1.x and 2.x: the text encoder's last hidden state."""

    def __init__(self, pipeline: DiffusionPipeline, device: str) -> None:
        self._pipeline = pipeline
        self._encoder = pipeline.text_encoder
        self._device = device
        self._encoded = lru_cache(_REMEMBERED)(self._encode)

    def encode(self, request: ImageRequest, *, guided: bool) -> Conditions:
        texts = [request.negative_prompt, request.prompt] if guided else [request.prompt]
        rows = [self._encoded(text).repeat(len(request.seeds), 1, 1) for text in texts]

        return Conditions(embeds=torch.cat(rows), added=None)

    def _encode(self, text: str) -> torch.Tensor:
        """[1, tokens, width]."""
        tokens = _tokens(self._pipeline, self._pipeline.tokenizer, text)
        mask = None
        if getattr(self._encoder.config, "use_attention_mask", False):
            mask = tokens.attention_mask.to(self._device)

        ids = tokens.input_ids.to(self._device)
        state: torch.Tensor = self._encoder(ids, attention_mask=mask)[0]

        return state.to(self._encoder.dtype)


class TwoEncoders:
    """Stable Diffusion XL: the penultimate hidden states of two encoders, concatenated.

    Added are the second encoder's pooled output and the micro-conditioning (Podell et al., 2023):
    original size, crop and target size; as in the stock pipeline, the image's own size, uncropped.
    """

    def __init__(self, pipeline: DiffusionPipeline, device: str) -> None:
        self._pipeline = pipeline
        self._tokenizers = (pipeline.tokenizer, pipeline.tokenizer_2)
        self._encoders = (pipeline.text_encoder, pipeline.text_encoder_2)
        self._zeros_if_empty = bool(pipeline.config.force_zeros_for_empty_prompt)
        self._device = device
        self._encoded = lru_cache(_REMEMBERED)(self._encode)

    def encode(self, request: ImageRequest, *, guided: bool) -> Conditions:
        encoded = [self._encoded(request.prompt)]
        if guided:
            encoded.insert(0, self._negative(request))

        images = len(request.seeds)
        size = (request.size.height_px, request.size.width_px)
        dtype = encoded[0][0].dtype
        sizes = torch.tensor([[*size, 0, 0, *size]], dtype=dtype).to(self._device)

        return Conditions(
            embeds=torch.cat([states.repeat(images, 1, 1) for states, _ in encoded]),
            added={
                "text_embeds": torch.cat([pooled.repeat(images, 1) for _, pooled in encoded]),
                "time_ids": sizes.repeat(images * len(encoded), 1),
            },
        )

    def _negative(self, request: ImageRequest) -> tuple[torch.Tensor, torch.Tensor]:
        if request.negative_prompt or not self._zeros_if_empty:
            return self._encoded(request.negative_prompt)

        states, pooled = self._encoded(request.prompt)

        return torch.zeros_like(states), torch.zeros_like(pooled)

    def _encode(self, text: str) -> tuple[torch.Tensor, torch.Tensor]:
        """[1, tokens, width of both] and [1, pooled width]."""
        states: list[torch.Tensor] = []
        for tokenizer, encoder in zip(self._tokenizers, self._encoders, strict=True):
            ids = _tokens(self._pipeline, tokenizer, text).input_ids.to(self._device)
            output = encoder(ids, output_hidden_states=True)
            states.append(output.hidden_states[-2])

        pooled: torch.Tensor = output[0]

        return torch.cat(states, dim=-1).to(encoder.dtype), pooled


def _tokens(
    pipeline: DiffusionPipeline, tokenizer: PreTrainedTokenizerBase, text: str
) -> BatchEncoding:
    """The text's tokens, several for a textual inversion that has several vectors."""
    return tokenizer(
        pipeline.maybe_convert_prompt(text, tokenizer),
        padding="max_length",
        max_length=tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    )
