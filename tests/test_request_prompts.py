"""A prompt is one line of text that no tokenizer takes for a command."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation.request import clean_prompt

PIECES = st.sampled_from(
    [
        "<|endoftext|>",
        "<|END",
        "OFTEXT|>",
        "<|start",
        "oftext|>",
        "a",
        " ",
        "\n",
        "e\u0301",
        "\u202e",
    ]
)


@pytest.mark.parametrize(
    ("typed", "recorded"),
    [
        pytest.param("a\nfox\r\n\tin\x00snow ", "a fox in snow", id="controls"),
        pytest.param("cafe\u0301", "caf\u00e9", id="nfc"),
        pytest.param("a <|endoftext|> fox", "a fox", id="end of text"),
        pytest.param("<|StartOfText|>fox", "fox", id="start of text, any case"),
        pytest.param("a <|endof<|endoftext|>text|> fox", "a <|endof text|> fox", id="nested"),
        pytest.param("gnp.\u202eexe", "gnp. exe", id="direction override"),
        pytest.param("\ud800fox", "fox", id="lone surrogate"),
        pytest.param("**@everyone** <@1> =A1 👩‍🎨", "**@everyone** <@1> =A1 👩‍🎨", id="kept"),
    ],
)
def test_a_prompt_is_recorded_as_one_clean_line(typed: str, recorded: str) -> None:
    assert clean_prompt(typed) == recorded


@given(st.one_of(st.text(), st.lists(PIECES).map("".join)))
def test_cleaning_twice_changes_nothing(typed: str) -> None:
    assert clean_prompt(clean_prompt(typed)) == clean_prompt(typed)


@given(st.one_of(st.text(), st.lists(PIECES).map("".join)))
def test_no_command_and_no_control_is_left(typed: str) -> None:
    cleaned = clean_prompt(typed)

    assert "<|endoftext|>" not in cleaned.lower()
    assert not any(unicodedata.category(char) == "Cc" for char in cleaned)
    assert cleaned.encode().decode() == cleaned
