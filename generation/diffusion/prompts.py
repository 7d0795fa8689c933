"""From prompts to what the UNet is told: the text part of Stable Diffusion 1.x, 2.x and XL."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from generation.request import ImageRequest

_REMEMBERED = 32
"""Encoded prompts kept, at most 0.7 MB each; nearly every request asks for the empty one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What the UNet is told in every step, for `rows` rows: unguided ones first, then guided.

    embeds: [rows, tokens, width]. added: XL's pooled embedding [rows, pooled width] and sizes
    [rows, 6]; None for the others.
    """

    embeds: Any
    added: dict[str, Any] | None


class Conditioning(Protocol):
    def encode(self, request: ImageRequest, *, guided: bool) -> Conditions:
        """The conditions for one row per seed, or for two when guided."""
        ...


class OneEncoder:
    """Stable Diffusion 1.x and 2.x: the text encoder's last hidden state."""

    def __init__(self, pipeline: Any, device: str) -> None:
        self._tokenizer = pipeline.tokenizer
        self._encoder = pipeline.text_encoder
        self._device = device
        self._known: OrderedDict[str, Any] = OrderedDict()

    def encode(self, request: ImageRequest, *, guided: bool) -> Conditions:
        texts = [request.negative_prompt, request.prompt] if guided else [request.prompt]
        rows = [self._encoded(text).repeat(len(request.seeds), 1, 1) for text in texts]

        return Conditions(embeds=torch.cat(rows), added=None)

    def _encoded(self, text: str) -> Any:
        """[1, tokens, width]; a text longer than the encoder takes is cut."""
        if text not in self._known:
            tokens = _tokens(self._tokenizer, text)
            mask = None
            if getattr(self._encoder.config, "use_attention_mask", False):
                mask = tokens.attention_mask.to(self._device)

            ids = tokens.input_ids.to(self._device)
            state = self._encoder(ids, attention_mask=mask)[0].to(self._encoder.dtype)
            _remember(self._known, text, state)

        self._known.move_to_end(text)

        return self._known[text]


class TwoEncoders:
    """Stable Diffusion XL: the last hidden state but one of two encoders, side by side.

    Beside it goes what the second encoder pooled, and the size that the picture pretends to be a
    crop of: as in the stock pipeline, its own.
    """

    def __init__(self, pipeline: Any, device: str) -> None:
        self._tokenizers = (pipeline.tokenizer, pipeline.tokenizer_2)
        self._encoders = (pipeline.text_encoder, pipeline.text_encoder_2)
        self._zeros_if_empty = bool(pipeline.config.force_zeros_for_empty_prompt)
        self._device = device
        self._known: OrderedDict[str, tuple[Any, Any]] = OrderedDict()

    def encode(self, request: ImageRequest, *, guided: bool) -> Conditions:
        encoded = [self._encoded(request.prompt)]
        if guided:
            encoded.insert(0, self._unwanted(request))

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

    def _unwanted(self, request: ImageRequest) -> tuple[Any, Any]:
        if request.negative_prompt or not self._zeros_if_empty:
            return self._encoded(request.negative_prompt)

        states, pooled = self._encoded(request.prompt)

        return torch.zeros_like(states), torch.zeros_like(pooled)

    def _encoded(self, text: str) -> tuple[Any, Any]:
        """[1, tokens, both widths] and [1, pooled width]; a text that is too long is cut."""
        if text not in self._known:
            states, pooled = [], None
            for tokenizer, encoder in zip(self._tokenizers, self._encoders, strict=True):
                ids = _tokens(tokenizer, text).input_ids.to(self._device)
                said = encoder(ids, output_hidden_states=True)
                states.append(said.hidden_states[-2])
                pooled = said[0]

            _remember(self._known, text, (torch.cat(states, dim=-1).to(encoder.dtype), pooled))

        self._known.move_to_end(text)

        return self._known[text]


def _tokens(tokenizer: Any, text: str) -> Any:
    return tokenizer(
        text,
        padding="max_length",
        max_length=tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    )


def _remember(known: OrderedDict[str, Any], text: str, encoded: Any) -> None:
    known[text] = encoded
    if len(known) > _REMEMBERED:
        known.popitem(last=False)
