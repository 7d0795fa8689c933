"""What members and moderators read about figures. No clock, no Discord call."""

from collections.abc import Sequence
from datetime import date, datetime

from bot.chat import texts
from bot.chat.languages.translation import _, ngettext
from generation.request import ImageRequest
from storage.journal.standing.figures import (
    CERTAIN,
    Agreement,
    MemberFigures,
    Place,
    RankedImage,
    Reliability,
    ServerFigures,
)

_PROMPT_CHARS = 60
"""Of each image: Discord takes 4,000 in a message, and quoting may double a prompt."""


def member(figures: MemberFigures) -> str:
    """For the member alone."""
    votes = ngettext("{number} vote", "{number} votes", figures.votes)
    streak = ngettext(
        "You have voted on {days} day in a row.",
        "You have voted on {days} days in a row.",
        figures.streak,
    )
    lines = [
        f"## {votes.format(number=figures.votes)}",
        *([streak.format(days=figures.streak)] if figures.streak else []),
        agreement(figures.agreement),
        *reliability(figures.reliability),
    ]

    return "\n".join(lines)


def reliability(found: Reliability | None) -> list[str]:
    """How right a voter is, if there are enough votes to say so."""
    if found is None or not found.is_known:
        return []

    return [
        _(
            "All votes together make it likely that you call {good:.0%} of good images good, and "
            "{bad:.0%} of bad ones bad."
        ).format(good=found.good_as_good, bad=found.bad_as_bad)
    ]


def agreement(agreement: Agreement) -> str:
    """How often somebody's votes are those of the others."""
    if agreement.share is None:
        return _(
            "There is nothing to compare yet: that takes votes of others on the same images, and "
            "votes on what you asked for yourself do not count here."
        )

    return ngettext(
        "Most others agree with {share:.0%} of the {number} vote that can be compared.",
        "Most others agree with {share:.0%} of the {number} votes that can be compared.",
        agreement.compared,
    ).format(share=agreement.share, number=agreement.compared)


def liked() -> str:
    return _("**Your images that others like**")


def top() -> str:
    return _("## The best images of the week")


def no_top() -> str:
    return _("No image of the last week has more 👍 than 👎 yet. Vote on some!")


def week(since: datetime, until: datetime) -> str:
    """From when to when, in each reader's own time."""
    return f"-# {_date(since)} – {_date(until)}"


def _date(moment: datetime) -> str:
    return f"<t:{int(moment.timestamp())}:D>"


def image(place: int, ranked: RankedImage, guild_id: int) -> str:
    """One line for each image of a gallery. The mention notifies nobody: mentions are off."""
    prompt = ImageRequest.from_json(ranked.request).prompt
    shown = prompt if len(prompt) <= _PROMPT_CHARS else prompt[: _PROMPT_CHARS - 1] + "…"
    link = f"https://discord.com/channels/{guild_id}/{ranked.channel_id}/{ranked.message_id}"
    author = [_("for {member}").format(member=f"<@{ranked.author_id}>")] if ranked.author_id else []
    where = [] if ranked.message_id is None else [f"[{texts.image(ranked.slot)}]({link})"]

    return " · ".join(
        [f"{place}. {texts.quoted(shown)}", f"{ranked.good} 👍 {ranked.bad} 👎", *author, *where]
    )


def leaderboard(places: Sequence[Place], *, own: tuple[int, Place] | None) -> str:
    """The first places, and the reader's own if it is not among them."""
    lines = [
        _("## Votes that count, of the last 30 days"),
        *(_place(number, place) for number, place in enumerate(places, start=1)),
        *([] if own is None else ["…", _place(*own)]),
        "",
        _(
            "-# Votes count as far as they say more than chance: all votes together show how often "
            "each of you calls good images good, and bad ones bad. Pressing without looking counts "
            "nothing."
        ),
    ]

    return "\n".join(lines)


def _place(number: int, place: Place) -> str:
    member = f"<@{place.member_id}>"
    counting = ngettext("{number} counts", "{number} count", round(place.counting))
    compared = _("{share:.0%} of {number} agreed").format(
        share=place.agreement.share, number=place.agreement.compared
    )

    return f"{number}. {member} · {counting.format(number=round(place.counting))} · {compared}"


def nobody_yet() -> str:
    return _(
        "Nobody has a place yet: an image needs votes of several members before they can be "
        "compared."
    )


def members_not_known() -> str:
    return _("Discord did not say who is in this server. Please try again in a minute.")


def weekly_here(day: datetime) -> str:
    """For the channel that moderators have chosen."""
    return _("From {day} on, the best images of each week are posted here.").format(
        day=f"<t:{int(day.timestamp())}:f>"
    )


def weekly_set(channel_id: int) -> str:
    return _("The best images of each week are posted in {channel}.").format(
        channel=f"<#{channel_id}>"
    )


def weekly_off() -> str:
    return _("The best images of the week are no longer posted.")


def server(figures: ServerFigures) -> str:
    """For moderators."""
    votes = ngettext("{number} vote", "{number} votes", figures.votes)
    voters = ngettext("by {number} member", "by {number} members", figures.voters)
    waiting = ngettext(
        "{number} image has fewer than {raters} votes.",
        "{number} images have fewer than {raters} votes.",
        figures.waiting,
    )
    certain = ngettext(
        "{number} image has a label that is at least {least:.0%} certain.",
        "{number} images have a label that is at least {least:.0%} certain.",
        figures.certain,
    )
    useless = ngettext(
        "The votes of {number} member say no more than chance, and hardly count.",
        "The votes of {number} members say no more than chance, and hardly count.",
        figures.of_no_use,
    )
    lines = [
        f"**{votes.format(number=figures.votes)}** {voters.format(number=figures.voters)}",
        _agreement_here(figures.agreement),
        waiting.format(number=figures.waiting, raters=figures.raters),
        certain.format(number=figures.certain, least=CERTAIN),
        *([useless.format(number=figures.of_no_use)] if figures.of_no_use else []),
    ]

    return "\n".join(lines)


def _agreement_here(agreement: Agreement) -> str:
    if agreement.share is None:
        return _("No image has votes of several members, so there is no agreement to measure.")

    return ngettext(
        "{share:.0%} of {number} vote agrees with the majority of the others on the image.",
        "{share:.0%} of {number} votes agree with the majority of the others on the image.",
        agreement.compared,
    ).format(share=agreement.share, number=agreement.compared)


def no_plot() -> str:
    return _("The plot could not be drawn; the log says why.")


def plot_title() -> str:
    return _("Votes of the last 30 days")


def good() -> str:
    return _("good")


def bad() -> str:
    return _("bad")


def plot_day(day: date) -> str:
    """A day on the plot's axis."""
    return _("{month}/{day}").format(day=day.day, month=day.month)
