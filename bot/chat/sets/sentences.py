"""What members read when they vary, edit or show a request. Pure."""

from bot.chat.languages.translation import _


def which_to_vary() -> str:
    return _("Which image should I vary? I make four new ones that begin with it.")


def choose_an_image() -> str:
    return _("Choose an image")


def nothing_to_vary() -> str:
    return _("This request has no image that could be varied, so nothing was started.")


def edit() -> str:
    return _("Edit and ask again")


def prompt() -> str:
    return _("What the images should show")


def negative_prompt() -> str:
    return _("What they should not show")


def numbers() -> str:
    return _("Numbers")


def seed_if_wanted() -> str:
    return _("The noise is new each time, unless you add a number for it, such as: seed 7")


def size() -> str:
    return _("Width x height in pixels")


def model() -> str:
    return _("What makes the images")


def nothing_to_show() -> str:
    return _(
        "This server has no images with this ID. It is under **Details**, and in the name of an "
        "image's file."
    )


def nothing_left_to_show() -> str:
    return _("The images of this request are no longer here, so there is nothing to show.")
