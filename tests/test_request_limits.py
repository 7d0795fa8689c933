"""A request outside its limits is refused by field, value and what would do."""

import math
from dataclasses import replace

import pytest

from generation.errors import InvalidRequest
from generation.request import MAX_SEED, ImageRequest, Limits, checked
from tests.support.generation.requests import a_request

LIMITS = Limits()


@pytest.mark.parametrize(
    ("request_", "field", "allowed"),
    [
        pytest.param(a_request(""), "prompt", "1 to 500 characters", id="empty prompt"),
        pytest.param(a_request(" \n "), "prompt", "1 to 500 characters", id="blank prompt"),
        pytest.param(a_request("x" * 501), "prompt", "1 to 500 characters", id="long prompt"),
        pytest.param(
            replace(a_request(), negative_prompt="x" * 501),
            "negative_prompt",
            "0 to 500 characters",
            id="long negative prompt",
        ),
        pytest.param(a_request(steps=0), "steps", "1 to 100", id="no steps"),
        pytest.param(a_request(steps=101), "steps", "1 to 100", id="many steps"),
        pytest.param(a_request(seeds=()), "seeds", "1 to 4 seeds", id="no seeds"),
        pytest.param(a_request(seeds=(1,) * 5), "seeds", "1 to 4 seeds", id="many seeds"),
        pytest.param(a_request(seeds=(-1,)), "seeds", f"0 to {MAX_SEED}", id="negative seed"),
        pytest.param(a_request(seeds=(2**32,)), "seeds", f"0 to {MAX_SEED}", id="large seed"),
        pytest.param(
            replace(a_request(), guidance_scale=math.nan), "guidance_scale", "0 to 20", id="nan"
        ),
        pytest.param(
            replace(a_request(), guidance_scale=20.5), "guidance_scale", "0 to 20", id="guidance"
        ),
        pytest.param(
            a_request(side_px=513), "size", "512x512, 768x512, 512x768", id="unknown size"
        ),
    ],
)
def test_a_field_outside_its_limits_is_refused(
    request_: ImageRequest, field: str, allowed: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        checked(request_, LIMITS)

    assert (refused.value.field, refused.value.allowed) == (field, allowed)


def test_what_lies_on_the_limits_is_allowed() -> None:
    request = a_request("x" * 500, seeds=(0, MAX_SEED), steps=100)

    assert checked(request, LIMITS) == request


def test_a_prompt_is_measured_as_it_will_be_recorded() -> None:
    request = a_request(" " * 600 + "a fox" + "\n" * 600)

    assert checked(request, LIMITS).prompt == "a fox"
