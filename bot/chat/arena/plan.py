"""What the images of an arena are made from: which models meet, where, with which seeds. Pure.

All of it follows from the arena's own seed, which is kept secret until the arena is over.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from random import Random
from typing import Any, TypeAlias

import shortuuid

from generation.request import MAX_SEED, ImageRequest
from storage.journal.arena.values import Arena, NewPair

AskedOf: TypeAlias = Callable[[ImageRequest, str], ImageRequest]
"""The same request of another model, whose defaults may differ: `Limits.as_asked_of`."""


def planned(
    prompts: Sequence[ImageRequest],
    models: Sequence[str],
    *,
    as_asked_of: AskedOf,
    seed: int,
    pairs: int,
) -> list[NewPair]:
    """So many pairs for these requests, whose models and seeds do not count. Each is asked for
    again, with other seeds, if there are fewer."""
    return [
        _pair(
            prompts[number % len(prompts)],
            models,
            as_asked_of=as_asked_of,
            seed=seed,
            number=number,
        )
        for number in range(pairs)
    ]


def asked(
    arena: Arena, number: int, *, request: ImageRequest, as_asked_of: AskedOf, asker_id: int
) -> NewPair:
    """The pair with this number, for what a member asked for in the arena's channel."""
    return _pair(
        request,
        arena.models,
        as_asked_of=as_asked_of,
        seed=arena.plan["seed"],
        number=number,
        asker_id=asker_id,
    )


def _pair(
    request: ImageRequest,
    models: Sequence[str],
    *,
    as_asked_of: AskedOf,
    seed: int,
    number: int,
    asker_id: int = 0,
) -> NewPair:
    dice = Random(f"{seed}:{number}")
    meetings = list(combinations(models, 2))
    left, right = dice.sample(meetings[number % len(meetings)], 2)
    left_seed, right_seed = dice.sample(range(MAX_SEED + 1), 2)

    return NewPair(
        pair_id=shortuuid.uuid(),
        left_set=shortuuid.uuid(),
        right_set=shortuuid.uuid(),
        left=_side(as_asked_of(request, left), left_seed),
        right=_side(as_asked_of(request, right), right_seed),
        left_model=left,
        right_model=right,
        asker_id=asker_id,
    )


def _side(request: ImageRequest, seed: int) -> Mapping[str, Any]:
    return replace(request, seeds=(seed,)).to_json()
