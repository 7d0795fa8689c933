"""The text encoder: from a prompt to what the UNet paints after.

What an emoji looks like need not be learned by gradient descent: it is known. So the text encoder,
a plain CLIPTextModel, is half trained and half computed.

* Trained: two layers of attention that tell which emoji a prompt means. Captions are short, so this
  is cheap.
* Computed: the second layer's MLP is a memory. It has one neuron for each emoji in each style; the
  neuron of the emoji that is meant writes the picture's principal components. The third layer's
  MLP turns them into the picture: each of the last 64 positions is a cell of a 4x4 grid over the
  picture in one style, and has neurons of its own that compute this cell's part.

A UNet that reads cells need not learn any picture, only to copy, in the style that the noise
suggests.

The hidden state has fixed places: see `LEARNT` and those after it. Those that are not learned keep
their values through all layers, because nothing writes there. Layer norms would change them; so
constant values outweigh what varies, and norms scale by nearly the same number everywhere.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from training.captions import FILLERS, Caption, caption, in_style, mentioned
from training.codes import CHANNELS
from training.loop import Schedule, Weights, load_if_fitting, train
from training.styles import STYLES

GRID = 4
CELLS = GRID**2 * len(STYLES)
WORDS = 32
"""The positions for the prompt, with its start and its end; few prompts need more."""

TOKENS = WORDS + CELLS
VOCABULARY = 3000

# Places in the hidden state. What the UNet reads is after `LEARNT`.
LEARNT = slice(0, 256)
_CELL = slice(256, 328)
_STYLE, _ROW, _COLUMN = slice(328, 332), slice(332, 336), slice(336, 340)
_ASKED = slice(340, 344)
_LEVEL, _END, _REST, _DRAWN = slice(344, 346), slice(346, 348), slice(348, 350), slice(350, 352)
WIDTH = 352
_WIDTH_OF_CELL = 72

_LOUD = 8.0
"""The values in fixed places."""

_STEADY = _LOUD * (1 - 1 / GRID)
"""The value of the place that an address names; the others have `_STEADY - _LOUD`."""

_RADIUS = 1600.0
"""The length of what the memory writes: much more than everything else together."""

_STEADYING = 4.0
"""How many times longer than that is what is added last, where nobody reads it. A prompt that is
half understood excites its neuron half as much; the last norm would make up for that by making
everything louder, the cells' addresses too, and the UNet would draw coloured patches."""

_MEANT = 8.0
"""How much the neuron of the emoji that is meant is excited; others are not."""

_OFF = 24.0
_COMPUTING = 640
"""The first layer's neurons; its MLP has more, which are not used."""

_BATCH = 64
READER = Schedule(
    steps=5000,
    learning_rate=1.5e-3,
    warm_up=100,
    weight_decay=0.0,
    average=0.995,
    checkpoint_every=200,
)
_IS_LONG = 0.1
"""How often a cell's place has a word, as in prompts that are too long."""

_RARE_WORDS = 8.0
"""The token embeddings' share of the learning rate: most words are rare."""


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
    texts += [" ".join(words for style in STYLES for words in style.words)] * 10
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


def new_text_encoder(tokenizer: CLIPTokenizer, emoji: int) -> CLIPTextModel:
    """With fixed places set, and neither trained nor given pictures yet."""
    torch.manual_seed(0)
    encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=WIDTH,
            intermediate_size=max(len(STYLES) * (emoji + 1) + 1, (CELLS + 1) * _WIDTH_OF_CELL),
            num_hidden_layers=3,
            num_attention_heads=4,
            max_position_embeddings=TOKENS,
            projection_dim=WIDTH,
            hidden_act="gelu",
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    body = _body(encoder)
    with torch.no_grad():
        _fix_embeddings(body, int(tokenizer.eos_token_id))
        for layer in body.encoder.layers[:2]:
            _ignore_ends(layer.self_attn)

        for layer in body.encoder.layers:
            for part in (layer.self_attn.out_proj, layer.mlp.fc2):
                part.weight[LEARNT.stop :] = 0
                part.bias.zero_()

        first, second, third = body.encoder.layers
        first.mlp.fc1.weight[_COMPUTING:] = 0
        first.mlp.fc1.bias[_COMPUTING:] = 0
        first.mlp.fc2.weight[:, _COMPUTING:] = 0
        third.self_attn.out_proj.weight.zero_()
        second.self_attn.out_proj.weight[_ASKED] = 0.01 * torch.randn(len(STYLES), WIDTH)

    return encoder


def _body(encoder: CLIPTextModel) -> Any:
    """transformers moved the layers from `text_model` to the model itself in version 5."""
    return getattr(encoder, "text_model", encoder)


def _fix_embeddings(body: Any, end: int) -> None:
    tokens = body.embeddings.token_embedding.weight
    places = body.embeddings.position_embedding.weight
    tokens.normal_(std=0.5)
    tokens[:, LEARNT.stop :] = 0
    tokens[end] = 0
    tokens[end, _END] = torch.tensor([_LOUD, -_LOUD])
    places.zero_()
    places[:WORDS, LEARNT] = 0.3 * torch.randn(WORDS, LEARNT.stop)
    places[:, _LEVEL] = torch.tensor([_LOUD, -_LOUD])
    places[WORDS:, _DRAWN] = torch.tensor([_LOUD, -_LOUD])
    places[WORDS:, _STYLE.start : _COLUMN.stop] = _addresses()


def _addresses() -> torch.Tensor:
    """[CELLS, 12]: the cells' styles, rows and columns, with a mean of 0."""
    ones = _LOUD * (torch.eye(GRID) - 1 / GRID)
    styles, rows, columns = torch.meshgrid(
        torch.arange(len(STYLES)), torch.arange(GRID), torch.arange(GRID), indexing="ij"
    )

    return torch.cat([ones[styles.flatten()], ones[rows.flatten()], ones[columns.flatten()]], 1)


def _ignore_ends(attention: Any) -> None:
    """Nobody attends to the end of the prompt, nor to cells: the first number of a head's key is
    large and negative there, and that of its query is 1.
    """
    for head in range(attention.num_heads):
        row = head * attention.head_dim
        for part in (attention.q_proj, attention.k_proj):
            part.weight[row] = 0
            part.bias[row] = 0

        attention.q_proj.bias[row] = 1
        for places in (_END, _DRAWN):
            attention.k_proj.weight[row, places] = torch.tensor([-40.0, 40.0])


def _hold(parameter: torch.nn.Parameter, learns: torch.Tensor) -> None:
    """Only where `learns` is 1 does the parameter learn."""
    parameter.register_hook(lambda gradient: gradient * learns)


def _hold_fixed_places(encoder: CLIPTextModel, end: int) -> None:
    body = _body(encoder)
    learnt = torch.zeros(WIDTH)
    learnt[LEARNT] = 1
    tokens = learnt.repeat(len(body.embeddings.token_embedding.weight), 1)
    tokens[end] = 0
    _hold(body.embeddings.token_embedding.weight, tokens)

    def same_in_all_cells(gradient: torch.Tensor) -> torch.Tensor:
        cells = gradient[WORDS:].sum(0).expand(CELLS, -1)

        return learnt * torch.cat([gradient[:WORDS], cells])

    body.embeddings.position_embedding.weight.register_hook(same_in_all_cells)
    first, second, _ = body.encoder.layers
    asked = learnt.clone()
    asked[_ASKED] = 1
    for layer, writes in ((first, learnt), (second, asked)):
        heads = torch.ones(WIDTH)
        heads[:: layer.self_attn.head_dim] = 0
        for part in (layer.self_attn.q_proj, layer.self_attn.k_proj):
            _hold(part.weight, heads[:, None])
            _hold(part.bias, heads)

        _hold(layer.self_attn.out_proj.weight, writes[:, None])
        _hold(layer.self_attn.out_proj.bias, writes)
        for norm in (layer.layer_norm1, layer.layer_norm2):
            _hold(norm.weight, learnt)
            _hold(norm.bias, learnt)


class _Reading(torch.nn.Module):
    """What is trained of the text encoder, without the neurons that are computed."""

    def __init__(self, encoder: CLIPTextModel, emoji: int, *, is_begun: bool = False) -> None:
        super().__init__()
        body = _body(encoder)
        first, second, _ = body.encoder.layers
        self.embeddings = body.embeddings
        self.attention: Any = torch.nn.ModuleList([first.self_attn, second.self_attn])
        self.norms: Any = torch.nn.ModuleList([first.layer_norm1, first.layer_norm2])
        self.norms.extend([second.layer_norm1, second.layer_norm2])
        # The unused neurons of the first layer would cost most of the time.
        self.wide = torch.nn.Linear(WIDTH, _COMPUTING)
        self.narrow = torch.nn.Linear(_COMPUTING, LEARNT.stop)
        self.known = torch.nn.Linear(LEARNT.stop, emoji + 1)
        with torch.no_grad():
            self.known.weight.normal_(std=LEARNT.stop**-0.5)
            self.known.bias.fill_(-2.0)
            if is_begun:
                self.wide.weight.copy_(first.mlp.fc1.weight[:_COMPUTING])
                self.wide.bias.copy_(first.mlp.fc1.bias[:_COMPUTING])
                self.narrow.weight.copy_(first.mlp.fc2.weight[LEARNT, :_COMPUTING])
                self.narrow.bias.copy_(first.mlp.fc2.bias[LEARNT])
                self.known.weight.copy_(second.mlp.fc1.weight[: emoji + 1, LEARNT])
                self.known.bias.copy_(second.mlp.fc1.bias[: emoji + 1])

    def forward(self, ids: torch.Tensor, cell: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What the neurons are excited by, [n, emoji + 1], and the styles asked for, [n, styles].

        ids: [n, length]. cell: [n], the place of the last.
        """
        places = torch.arange(ids.shape[1]).expand(ids.shape).clone()
        places[:, -1] = WORDS + cell
        hidden = self.embeddings(input_ids=ids, position_ids=places)
        hidden = hidden + self._attend(0, hidden, hidden)
        seen = F.gelu(self.wide(self.norms[1](hidden)))
        hidden = hidden + F.pad(self.narrow(seen), (0, WIDTH - LEARNT.stop))
        last = hidden[:, -1:] + self._attend(1, hidden, hidden[:, -1:])
        excited: torch.Tensor = self.known(self.norms[3](last)[:, 0, LEARNT])

        return excited, last[:, 0, _ASKED]

    def _attend(self, layer: int, hidden: torch.Tensor, asking: torch.Tensor) -> torch.Tensor:
        """As CLIPAttention does, for the last positions only."""
        attention, norm = self.attention[layer], self.norms[2 * layer]
        read = norm(hidden)
        query, key, value = (
            part(one).unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)
            for part, one in (
                (attention.q_proj, read[:, -asking.shape[1] :]),
                (attention.k_proj, read),
                (attention.v_proj, read),
            )
        )
        is_causal = asking.shape[1] > 1
        found = F.scaled_dot_product_attention(query, key, value, is_causal=is_causal)
        written: torch.Tensor = attention.out_proj(found.transpose(1, 2).flatten(2))

        return written


def train_reader(
    captions: Sequence[Caption],
    tokenizer: CLIPTokenizer,
    encoder: CLIPTextModel,
    checkpoint: Path,
    schedule: Schedule = READER,
    begun: Weights | None = None,
) -> torch.nn.Linear:
    """Train the encoder to know which emoji is meant. Returns what the memory's neurons know.

    The last of them stands for the empty prompt. begun: a text encoder's weights to go on from.
    """
    is_begun = load_if_fitting(encoder, begun)
    _hold_fixed_places(encoder, int(tokenizer.eos_token_id))
    model = _Reading(encoder, len(captions), is_begun=is_begun)
    others = mentioned(captions)

    def loss_at(step: int) -> torch.Tensor:
        random, generator = Random(step), torch.Generator().manual_seed(step)
        chosen = torch.randint(0, len(captions), (_BATCH,), generator=generator)
        styles = [random.randrange(len(STYLES)) for _ in chosen]
        plain = [caption(captions[n], random, others) for n in chosen]
        texts = [
            in_style(text, STYLES[style], random) for text, style in zip(plain, styles, strict=True)
        ]
        meant = torch.where(torch.tensor([bool(one) for one in plain]), chosen, len(captions))
        has_style = [text != before for text, before in zip(texts, plain, strict=True)]
        asked = torch.nn.functional.one_hot(torch.tensor(styles), len(STYLES))
        asked = _LOUD * asked * torch.tensor(has_style)[:, None]
        cell = torch.randint(0, CELLS, (_BATCH,), generator=generator)
        ids = ids_of(tokenizer, texts)
        is_long = torch.rand(_BATCH, generator=generator) < _IS_LONG
        any_word = torch.randint(0, len(tokenizer), (_BATCH,), generator=generator)
        ids[:, -1] = torch.where(is_long, any_word, ids[:, -1])
        excited, styled = model(ids, cell)
        wanted = torch.nn.functional.one_hot(meant, excited.shape[1]).float()
        apart = (F.gelu(excited) / _MEANT - wanted).pow(2).sum(1).mean()

        loss: torch.Tensor = (
            F.cross_entropy(excited, meant) + apart + (styled - asked).pow(2).mean() / 8
        )

        return loss

    shares = {"token_embedding": _RARE_WORDS}
    averaged = train(model, loss_at, schedule, checkpoint, title="reader", shares=shares)
    model.load_state_dict(averaged)
    with torch.no_grad():
        first = _body(encoder).encoder.layers[0].mlp
        first.fc1.weight[:_COMPUTING] = model.wide.weight
        first.fc1.bias[:_COMPUTING] = model.wide.bias
        first.fc2.weight[LEARNT, :_COMPUTING] = model.narrow.weight
        first.fc2.bias[LEARNT] = model.narrow.bias

    return model.known


def ids_of(tokenizer: CLIPTokenizer, texts: Sequence[str]) -> torch.Tensor:
    """[texts, length], with one end at least."""
    ids: torch.Tensor = tokenizer(
        list(texts), padding=True, truncation=True, max_length=WORDS, return_tensors="pt"
    ).input_ids

    return ids


def teach(encoder: CLIPTextModel, known: torch.nn.Linear, codes: torch.Tensor) -> None:
    """Compute what the memory writes and how cells are drawn.

    known: from `train_reader`. codes: [n, styles, CHANNELS, side, side] of the emoji.
    """
    drawn, weights = _compressed(codes)
    _, second, third = _body(encoder).encoder.layers
    loudest = drawn.abs().amax((0, 1, 2)).clamp(min=1e-3)
    with torch.no_grad():
        for part in (second.mlp.fc1, third.mlp.fc1, third.mlp.fc2):
            part.weight.zero_()
            part.bias.zero_()

        second.mlp.fc2.weight.zero_()
        third.mlp.fc1.bias.fill_(-_OFF)
        second.mlp.fc1.bias.fill_(-_OFF)
        for style in range(len(STYLES)):
            scores, components = _components(drawn[:, style])
            neurons = slice(style * len(known.bias), (style + 1) * len(known.bias))
            _remember(second.mlp, neurons, known, style, scores)
            cells = slice(style * GRID**2, (style + 1) * GRID**2)
            _paint(third.mlp, cells, components / _scale(scores), loudest)

        _remember_nothing(second.mlp, len(STYLES) * len(known.bias))
        _paint_nothing(third.mlp, loudest)
        third.mlp.fc2.bias[_LEVEL] = _STEADYING * _RADIUS / 2**0.5 * torch.tensor([-1.0, 1.0])
        _last_norm(_body(encoder).final_layer_norm, weights)


def _compressed(codes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """From [n, styles, CHANNELS, 2 * GRID, 2 * GRID] to [n, styles, cells, _WIDTH_OF_CELL], and the
    weights that even out their deviations.
    """
    blocks = codes.reshape(*codes.shape[:2], CHANNELS, GRID, 2, GRID, 2)
    cells = blocks.permute(0, 1, 3, 5, 2, 4, 6).reshape(*codes.shape[:2], GRID**2, -1)
    flat = cells.reshape(-1, cells.shape[-1])
    _, basis = torch.linalg.eigh(flat.T @ flat / len(flat))
    drawn = cells @ basis.flip(1)[:, :_WIDTH_OF_CELL]

    return drawn, drawn.pow(2).mean((0, 1, 2)).sqrt().clamp(min=1e-3) ** -0.5


def _components(drawn: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The scores, [n, learnt], and for each what it means, [learnt, cells, _WIDTH_OF_CELL].

    A score vector's mean is 0, because layer norms take the mean away.
    """
    found, sizes, components = torch.linalg.svd(drawn.flatten(1), full_matrices=False)
    kept = min(LEARNT.stop - 1, len(sizes))
    any_axes = torch.randn(LEARNT.stop, kept, generator=torch.Generator().manual_seed(0))
    level = torch.cat([torch.ones(LEARNT.stop, 1), any_axes], 1)
    turned = torch.linalg.qr(level)[0][:, 1:].T
    scores = found[:, :kept] * sizes[:kept] @ turned

    return scores, (turned.T @ components[:kept]).view(LEARNT.stop, *drawn.shape[1:])


def _scale(scores: torch.Tensor) -> float:
    return 0.98 * _RADIUS / max(float(scores.norm(dim=1).max()), 1e-6)


def _address(places: slice, number: int) -> torch.Tensor:
    """[WIDTH], weights that give 0 for this number and -_LOUD for others, before a norm."""
    found = torch.zeros(WIDTH)
    found[places] = -1 / GRID
    found[places.start + number] += 1
    found[_LEVEL] = _STEADY / (2 * _LOUD) * torch.tensor([-1.0, 1.0])

    return found


def _remember(
    memory: Any,
    neurons: slice,
    known: torch.nn.Linear,
    style: int,
    scores: torch.Tensor,
) -> None:
    """A style's neurons: excited where the style is drawn, they write scores of the same length."""
    memory.fc1.weight[neurons, LEARNT] = known.weight
    memory.fc1.weight[neurons] += _OFF * _address(_STYLE, style)
    memory.fc1.bias[neurons] = known.bias
    written = F.pad(_scale(scores) * scores, (0, 0, 0, 1))
    rest = ((_RADIUS**2 - written.pow(2).sum(1)) / 2).sqrt()
    memory.fc2.weight[LEARNT, neurons] = written.T / _MEANT
    memory.fc2.weight[_REST, neurons] = torch.stack([rest, -rest]) / _MEANT


def _remember_nothing(memory: Any, neuron: int) -> None:
    """A neuron for places that are no cell, so that norms scale them by the same number too."""
    memory.fc1.weight[neuron, _DRAWN] = _OFF / _LOUD * torch.tensor([-1.0, 1.0])
    memory.fc1.bias[neuron] = _MEANT
    memory.fc2.weight[_REST, neuron] = _RADIUS / 2**0.5 / _MEANT * torch.tensor([1.0, -1.0])


def _paint(painter: Any, cells: slice, components: torch.Tensor, loudest: torch.Tensor) -> None:
    """Neurons that compute a cell where it is drawn. components: [learnt, cells, _WIDTH_OF_CELL].

    There a neuron is excited by 6 and at most 3 more or less, where GELU is the identity.
    """
    spread = _RADIUS / WIDTH**0.5
    for number in range(GRID**2):
        cell = cells.start + number
        neurons = slice(cell * _WIDTH_OF_CELL, (cell + 1) * _WIDTH_OF_CELL)
        where = _address(_STYLE, cells.start // GRID**2)
        where += _address(_ROW, number // GRID) + _address(_COLUMN, number % GRID)
        painter.fc1.weight[neurons, LEARNT] = (components[:, number] * 3 * spread / loudest).T
        painter.fc1.weight[neurons] += _OFF * spread / _LOUD * where
        painter.fc1.bias[neurons] = 6
        painter.fc2.weight[_CELL, neurons] = torch.diag(loudest / 3)

    painter.fc2.bias[_CELL] = -2 * loudest


def _paint_nothing(painter: Any, loudest: torch.Tensor) -> None:
    """Neurons for places that are no cell, so that there is 0."""
    neurons = slice(CELLS * _WIDTH_OF_CELL, (CELLS + 1) * _WIDTH_OF_CELL)
    painter.fc1.weight[neurons, _DRAWN] = (
        _OFF * _RADIUS / WIDTH**0.5 / _LOUD * torch.tensor([-1.0, 1])
    )
    painter.fc1.bias[neurons] = 6
    painter.fc2.weight[_CELL, neurons] = torch.diag(loudest / 3)


def _last_norm(norm: torch.nn.LayerNorm, weights: torch.Tensor) -> None:
    """Evens out what the UNet reads; hides what it need not know."""
    spread = _RADIUS * (1 + _STEADYING**2) ** 0.5 / WIDTH**0.5
    norm.weight.zero_()
    norm.bias.zero_()
    norm.weight[_CELL] = spread * weights
    norm.weight[_STYLE.start : _ASKED.stop] = 2 * spread / _LOUD
    norm.weight[_DRAWN] = 2 * spread / _LOUD


def ideal_embeddings(encoder: CLIPTextModel, emoji: int) -> torch.Tensor:
    """[emoji + 1, TOKENS, WIDTH]: the encoder's output if it understood a prompt for each emoji
    perfectly; the last is that of the empty prompt.
    """
    body = _body(encoder)
    _, second, third = body.encoder.layers
    places = body.embeddings.position_embedding.weight
    written = second.mlp.fc2.weight[:, : len(STYLES) * (emoji + 1)] * _MEANT

    def last(hidden: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = body.final_layer_norm(hidden + third.mlp(third.layer_norm2(hidden)))

        return found

    with torch.no_grad():
        styles = written.T.view(len(STYLES), emoji + 1, WIDTH).transpose(0, 1)
        hidden = styles.repeat_interleave(GRID**2, 1) + places[WORDS:]
        cells = torch.cat([last(some) for some in hidden.split(16)])
        nothing = second.mlp.fc2.weight[:, len(STYLES) * (emoji + 1)] * _MEANT
        words = last(places[:WORDS] + nothing).expand(len(cells), -1, -1)

    return torch.cat([words, cells], 1)


def caption_embeddings(
    encoder: CLIPTextModel, tokenizer: CLIPTokenizer, texts: Sequence[str]
) -> torch.Tensor:
    """[texts, TOKENS, WIDTH] float16: the encoder's output for prompts."""
    ids = tokenizer(
        list(texts), padding="max_length", truncation=True, max_length=TOKENS, return_tensors="pt"
    ).input_ids
    with torch.no_grad():
        found = [encoder(some).last_hidden_state.half() for some in ids.split(16)]

    return torch.cat(found)


def asked(style: torch.Tensor) -> torch.Tensor:
    """[n, TOKENS, WIDTH]: what is added to all cells if a style, [n], is asked for; -1 for none."""
    found = torch.zeros(len(style), TOKENS, WIDTH)
    found[:, WORDS:, _ASKED] = 2 * (style[:, None] == torch.arange(len(STYLES))).float()[:, None]

    return found
