"""What members read around the guidelines. Pure."""

from bot.chat.languages.translation import _
from storage.acts import Guidelines


def heading() -> str:
    return _("**What is good and what is bad in this server**")


def legend(*, good: bool, bad: bool) -> str:
    """Which of the two examples is which."""
    if good and bad:
        return _("-# Left: 👍 an example of a good image. Right: 👎 one of a bad image.")

    return _("-# 👍 An example of a good image.") if good else _("-# 👎 An example of a bad image.")


def alt(*, good: bool) -> str:
    """For those who do not see the example."""
    return _("An example of a good image") if good else _("An example of a bad image")


def no_guidelines() -> str:
    return _("The moderators of this server have set no guidelines any more.")


def text(guidelines: Guidelines) -> str:
    """The moderators' own words, as they wrote them."""
    return f"{heading()}\n{guidelines.text}"
