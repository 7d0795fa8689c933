"""Brings the catalogues of languages up to date with the code: `make languages`.

A new sentence comes in without a translation, one that is gone goes out, and every catalogue is
compiled. What is to be translated is in `bot/chat`: the sentences in `_`, `N_` and `ngettext`, the
commands as they are registered, and the words of the dataset that members read.
"""

import ast
import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import discord
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from discord import Locale, app_commands
from discord.app_commands import TranslationContextTypes, locale_str

from bot.chat.commands import add_commands
from bot.chat.languages.commands import CHOICE, described
from bot.chat.languages.translation import DOMAIN, LOCALE
from bot.configuration import limits_of
from bot.settings import Settings
from generation.families import PLACEHOLDER, UNKNOWN
from storage.acts import ActKind
from storage.vote import REASONS

_ROOT = Path(__file__).parents[1]
_CHAT = _ROOT / "bot" / "chat"
_SETTINGS = Settings(data=Path(), more_models=("example/other",))

# Descriptions say the default where it is one for all models, and else that it depends on them.
_MODELS = (
    {"one": PLACEHOLDER, "other": PLACEHOLDER},
    {"one": PLACEHOLDER, "other": replace(UNKNOWN, steps=4)},
)


def template() -> Catalog:
    """Everything that is to be translated."""
    found = Catalog(fuzzy=False)
    for file in sorted(_CHAT.rglob("*.py")):
        for message in _sentences(file.read_text(encoding="utf-8")):
            found.add(message, locations=[(file.relative_to(_ROOT).as_posix(), 0)])

    for word in [*ActKind, *(reason for reasons in REASONS.values() for reason in reasons)]:
        found.add(str(word), locations=[("storage", 0)])

    for text, kind in asyncio.run(_of_commands()):
        found.add(text, locations=[("commands", 0)], context=kind)

    return found


def catalogue(path: Path) -> Catalog:
    """A language as its file has it."""
    with path.open("rb") as file:
        return read_po(file, locale=path.parts[-3], domain=DOMAIN)


def compiled(catalogue: Catalog) -> bytes:
    """What gettext reads."""
    file = BytesIO()
    write_mo(file, catalogue)

    return file.getvalue()


def paths() -> list[Path]:
    """The file of each language."""
    return sorted(LOCALE.glob(f"*/LC_MESSAGES/{DOMAIN}.po"))


def main() -> None:
    """Bring all of them up to date."""
    wanted = template()
    for path in paths():
        language = catalogue(path)
        language.update(wanted, no_fuzzy_matching=True, update_creation_date=False)
        with path.open("wb") as file:
            write_po(file, language, width=100, ignore_obsolete=True, include_lineno=False)

        path.with_suffix(".mo").write_bytes(compiled(catalogue(path)))


def _sentences(source: str) -> Iterator[str | tuple[str, str]]:
    """What the code marks. Babel's own search does not look into f-strings."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    for call in sorted(calls, key=lambda node: (node.lineno, node.col_offset)):
        match call:
            case ast.Call(func=ast.Name("_" | "N_"), args=[ast.Constant(str(sentence))]):
                yield sentence
            case ast.Call(
                func=ast.Name("ngettext"),
                args=[ast.Constant(str(one)), ast.Constant(str(many)), _],
            ):
                yield one, many


class _Collector(app_commands.Translator):
    """Notes what discord.py wants translated, instead of translating it."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, str | None], None] = {}

    async def translate(
        self, string: locale_str, locale: Locale, context: TranslationContextTypes
    ) -> None:
        """Note it, unless it is a value that an operator chose."""
        text, _, kind = described(string, context)
        if kind != CHOICE or text != getattr(context.data, "value", None):
            self.found[text, kind] = None


async def _of_commands() -> Iterable[tuple[str, str | None]]:
    collector = _Collector()
    for models in _MODELS:
        client = discord.Client(intents=discord.Intents.none())
        tree: app_commands.CommandTree[Any] = app_commands.CommandTree(client)
        add_commands(tree, _SETTINGS, limits_of(_SETTINGS, models))
        for command in tree.get_commands() + tree.get_commands(type=discord.AppCommandType.message):
            await command.get_translated_payload(tree, collector)

    return collector.found


if __name__ == "__main__":
    main()
