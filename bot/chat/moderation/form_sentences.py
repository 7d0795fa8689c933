"""What moderators read in the forms where they set something. Pure.

Discord takes 45 characters for a form's title and labels, and 100 for what is under a label.
"""

from collections.abc import Mapping, Sequence

from bot.chat.admission.sentences import channels_listed, roles_listed
from bot.chat.languages.translation import _
from bot.chat.responses import MESSAGE_CHARS
from bot.chat.texts import emoji, quoted
from storage.acts import ServerRules
from storage.vote import BETWEEN_REASONS, NO_REASON, Rating


def why() -> str:
    return _("Why")


def for_the_log() -> str:
    return _("Optional; for the log")


# Who may ask and vote


def who_may() -> str:
    return _("Who may ask and vote, and where")


def may_ask() -> str:
    return _("Roles that may ask for images")


def ask_in() -> str:
    return _("Channels where images may be asked for")


def may_vote() -> str:
    return _("Roles that may vote")


def vote_in() -> str:
    return _("Channels where votes are taken")


def all_members() -> str:
    return _("None chosen: all members may")


def all_channels() -> str:
    return _("None chosen: in all channels")


def access(rules: ServerRules) -> str:
    """Who may ask and vote, and where."""
    everybody, everywhere = _("everybody"), _("all channels")

    return "\n".join(
        [
            _("May ask: {roles}, in {channels}").format(
                roles=roles_listed(rules.asking_roles) or everybody,
                channels=channels_listed(rules.asking_channels) or everywhere,
            ),
            _("May vote: {roles}, in {channels}").format(
                roles=roles_listed(rules.voting_roles) or everybody,
                channels=channels_listed(rules.voting_channels) or everywhere,
            ),
        ]
    )


# Reasons to pick from


def reasons_title() -> str:
    return _("Reasons to pick from")


def reasons_for(rating: Rating) -> str:
    return _("Reasons for {rating}").format(rating=emoji(rating))


def one_a_line(most: int) -> str:
    return _("One a line, {most} at most; nothing: nobody is asked why").format(most=most)


def reasons(offered: Mapping[Rating, Sequence[str]]) -> str:
    """What members pick from now."""
    nobody_asked = _("nobody is asked why")
    lines = [
        f"{emoji(rating)} {' · '.join(quoted(_(reason)) for reason in listed) or nobody_asked}"
        for rating, listed in offered.items()
    ]
    lines.append(_("Reasons that members gave earlier stay in the dataset."))

    return "\n".join(lines)[:MESSAGE_CHARS]


def too_many_reasons(number: int, *, most: int) -> str:
    return _(
        "{number} reasons are more than the {most} that Discord takes, so nothing changed."
    ).format(number=number, most=most)


def long_reason(reason: str, *, most: int) -> str:
    return _(
        "“{reason}…” is longer than the {most} characters that Discord takes, so nothing changed."
    ).format(reason=quoted(reason[:most]), most=most)


def reserved_reason(reason: str) -> str:
    return _(
        "“{reason}” cannot be a reason: the dataset has “{between}” between reasons, and “{none}” "
        "where there is none. Nothing changed."
    ).format(reason=quoted(reason), between=BETWEEN_REASONS, none=NO_REASON)


# Guidelines


def guidelines_title() -> str:
    return _("Guidelines of this server")


def guidelines_text() -> str:
    return _("What is good, and what is bad")


def empty_for_none() -> str:
    return _("Discord's markdown works. Empty: no guidelines")


def good_example() -> str:
    return _("👍 Example: the id of a good image")


def bad_example() -> str:
    return _("👎 Example: the id of a bad image")


def where_ids_are() -> str:
    return _("Optional; an image of this server. Details shows the ids")


def shown_to() -> str:
    return _("Shown before the next vote of")


def once() -> str:
    return _("Those who have not read any guidelines yet")


def once_more() -> str:
    return _("Everybody, once more")


def unknown_example(image_id: str) -> str:
    return _(
        "I show no image with the id `{id}` to everybody in this server, so nothing changed. "
        "**Details** under a set shows the ids of its images."
    ).format(id=image_id.replace("`", "'"))


def examples_without_text() -> str:
    return _("Examples without a text explain nothing, so nothing changed.")


def no_guidelines_any_more() -> str:
    return _("This server has no guidelines now. Nobody is shown any.")


def guidelines_set(*, again: bool) -> str:
    if again:
        return _("Set. Everybody sees this once before their next vote, and under **Guidelines**:")

    return _("Set. Members see this once before their first vote, and under **Guidelines**:")


# The text to agree to


def consent_title() -> str:
    return _("The text that members agree to")


def asked_again() -> str:
    return _("A changed text is shown to everybody again, who then agree or leave it")


def consent_version(version: int) -> str:
    return _("Members agree to version {version} before they ask or vote:").format(version=version)


def nobody_agrees() -> str:
    return _(
        "Members of this server are not asked to agree to anything. `/oxherd consent set` changes "
        "that."
    )
