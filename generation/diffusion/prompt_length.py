"""How much of a prompt a model reads: text encoders take a limited number of tokens."""

import inspect
from bisect import bisect_right

from diffusers import DiffusionPipeline
from transformers import PreTrainedTokenizerBase

from generation.request import NEGATIVE_PROMPT_READ, PROMPT_READ, ImageRequest

_TOKENIZERS = ("tokenizer", "tokenizer_2", "tokenizer_3")
_NO_LIMIT = 10**6
"""A tokenizer without a limit reports a far larger one than this."""


def cut_short(pipeline: DiffusionPipeline, request: ImageRequest) -> dict[str, str]:
    """How many characters of each prompt are read, for `versions`; only for those that are cut."""
    read = {
        PROMPT_READ: characters_read(pipeline, request.prompt),
        NEGATIVE_PROMPT_READ: characters_read(pipeline, request.negative_prompt),
    }

    return {name: str(count) for name, count in read.items() if count is not None}


def characters_read(pipeline: DiffusionPipeline, text: str) -> int | None:
    """The number of characters that reach the text encoder with the highest limit.

    None where that is the whole text, and where a tokenizer does not map tokens to characters.
    """
    tokenizers = [getattr(pipeline, name, None) for name in _TOKENIZERS]
    read = [_read(pipeline, one, text) for one in tokenizers if one is not None]
    furthest = max(read, default=len(text))

    return None if furthest >= len(text.rstrip()) else furthest


def _read(pipeline: DiffusionPipeline, tokenizer: PreTrainedTokenizerBase, text: str) -> int:
    limit = _limit(pipeline, tokenizer)
    if limit > _NO_LIMIT or not getattr(tokenizer, "is_fast", False):
        return len(text)

    def converted(part: str) -> str:
        """With several tokens for a textual inversion that has several vectors."""
        convert = getattr(pipeline, "maybe_convert_prompt", None)

        return part if convert is None else str(convert(part, tokenizer))

    whole = converted(text)
    tokens = tokenizer(whole, truncation=True, max_length=limit, return_offsets_mapping=True)
    read = max((int(end) for _, end in tokens["offset_mapping"]), default=0)
    if whole == text:
        return read

    if read >= len(whole.rstrip()):
        return len(text)

    return bisect_right(range(len(text)), read, key=lambda end: len(converted(text[:end]))) - 1


def _limit(pipeline: DiffusionPipeline, tokenizer: PreTrainedTokenizerBase) -> int:
    """In tokens: the tokenizer's, except that other pipelines than CLIP's set it in their call."""
    own = int(tokenizer.model_max_length)
    if "CLIP" in type(tokenizer).__name__:
        return own

    call = inspect.signature(pipeline.__call__).parameters.get("max_sequence_length")

    return own if call is None or not isinstance(call.default, int) else call.default
