"""Members read their own language; what is posted for all is in the server's."""

import ast
import re
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from babel.messages.catalog import Catalog, Message
from discord.http import Route
from pydantic import SecretStr

from bot.chat.languages.translation import catalogue, ngettext, speaking
from bot.chat.moderation import sentences
from bot.chat.privacy import sentences as privacy_sentences
from bot.chat.responses import MESSAGE_CHARS
from bot.cli.sync_commands import register
from docs import catalogues
from storage.vote import Rating
from tests.support.discord.payloads import TOKEN
from tests.support.discord.stub import DiscordStub
from tests.support.discord.world import buttons, quick_settings, seen, text_of, vote_ids, world

LANGUAGES = catalogues.paths()
CHAT = Path(__file__).parents[1] / "bot" / "chat"
SENTENCES = sorted([CHAT / "texts.py", *CHAT.rglob("*sentences.py")])
MARKS = ("_", "N_", "ngettext")
TWO_WORDS = re.compile("[A-Za-z]{2,} [a-z]{2,}")
NAME = re.compile(r"[-_'\w]{1,32}")  # Discord's rule for names of commands and options


async def test_a_member_reads_german_and_another_english_at_the_same_moment(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        w.speaks(w.bob, "de")
        message = await w.imagine(w.alice, "a fox")
        ids = vote_ids(message)
        await w.press_all(
            [
                (w.alice, message, ids[1, Rating.GOOD]),
                (w.bob, message, ids[2, Rating.BAD]),
                (w.alice, message, ids[3, Rating.GOOD]),
            ]
        )

        assert w.private(w.alice)[-1].content.endswith("👍 recorded for image 3.")
        assert w.private(w.bob)[-1].content.endswith("👎 für Bild 2 gespeichert.")

        ballot = w.private(w.bob)[-1]
        undo: Any = ballot.components[0].children[0]  # type: ignore[union-attr]
        menu: Any = ballot.components[-1].children[0]  # type: ignore[union-attr]
        assert undo.label == "2 zurücknehmen"
        assert menu.placeholder == "Warum 👎 für Bild 2? (freiwillig)"
        assert ("hässlich", "ugly") in [(option.label, option.value) for option in menu.options]

        await w.bob.select(ballot, ["ugly"], custom_id=menu.custom_id)
        await w.committed()
        assert [row["reasons"] for row in w.rows() if row["voter_id"] == str(w.bob.id)] == ["ugly"]
        assert w.private(w.bob)[-1].content.endswith("Warum 👎 für Bild 2: hässlich.")


async def test_errors_privacy_and_what_moderators_do_are_in_the_members_language(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        moderator = w.moderator()
        for member in (w.bob, moderator):
            w.speaks(member, "de")

        refused = await w.ask(w.bob, " ")
        assert "Der Prompt ist leer" in seen(refused).content

        told = seen(await w.bob.slash(w.channel, "privacy"))
        assert told.content.startswith("**Was ich von dir speichere**")
        asked = await w.press(w.bob, told.message, buttons(told.message)[1])
        assert "Was soll ich vergessen?" in seen(asked).content

        banned = await moderator.slash(w.channel, "oxherd ban", member=w.bob, reason="Probe")
        assert "weder Bilder anfragen noch abstimmen" in seen(banned).content
        refused = await w.ask(w.bob, "a fox")
        assert "vom Anfragen und Abstimmen ausgeschlossen: Probe" in seen(refused).content
        english = await w.ask(w.alice, " ")
        assert "The prompt is empty" in seen(english).content


async def test_what_is_posted_for_all_is_in_the_servers_language(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        w.server_speaks("de")
        message = await w.imagine(w.alice, "a fox")
        assert f"2 Schritte · Guidance 7.5 · placeholder · für <@{w.alice.id}>" in text_of(message)

        w.speaks(w.bob, "de")
        w.server_speaks("en-US")
        message = await w.imagine(w.bob, "a fox")
        assert f"2 steps · guidance 7.5 · placeholder · for <@{w.bob.id}>" in text_of(message)


async def test_after_a_restart_the_bot_goes_on_in_the_servers_language(tmp_path: Path) -> None:
    async with world(tmp_path, placeholder_step_seconds=10) as w:
        w.server_speaks("de")
        asked = await w.ask(w.bob, "a fox")
        assert f"für <@{w.bob.id}>" in text_of(seen(asked).message)
        w.settings = w.settings.model_copy(update={"max_steps": 1})
        await w.restart()
        await w.posted()

        assert "Es wurde nichts gestartet." in text_of(w.last_message())


def test_a_language_that_nobody_has_translated_is_english() -> None:
    with speaking("ja"):
        assert sentences.kept() == "The images stay."

    with speaking(None):
        assert sentences.kept() == "The images stay."


def test_a_regional_locale_falls_back_to_its_language() -> None:
    assert catalogue("de-AT") is catalogue("de")


def test_german_has_its_own_plurals() -> None:
    with speaking("de"):
        said = [ngettext("{number} vote", "{number} votes", number) for number in (0, 1, 2)]

    assert said == ["{number} Stimmen", "{number} Stimme", "{number} Stimmen"]


@pytest.mark.parametrize("language", ["en-US", *(path.parts[-3] for path in LANGUAGES)])
def test_the_longest_text_fits_into_a_message(tmp_path: Path, language: str) -> None:
    settings = quick_settings(
        tmp_path,
        remote="https://an-oxen-server.example.org/" + "n" * 30 + "/" + "r" * 30,
        keep_requests_days=365,
        keep_closed_days=365,
        voter_ids="pseudonym",
    )
    with speaking(language):
        assert len(privacy_sentences.what_is_kept(settings)) <= MESSAGE_CHARS
        assert len(privacy_sentences.confirm()) <= MESSAGE_CHARS


async def test_commands_are_registered_in_german_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = quick_settings(
        tmp_path, token=SecretStr(TOKEN), more_models=("example/other",), default_steps=7
    )
    async with DiscordStub.open() as stub:
        monkeypatch.setattr(Route, "BASE", stub.url)
        await register(settings, guild_id=None)
        commands = stub.commands[None]

    by_name = {command["name"]: command for command in commands}
    assert by_name["privacy"]["name_localizations"] == {"de": "datenschutz"}
    options = {option["name"]: option for option in by_name["imagine"]["options"]}
    steps = options["steps"]
    assert steps["name_localizations"] == {"de": "schritte"}
    assert steps["description_localizations"] == {"de": "Schritte beim Entrauschen (sonst 7)"}
    for command in commands:
        _check(command, in_menu=command.get("type", 1) == 3)
        assert _chars(command) <= 8_000, command["name"]


def _check(command: Any, *, in_menu: bool = False) -> None:
    """What Discord demands of names and descriptions, in every language."""
    names = [command["name"], *(command.get("name_localizations") or {}).values()]
    for name in names:
        assert 1 <= len(name) <= 32
        assert in_menu or (NAME.fullmatch(name) and name == name.lower()), name

    for text in (command.get("description_localizations") or {}).values():
        assert 1 <= len(text) <= 100, text

    inner = command.get("options") or []
    german = [(each.get("name_localizations") or {}).get("de", each["name"]) for each in inner]
    assert len(set(german)) == len(german), f"{command['name']} has a name twice"

    for each in inner:
        _check(each)


def _chars(command: Any) -> int:
    """What Discord counts: names, descriptions and values, each in its longest language."""
    longest = 0
    for field in ("name", "description"):
        texts = [command.get(field) or "", *(command.get(f"{field}_localizations") or {}).values()]
        longest += max(map(len, texts))

    inner = [*(command.get("options") or []), *(command.get("choices") or [])]

    return longest + len(str(command.get("value", ""))) + sum(map(_chars, inner))


@pytest.mark.parametrize("path", LANGUAGES, ids=lambda path: path.parts[-3])
def test_every_sentence_is_translated(path: Path) -> None:
    wanted = {(message.context, message.id) for message in catalogues.template() if message.id}
    translated = {
        (message.context, message.id)
        for message in catalogues.catalogue(path)
        if message.id and all(_texts(message.string)) and not message.fuzzy
    }

    assert wanted - translated == set(), f"run `make languages`, then write them into {path}"
    assert translated - wanted == set(), "these are not in the code any more: run `make languages`"


@pytest.mark.parametrize("path", LANGUAGES, ids=lambda path: path.parts[-3])
def test_a_translation_has_the_placeholders_of_its_sentence(path: Path) -> None:
    for message in _translated(catalogues.catalogue(path)):
        wanted = _placeholders(*_texts(message.id))
        for text in _texts(message.string):
            # "once" for "{number} times": a plural may leave the number out
            missing = wanted - _placeholders(text)
            assert _placeholders(text) <= wanted, text
            assert not missing or message.pluralizable, text


@pytest.mark.parametrize("path", LANGUAGES, ids=lambda path: path.parts[-3])
def test_the_compiled_catalogue_is_up_to_date(path: Path) -> None:
    compiled = catalogues.compiled(catalogues.catalogue(path))

    assert path.with_suffix(".mo").read_bytes() == compiled, (
        f"{path.with_suffix('.mo')} is stale: run `make languages` and commit it"
    )


def _translated(catalogue: Catalog) -> Iterator[Message]:
    return (message for message in catalogue if message.id and any(_texts(message.string)))


def _texts(text: Any) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else tuple(text)


def _placeholders(*texts: str) -> set[str]:
    return {field for text in texts for _, field, _, _ in string.Formatter().parse(text) if field}


@pytest.mark.parametrize("module", SENTENCES, ids=lambda path: str(path.relative_to(CHAT)))
def test_no_sentence_is_left_unmarked(module: Path) -> None:
    left = [
        f"{module.name}:{text.lineno}: {text.value!r}"
        for text in _unmarked(ast.parse(module.read_text(encoding="utf-8")))
        if TWO_WORDS.search(str(text.value))
    ]

    assert left == [], "write _(…) around it: docs/architecture.md, Languages"


def _unmarked(node: ast.AST) -> Iterator[ast.Constant]:
    """The texts in the code, but docstrings, what is marked and what programmers read."""
    if isinstance(node, ast.Raise | ast.Assert):
        return

    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in MARKS:
        return

    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
            continue

        if isinstance(child, ast.Constant) and isinstance(child.value, str):
            yield child

        yield from _unmarked(child)
