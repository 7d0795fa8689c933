"""The text encoder and the UNet: from captions and noise to codes.

A UNet that is trained together with an untrained text encoder learns what an emoji is long before
it learns which one: after 90,000 pictures the right one was among the 5 nearest in 4 % of cases. So
the text encoder is trained first, alone, to predict the picture. It has 40 positions, of which few
prompts fill 24, and each of the last 16 predicts one cell of a 4x4 grid over the picture. That
takes minutes. The UNet then reads a cell at its position, and the whole in the mean of all.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from training.captions import FILLERS, Caption, caption, mentioned
from training.codes import CHANNELS, Codes
from training.loop import Schedule, train
from training.views import lit

TOKENS = 40
"""The tokens that the text encoder reads of a prompt, including the start and end tokens."""

VOCABULARY = 4800
_TEXT_WIDTH = 128
BATCH = 12
"""Pictures in one worker's part of a step."""

_TOWARDS_NOISE = 0.5

NOISE: dict[str, Any] = {
    "beta_schedule": "squaredcos_cap_v2",
    "prediction_type": "v_prediction",
    "num_train_timesteps": 1000,
}
"""Ends in pure noise: otherwise a background of a single colour could not be learned."""

_CELLS = 16
_READER_BATCH = 48
_RARE_WORDS = 8.0
"""The token embeddings' share of the learning rate: most words are rare."""

_READER_SHARE = 0.2
"""The text encoder's share of the learning rate while it is trained with the UNet."""

READER = Schedule(steps=4900, learning_rate=1.5e-3, warm_up=50, weight_decay=1e-3, average=0.99)
DENOISER = Schedule(
    steps=8800,
    learning_rate=1.2e-3,
    warm_up=200,
    weight_decay=0.01,
    average=0.997,
    final_fraction=0.01,
)


def new_tokenizer(captions: Sequence[Caption]) -> CLIPTokenizer:
    """CLIP's tokenizer with a vocabulary learned from the captions."""
    clip = CLIPTokenizer().backend_tokenizer
    learning = Tokenizer(
        models.BPE(
            continuing_subword_prefix="", end_of_word_suffix="</w>", unk_token="<|endoftext|>"
        )
    )
    learning.normalizer, learning.pre_tokenizer = clip.normalizer, clip.pre_tokenizer
    texts = [one.label for one in captions for _ in range(3)]
    texts += [" ".join(one.tags) for one in captions] + [" ".join(FILLERS)] * 10
    learning.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            special_tokens=["<|startoftext|>", "<|endoftext|>", *_word_ends(learning, texts)],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            end_of_word_suffix="</w>",
            show_progress=False,
        ),
    )
    learnt = json.loads(learning.to_str())["model"]

    return CLIPTokenizer(
        vocab=learnt["vocab"],
        merges=[tuple(pair) for pair in learnt["merges"]],
        model_max_length=TOKENS,
    )


def _word_ends(tokenizer: Tokenizer, texts: Sequence[str]) -> list[str]:
    """The last letters of words, as tokens; the trainer would number them in random order."""
    words = {
        word
        for text in set(texts)
        for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(
            tokenizer.normalizer.normalize_str(text)
        )
    }

    return sorted({f"{word[-1]}</w>" for word in words})


def new_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=_TEXT_WIDTH,
            intermediate_size=3 * _TEXT_WIDTH,
            num_hidden_layers=3,
            num_attention_heads=4,
            max_position_embeddings=TOKENS,
            projection_dim=_TEXT_WIDTH,
            hidden_act="gelu",
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def new_unet() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        down_block_types=("CrossAttnDownBlock2D",) * 2,
        up_block_types=("CrossAttnUpBlock2D",) * 2,
        block_out_channels=(96, 144),
        layers_per_block=1,
        cross_attention_dim=_TEXT_WIDTH,
        attention_head_dim=4,
        addition_embed_type="text",
        addition_embed_type_num_heads=4,
        resnet_time_scale_shift="scale_shift",
        norm_num_groups=16,
    )


def train_reader(
    captions: Sequence[Caption],
    codes: torch.Tensor,
    tokenizer: CLIPTokenizer,
    checkpoint: Path,
    schedule: Schedule = READER,
) -> CLIPTextModel:
    """A text encoder that predicts the picture: its last positions are the cells of a 4x4 grid.

    codes: [n, CHANNELS, 8, 8] of the pictures, in the captions' order.
    """
    torch.manual_seed(0)
    encoder = new_text_encoder(tokenizer)
    torch.nn.init.normal_(encoder.get_input_embeddings().weight, std=0.1)
    cells = _cells(codes)
    head = torch.nn.Linear(_TEXT_WIDTH, cells.shape[2])
    model = torch.nn.ModuleDict({"text": encoder, "head": head})
    others = mentioned(captions)

    def loss_at(step: int) -> torch.Tensor:
        random = Random(step)
        chosen = _chosen(step, len(captions), _READER_BATCH)
        texts = [caption(captions[n], random, others) or f"a {captions[n].label}" for n in chosen]
        seen = model["text"](_tokens(tokenizer, texts))[0][:, -_CELLS:]

        loss: torch.Tensor = (model["head"](seen) - cells[chosen]).pow(2).mean()

        return loss

    shares = {"token_embedding": _RARE_WORDS}
    averaged = train(model, loss_at, schedule, checkpoint, title="reader", shares=shares)
    model.load_state_dict(averaged)

    return model["text"]


def _cells(codes: torch.Tensor) -> torch.Tensor:
    """From [n, CHANNELS, 8, 8] to [n, _CELLS, CHANNELS * 4], row by row."""
    blocks = codes.reshape(len(codes), CHANNELS, 4, 2, 4, 2)

    return blocks.permute(0, 2, 4, 1, 3, 5).reshape(len(codes), _CELLS, -1)


def _tokens(tokenizer: CLIPTokenizer, texts: Sequence[str]) -> torch.Tensor:
    """[texts, TOKENS], as the pipeline makes them."""
    ids: torch.Tensor = tokenizer(
        list(texts),
        padding="max_length",
        truncation=True,
        max_length=TOKENS,
        return_tensors="pt",
    ).input_ids

    return ids


def train_denoiser(
    captions: Sequence[Caption],
    pictures: torch.Tensor,
    codes: Codes,
    tokenizer: CLIPTokenizer,
    reader: CLIPTextModel,
    checkpoint: Path,
    schedule: Schedule = DENOISER,
) -> tuple[CLIPTextModel, UNet2DConditionModel]:
    """A UNet for a trained text encoder, whose training continues.

    pictures: [n, ways, 3, side, side] uint8, in the captions' order. Each step draws one way of a
        picture and one lighting.
    """
    torch.manual_seed(0)
    model = torch.nn.ModuleDict({"text": reader, "unet": new_unet()})
    signal = DDPMScheduler(**NOISE).alphas_cumprod
    others = mentioned(captions)

    def loss_at(step: int) -> torch.Tensor:
        generator, random = torch.Generator().manual_seed(10**6 + step), Random(step)
        chosen = _chosen(step, len(captions), BATCH)
        way = torch.randint(0, pictures.shape[1], (BATCH,), generator=generator)
        clean = codes.encode(lit(pictures[chosen, way].float(), generator))
        # Spread over the batch, with more noisy timesteps: there the caption decides.
        time = (torch.rand(1, generator=generator) + torch.arange(BATCH) / BATCH) % 1
        time = (time**_TOWARDS_NOISE * len(signal)).long()
        time = time[torch.randperm(BATCH, generator=generator)]
        noise = torch.randn(clean.shape, generator=generator)
        kept = signal[time].view(-1, 1, 1, 1)
        noisy = kept.sqrt() * clean + (1 - kept).sqrt() * noise
        velocity = kept.sqrt() * noise - (1 - kept).sqrt() * clean
        texts = [caption(captions[number], random, others) for number in chosen]
        tokens = _tokens(tokenizer, texts)
        predicted = model["unet"](noisy, time, model["text"](tokens)[0]).sample

        loss: torch.Tensor = (predicted - velocity).pow(2).mean()

        return loss

    shares = {"text.": _READER_SHARE}
    averaged = train(model, loss_at, schedule, checkpoint, title="denoiser", shares=shares)
    model.load_state_dict(averaged)

    return model["text"], model["unet"]


def _chosen(step: int, count: int, batch: int) -> list[int]:
    """The pictures of a step: each epoch goes through all of them in a new random order."""
    places = range(step * batch, (step + 1) * batch)
    orders = {
        epoch: np.random.RandomState(epoch).permutation(count)
        for epoch in {place // count for place in places}
    }

    return [int(orders[place // count][place % count]) for place in places]
