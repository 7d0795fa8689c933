"""How much of a prompt a model reads: text encoders take so many tokens and no more."""

import inspect
from typing import Any

_TOKENIZERS = ("tokenizer", "tokenizer_2", "tokenizer_3")
_NO_LIMIT = 10**6
"""What a tokenizer that knows of no limit says is far beyond this."""


def characters_read(pipeline: Any, text: str) -> int | None:
    """How many characters the encoder that reads furthest takes; None when that is all of them.

    Also None for a tokenizer that cannot tell, as no more than a guess could be said then.
    """
    tokenizers = [getattr(pipeline, name, None) for name in _TOKENIZERS]
    read = [_read(one, text, _limit(pipeline, one)) for one in tokenizers if one is not None]
    furthest = max(read, default=len(text))

    return None if furthest >= len(text.rstrip()) else furthest


def _read(tokenizer: Any, text: str, limit: int) -> int:
    if limit > _NO_LIMIT or not getattr(tokenizer, "is_fast", False):
        return len(text)

    tokens = tokenizer(text, truncation=True, max_length=limit, return_offsets_mapping=True)

    return max((int(end) for _, end in tokens["offset_mapping"]), default=0)


def _limit(pipeline: Any, tokenizer: Any) -> int:
    """CLIP's own, or what the pipeline's call cuts at, as those with other encoders do."""
    own = int(tokenizer.model_max_length)
    if "CLIP" in type(tokenizer).__name__:
        return own

    call = inspect.signature(pipeline.__call__).parameters.get("max_sequence_length")

    return own if call is None or not isinstance(call.default, int) else call.default
