"""Words that prompts may not have are found however they are written, and nothing else is."""

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.chat import responses, texts
from bot.cli.doctor import examine
from bot.prompts.blocked_words import BlockedWords
from bot.prompts.confusables import foldings
from bot.settings import SettingsError
from tests.support.discord.world import quick_settings, seen, set_button, text_of, world

AWKWARD = st.characters(categories=["Mn", "Mc", "Me", "Cf", "Lm", "Nl", "No", "Cs"])
ANY_TEXT = st.text(st.one_of(st.characters(), AWKWARD))
LATIN = "abcdefghijklmnopqrstuvwxyz"
WORDS = st.text(LATIN, min_size=3, max_size=8)


# Folding


@given(text=ANY_TEXT)
def test_folding_takes_any_text_and_again_changes_nothing(text: str) -> None:
    first, second = foldings(text)

    assert foldings(first)[0] == first
    assert foldings(second)[1] == second


@given(text=ANY_TEXT)
def test_case_and_composition_make_no_difference(text: str) -> None:
    composed = unicodedata.normalize("NFC", text)

    assert foldings(composed)[0] == foldings(text)[0]
    assert foldings(text.casefold())[0] == foldings(text)[0]


@given(text=st.text(st.characters(max_codepoint=127)))
def test_plain_text_only_becomes_small(text: str) -> None:
    assert foldings(text) == (text.lower(), text.lower())


# Finding


@pytest.mark.parametrize(
    "prompt",
    [
        "my ass!",
        "ASS",
        "Ass-hat",
        "an áss, an àśś",
        "an ạss",
        "an аss with a Cyrillic a",
        "an αss with a Greek alpha",
        "ａｓｓ",
        "𝐚𝐬𝐬 and 𝒂𝒔𝒔",
        "ᴀss",
        "a\u200bs\u200ds",
        "a\u0489ss",
        "a$$",
        "@ss",
        "a55",
        "as5",
        "a.s.s",
        "a s s",
        "a-s-s",
        "what an a _ s _ s it is",
        "ass_hat",
        "'ass'",
        "(ass:1.3)",
    ],
)
def test_a_word_is_found_in_every_disguise(prompt: str) -> None:
    assert BlockedWords(["fuss", "ass"]).first_in(prompt) == "ass"


@pytest.mark.parametrize(
    "prompt",
    [
        "a class of grass in Scunthorpe",
        "an assassin",
        "gr@ss and cl4ss",
        "455 cats, 4,555 dogs, 4.5.5",
        "a S.S. steamer",
        "as slow as silk",
        "pass",
        "bas$ guitar",
        "",
        "🦊",
    ],
)
def test_other_words_are_left_alone(prompt: str) -> None:
    assert BlockedWords(["ass"]).first_in(prompt) is None


@pytest.mark.parametrize(
    ("word", "prompt", "found"),
    [
        ("Red Rum", "a red  -  rum bottle", True),
        ("red rum", "redrum", False),
        ("red rum", "a red drum", False),
        ("1488", "number 1488", True),
        ("1488", "14889", False),
        ("ak", "an 4k picture", False),
        ("🍆", "a big🍆here", True),
        ("naïve", "NAIVE", True),
        ("naive", "naïve", True),
        ("straße", "STRASSE", True),
        ("søt", "sot", True),
        ("вот", "ВОТ", True),
        ("bot", "ВОТ", True),
        ("idiot", "ΙDΙΟΤ", True),
        ("bitch", "ВІТСН", True),
        ("slut", "s1ut", True),
        ("shit", "sh1t and sh!t", True),
        ("कम", "कम है", True),
        ("कम", "कमी", False),
        ("c++", "c++ code", True),
        (".*", "anything", False),
    ],
)
def test_words_of_every_kind(word: str, prompt: str, *, found: bool) -> None:
    assert BlockedWords([word]).first_in(prompt) == (word if found else None)


@given(word=WORDS, before=st.text(LATIN, max_size=3), after=st.text(LATIN, max_size=3))
def test_only_whole_words_are_found(word: str, before: str, after: str) -> None:
    words = BlockedWords([word])

    assert words.first_in(f"a {before} {word}, {after}") == word
    if before or after:
        assert words.first_in(f"{before}{word}{after}") is None


@given(words=st.lists(ANY_TEXT, max_size=5), prompt=ANY_TEXT)
def test_any_list_and_any_prompt_go_together(words: list[str], prompt: str) -> None:
    visible = [word for word in words if all(fold.strip() for fold in foldings(word))]

    found = BlockedWords(visible).first_in(prompt)

    assert found is None or found in visible


@given(word=WORDS)
def test_a_word_is_found_in_itself_spelled_out_and_in_capitals(word: str) -> None:
    words = BlockedWords([word])

    assert words.first_in(word.upper()) == word
    assert words.first_in(".".join(word)) == word


# The list


def test_the_list_is_read_as_people_write_it(tmp_path: Path) -> None:
    file = tmp_path / "words.txt"
    file.write_bytes("\ufeff# not here\r\nass\r\n\r\n  red rum  \r\n".encode())

    words = BlockedWords.read(file)

    assert len(words) == 2
    assert words.first_in("Red rum") == "red rum"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "cannot be read: No such file"),
        (b"\xff\xfeass", "is not UTF-8 text"),
        ("ass\n\u200b\u200b\n".encode(), "nothing can be seen"),
    ],
    ids=["no file", "another encoding", "an invisible word"],
)
def test_a_list_that_cannot_be_used_is_a_sentence(
    tmp_path: Path, content: bytes | None, sentence: str
) -> None:
    file = tmp_path / "words.txt"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(SettingsError, match=f"OXHERD_BLOCKED_WORDS.*{sentence}"):
        BlockedWords.read(file)

    findings = examine(quick_settings(tmp_path / "data", blocked_words=file))
    [finding] = [finding for finding in findings if finding.subject == "blocked words"]
    assert not finding.ok
    assert sentence in finding.detail


# In Discord


@pytest.fixture(scope="module", autouse=True)
def look_alikes() -> None:
    """Read Unicode's list before any loop runs, as the bot does before it connects."""
    foldings("ä")


@pytest.fixture
def words(tmp_path: Path) -> Path:
    file = tmp_path / "words.txt"
    file.write_text("# our server's\nbanana\nred rum\n", encoding="utf-8")

    return file


def rewrite(file: Path, content: str) -> None:
    file.write_text(content, encoding="utf-8")


async def test_a_blocked_prompt_is_refused_privately_and_given_back(
    tmp_path: Path, words: Path
) -> None:
    async with world(tmp_path / "data", blocked_words=words) as w:
        result = await w.ask(w.alice, "a *b@nana* <@1>", negative_prompt="`apples`")

        said = text_of(seen(result).message)
        assert seen(result).ephemeral
        assert said.startswith("This server does not allow “banana” in prompts, so nothing was")
        assert texts.quoted("a *b@nana* <@1>") + "\nwithout: \\`apples\\`" in said
        assert seen(result).message.mentions == []
        assert w.channel.last_message is None
        assert w.parts.executor.status().running == 0


async def test_a_prompt_too_long_for_a_message_comes_back_as_a_file(
    tmp_path: Path, words: Path
) -> None:
    prompt = "banana " + "*" * 490
    async with world(tmp_path / "data", blocked_words=words) as w:
        result = await w.ask(w.alice, prompt, negative_prompt="*" * 500)

        [file] = seen(result).attachments
        assert seen(result).ephemeral
        assert len(seen(result).content) < responses.MESSAGE_CHARS
        assert file.filename == "prompt.txt"
        assert file.size == len(prompt) + 2 + 500


async def test_other_prompts_are_made_and_the_negative_prompt_is_free(
    tmp_path: Path, words: Path
) -> None:
    async with world(tmp_path / "data", blocked_words=words) as w:
        message = await w.imagine(w.alice, "bananas and redrum", negative_prompt="banana")

        assert len(message.attachments) == 4


async def test_again_is_refused_once_the_word_is_on_the_list(tmp_path: Path, words: Path) -> None:
    async with world(tmp_path / "data", blocked_words=words) as w:
        message = await w.imagine(w.alice, "an owl")
        rewrite(words, "owl\n")
        await w.restart()

        result = await w.bob.click(message, custom_id=set_button(message, "again"))

        assert seen(result).ephemeral
        assert "does not allow “owl”" in text_of(seen(result).message)
