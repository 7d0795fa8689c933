"""A size as it is written."""

import pytest

from generation.request import Size


def test_a_size_is_read_as_it_is_written() -> None:
    size = Size.parse("512x768")

    assert (size.width_px, size.height_px) == (512, 768)
    assert str(size) == "512x768"


@pytest.mark.parametrize(
    "text", ["", "512", "512x", "x512", "512x512x512", "-1x512", " 512x512", "٣٢x٣٢"]
)
def test_what_is_no_size_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a size like 512x768$"):
        Size.parse(text)
