"""What a person typed is shown as it was typed: no styles, no links, no mentions."""

import pytest
from simcord.preview._markdown import markdown_tokens  # the simulated Discord's own reader

from bot.chat import texts


@pytest.mark.parametrize(
    "typed",
    [
        "[a][Claim your free Nitro](https://example.org/nitro)",
        "https://example.org/a_b_c and steam://run/1",
        "<https://example.org>",
        r"\[a](https://example.org)",
        "**bold** __under__ ~~struck~~ ||spoiler|| *i* _i_",
        "`code` and ```python code```",
        "# heading",
        "> quote",
        "- list",
        "* list",
        "+ list",
        "1. list",
        "<@1> <@&2> <#3> </imagine:4> <t:5> <:fox:6> <a:fox:7> @everyone",
    ],
)
def test_discord_shows_typed_text_as_plain_text(typed: str) -> None:
    [paragraph] = markdown_tokens(texts.quoted(typed), "text_display")
    [line] = paragraph["children"]

    assert line["children"] == [{"type": "text", "content": typed}]


def test_no_address_is_left_that_a_client_could_link() -> None:
    """Some clients look for addresses in the text itself."""
    assert "https://" not in texts.quoted("https://example.org/a_b")


def test_a_cut_text_does_not_escape_what_follows_it() -> None:
    cut = texts._cut(texts.quoted("*" * 600))

    assert len(cut) <= 500
    assert cut.endswith("*…")
