"""Translates sentences into the language of whoever reads them.

The code has the English sentence, which is the key in the catalogues: `_("Nothing changed.")`.
Which language is meant is a context variable, so each interaction and each task has its own. It is
set where the text is for: `OxherdClient` sets the member's for everything that an interaction does,
and what is posted for all to see is said within `speaking(server_locale(...))`.

A language is a folder in `locale/`, named like Discord's locale (`de`, `pt_BR`). `make languages`
brings the catalogues up to date with the code.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from gettext import NullTranslations, translation
from pathlib import Path

import discord

DOMAIN = "oxherd"
LOCALE = Path(__file__).with_name("locale")

ENGLISH = NullTranslations()
_CATALOGUES: dict[str, NullTranslations] = {
    file.parts[-3].replace("_", "-"): translation(DOMAIN, LOCALE, [file.parts[-3]])
    for file in LOCALE.glob(f"*/LC_MESSAGES/{DOMAIN}.mo")
}
_spoken: ContextVar[NullTranslations] = ContextVar("spoken", default=ENGLISH)


def _(sentence: str) -> str:
    """The sentence in the language that is spoken. Its placeholders are filled in afterwards, with
    `str.format`: `_("Image {slot}").format(slot=1)`."""
    return _spoken.get().gettext(sentence)


def ngettext(one: str, many: str, number: int) -> str:
    """The sentence for this number of things."""
    return _spoken.get().ngettext(one, many, number)


def N_(sentence: str) -> str:  # noqa: N802 - gettext's own name
    """Marks a sentence for the catalogues that is translated later, with `_`: one in a table."""
    return sentence


@contextmanager
def speaking(locale: discord.Locale | str | None) -> Iterator[None]:
    """Within the block, sentences are in the language of this Discord locale, or in English."""
    token = _spoken.set(catalogue(locale))
    try:
        yield
    finally:
        _spoken.reset(token)


def catalogue(locale: discord.Locale | str | None) -> NullTranslations:
    """The catalogue for a Discord locale: "pt-BR", else "pt", else English."""
    name = str(locale)

    return _CATALOGUES.get(name) or _CATALOGUES.get(name.partition("-")[0], ENGLISH)


def server_locale(client: discord.Client, guild_id: int | None) -> discord.Locale | None:
    """What a server speaks, as set in Discord. None: English, as for a server that is not known."""
    guild = None if guild_id is None else client.get_guild(guild_id)

    return None if guild is None else guild.preferred_locale
