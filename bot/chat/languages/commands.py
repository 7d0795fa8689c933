"""Commands in the languages of the catalogues: `sync-commands` registers them all with Discord."""

import asyncio

from discord import Locale, app_commands
from discord.app_commands import TranslationContextLocation as Where
from discord.app_commands import TranslationContextTypes, locale_str

from bot.chat.languages.translation import ENGLISH, catalogue

# A name may have to be translated otherwise than the same word in a sentence, and by Discord's
# rules: lower case and no spaces, except in the menu of messages.
COMMAND, MENU, OPTION, CHOICE = "command", "menu", "option", "choice"

DESCRIPTION_CHARS = 100
"""What Discord takes. Names are shorter."""


class CommandTranslator(app_commands.Translator):
    """discord.py asks it for each name and description, in each of Discord's locales."""

    async def translate(
        self, string: locale_str, locale: Locale, context: TranslationContextTypes
    ) -> str | None:
        """The text in this language; None if it is the English one."""
        found = catalogue(locale)
        if found is ENGLISH:
            return None

        await asyncio.sleep(0)  # there are hundreds of texts: others have their turn
        text, values, kind = described(string, context)
        translated = found.gettext(text) if kind is None else found.pgettext(kind, text)

        return None if translated == text else translated.format(**values)[:DESCRIPTION_CHARS]


def filled(text: str, **values: object) -> locale_str:
    """A description with values in it: `filled("Steps (default {steps})", steps=30)`."""
    return locale_str(text.format(**values)[:DESCRIPTION_CHARS], text=text, values=values)


def described(
    string: locale_str, context: TranslationContextTypes
) -> tuple[str, dict[str, object], str | None]:
    """What is in the catalogues for it, the values to fill in, and of which kind a name is."""
    kind: str | None
    match context.location:
        case Where.command_name if isinstance(context.data, app_commands.ContextMenu):
            kind = MENU
        case Where.command_name | Where.group_name:
            kind = COMMAND
        case Where.parameter_name:
            kind = OPTION
        case Where.choice_name:
            kind = CHOICE
        case _:
            kind = None

    return string.extras.get("text", string.message), string.extras.get("values", {}), kind
