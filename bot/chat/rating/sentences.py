"""What raters read. Pure."""

from bot.chat.languages.translation import _
from bot.chat.texts import emoji, outcome_sentence, title
from generation.request import ImageRequest
from storage.vote import Answer, AnsweredBefore, Rating, Shown, VoteKind, VoteOutcome


def panel(shown: Shown, *, note: str = "") -> str:
    """The prompt; above it, what became of the last image. Gold and repeats look as all others."""
    prompt = title(ImageRequest.from_json(shown.request).prompt)

    return f"-# {note}\n{prompt}" if note else prompt


def nothing_left() -> str:
    return _(
        "No image of this server needs your vote now. New ones come with every `/imagine`; `/rate` "
        "shows them."
    )


def not_shown() -> str:
    """After a press on what somebody else was shown."""
    return _("I did not show you this image, so nothing was recorded.")


def note(given: Answer, outcome: VoteOutcome | AnsweredBefore | None) -> str:
    """Above the next image: what became of the last one."""
    if isinstance(outcome, VoteOutcome) and outcome.kind in (
        VoteKind.REMOVED_IMAGE,
        VoteKind.TAKEN_OUT_IMAGE,
        VoteKind.WITHHELD_IMAGE,
    ):
        return outcome_sentence(outcome)

    if isinstance(outcome, VoteOutcome) and outcome.first_haste:
        return _(
            "That was faster than anybody can look at an image, so this vote is kept but does not "
            "count. The same goes for later ones that come as fast."
        )

    if given.rating is None:
        return _("Skipped.")

    return _("{rating} recorded.").format(rating=emoji(given.rating))


def answered_before(before: AnsweredBefore) -> str:
    """After a press on an image that was answered already."""
    match before.answer:
        case Answer.SKIPPED:
            did = _("You skipped this image.")
        case Answer.REPORTED:
            did = _("You reported this image.")
        case Answer.LOST:
            did = _("This image could not be shown.")
        case _:
            did = _("You answered for this image already.")

    return f"{did} {_recorded(before.rating)}"


def _recorded(rating: Rating | None) -> str:
    """What is on record for an image now."""
    if rating is None:
        return _(
            "You have no vote on it that counts. Go on in your newest message, or with `/rate`."
        )

    return _(
        "Your {rating} is recorded for it. Go on in your newest message, or with `/rate`."
    ).format(rating=emoji(rating))
