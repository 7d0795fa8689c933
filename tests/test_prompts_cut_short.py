"""A model that reads only the beginning of a prompt says so, where people see it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from diffusers import DiffusionPipeline
from transformers import CLIPTokenizer

from bot.chat import texts
from generation.diffusion.backend import DiffusersBackend
from generation.diffusion.prompt_length import characters_read
from generation.worker.specs import DiffusersSpec
from tests.support.generation.requests import Onlooker, a_request
from tests.support.generation.tiny_model import (
    SIDE_PX,
    save_tiny_model,
    tiny_stable_diffusion,
    with_textual_inversion,
)

# The tiny model's tokens are single letters. CLIP reads 77 tokens: 75 beside its two marks.
READ = 75


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("reading"))


class Tokenized:
    """A pipeline with these tokenizers, and a call that cuts where it is told to."""

    def __init__(self, *tokenizers: object) -> None:
        names = ("tokenizer", "tokenizer_2", "tokenizer_3")
        for name, tokenizer in zip(names, tokenizers, strict=False):
            setattr(self, name, tokenizer)

    def __call__(self, prompt: str, max_sequence_length: int = 12) -> None:
        """Makes nothing."""


def test_a_prompt_that_fits_is_read_whole(model: Path) -> None:
    pipeline = DiffusionPipeline.from_pretrained(model)

    assert characters_read(pipeline, "") is None
    assert characters_read(pipeline, "a fox in the snow") is None
    assert characters_read(pipeline, "x" * READ) is None


def test_of_a_longer_one_the_characters_read_are_counted(model: Path) -> None:
    pipeline = DiffusionPipeline.from_pretrained(model)

    assert characters_read(pipeline, "x" * (READ + 1)) == READ
    assert characters_read(pipeline, "ab " * 100) == READ // 2 * 3 + 1


def test_a_textual_inversion_takes_as_many_tokens_as_it_has_vectors(tmp_path: Path) -> None:
    pipeline = with_textual_inversion(tiny_stable_diffusion(tmp_path), "<fox>", vectors=5)

    assert characters_read(pipeline, "<fox>" + "x" * (READ - 5)) is None
    assert characters_read(pipeline, "<fox>" + "x" * READ) == len("<fox>") + READ - 5
    assert characters_read(pipeline, "x" * READ + "<fox>") == READ


def test_the_encoder_that_reads_furthest_counts(model: Path) -> None:
    near = CLIPTokenizer.from_pretrained(model / "tokenizer", model_max_length=12)
    far = CLIPTokenizer.from_pretrained(model / "tokenizer", model_max_length=22)

    assert characters_read(Tokenized(near, far), "x" * 500) == 20


def test_an_encoder_that_is_not_clips_reads_what_the_call_gives_it(model: Path) -> None:
    other: Any = type("OtherTokenizer", (CLIPTokenizer,), {})
    tokenizer = other.from_pretrained(model / "tokenizer", model_max_length=500)

    assert characters_read(Tokenized(tokenizer), "x" * 500) == 10


def test_a_pipeline_that_cannot_tell_says_nothing() -> None:
    assert characters_read(Tokenized(), "x" * 500) is None
    assert characters_read(Tokenized(object_with_limit(10**30)), "x" * 500) is None
    assert characters_read(Tokenized(object_with_limit(77)), "x" * 500) is None  # not a fast one


def object_with_limit(limit: int) -> object:
    return type("SlowCLIPTokenizer", (), {"model_max_length": limit})()


def test_what_was_read_is_kept_with_the_images(model: Path) -> None:
    backend = DiffusersBackend(DiffusersSpec(model=str(model)), device="cpu")
    backend.load()
    short = a_request("a fox", seeds=(1,), steps=1, side_px=SIDE_PX)
    long = replace(short, prompt="x" * 500, negative_prompt="y" * 90)

    of_short = backend.generate(short, Onlooker()).provenance.versions
    of_long = backend.generate(long, Onlooker()).provenance.versions

    assert not {"prompt_read", "negative_prompt_read"} & of_short.keys()
    assert of_long["prompt_read"] == str(READ)
    assert of_long["negative_prompt_read"] == str(READ)


def test_the_sentence_tells_where_the_model_stopped_and_disarms_it() -> None:
    request = replace(a_request("a *red* fox, and more"), negative_prompt="blurry, dull")

    assert texts.cut_short(request, {}) == []
    read = {"prompt_read": "11", "negative_prompt_read": "6"}
    of_prompt, of_negative = texts.cut_short(request, read)

    assert of_prompt.startswith("The model read only the first 11 of 21 characters of the prompt,")
    assert of_prompt.endswith(r"up to “…a \*red\* fox”.")
    assert "first 6 of 12 characters of the negative prompt, up to “…blurry”." in of_negative
