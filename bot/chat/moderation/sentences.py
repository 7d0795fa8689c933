"""What moderators read: the answers to their commands, and the lines in their channel. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import assert_never

from bot.chat.languages.translation import _, ngettext
from bot.chat.moderation import form_sentences
from bot.chat.texts import emoji, progress_sentence, quoted
from generation.queue.job import Job
from generation.request import ImageRequest
from storage.acts import Act, ActKind, Alarm, AlarmKind, GoldImage, Report, ServerRules
from storage.journal.moderation.brigades import ALIKE
from storage.vote import Rating, SetState, StoredSet

_REPORTED_CHARS = 500
_SHOWN, _PROMPT_CHARS = 10, 40
"""Requests in a message, and characters of each: Discord takes 2,000, and quoting doubles some."""

_NAMED = 60
"""Members in an alarm: Discord takes 2,000 characters."""


def nothing_to_set_aside() -> str:
    return _("None of these votes counts any more, so nothing changed.")


def not_a_moderator() -> str:
    return _("Only members who may manage messages decide here.")


def no_moderators_channel() -> str:
    return _(
        "The moderators of this server have not chosen a channel for reports (`/oxherd channel`). "
        "Please tell one of them."
    )


def told_here() -> str:
    return _("From now on, reports, alarms and what moderators do are told here.")


def not_reported() -> str:
    return _("The report could not be delivered. Please try again, or tell a moderator.")


def kept() -> str:
    return _("The images stay.")


def not_in_the_queue() -> str:
    return _("No request with this ID waits or runs in this server.")


def not_banned() -> str:
    return _("This member is not banned here, so nothing changed.")


def no_images() -> str:
    return _("This message shows no images of mine that I know, so nothing changed.")


def nothing_to_remove() -> str:
    return _(
        "There is no image or request with this ID here, or it is removed already. **Details** "
        "shows the IDs of images."
    )


def nothing_to_restore() -> str:
    return _("There is no removed image or request with this ID here.")


def message_not_changed() -> str:
    return _("Its message could not be changed: the log says why. Delete it by hand.")


def answer(act: Act, *, cancelled: int = 0, message_changed: bool = True) -> str:
    """For the moderator who did it.

    cancelled: requests that ended with it. message_changed: whether members see it too.
    """
    member, votes = f"<@{act.member_id}>", act.votes
    failed = [] if message_changed else [message_not_changed()]
    match act.kind:
        case ActKind.BAN:
            if act.until is None:
                banned = _("{member} may neither ask nor vote here.")
            else:
                banned = _("{member} may neither ask nor vote here until {end}.")

            return " ".join(
                [
                    banned.format(member=member, end=_end(act)),
                    ngettext(
                        "{votes} vote set aside: out of the dataset with the next commit, kept in "
                        "the journal.",
                        "{votes} votes set aside: out of the dataset with the next commit, kept "
                        "in the journal.",
                        votes,
                    ).format(votes=votes),
                    *([requests_cancelled(cancelled)] if cancelled else []),
                ]
            )
        case ActKind.UNBAN:
            return ngettext(
                "{member} may ask and vote here again. {votes} vote brought back.",
                "{member} may ask and vote here again. {votes} votes brought back.",
                votes,
            ).format(member=member, votes=votes)
        case ActKind.DISCARD_VOTES:
            return ngettext(
                "{votes} vote of {member} set aside. They may go on voting. "
                "`/oxherd restore-votes` brings it back.",
                "{votes} votes of {member} set aside. They may go on voting. "
                "`/oxherd restore-votes` brings these back.",
                votes,
            ).format(member=member, votes=votes)
        case ActKind.RESTORE_VOTES:
            return ngettext(
                "{votes} vote of {member} brought back.",
                "{votes} votes of {member} brought back.",
                votes,
            ).format(member=member, votes=votes)
        case ActKind.REMOVE:
            removed = ngettext(
                "{images} image removed: out of the dataset with the next commit, with all votes. "
                "`/oxherd restore {id}` brings back what is removed of this request.",
                "{images} images removed: out of the dataset with the next commit, with all votes. "
                "`/oxherd restore {id}` brings back what is removed of this request.",
                act.images,
            ).format(images=act.images, id=act.set_id)
            return " ".join([removed, *failed])
        case ActKind.RESTORE:
            restored = ngettext(
                "{images} image brought back, with all votes.",
                "{images} images brought back, with all votes.",
                act.images,
            ).format(images=act.images)
            return " ".join([restored, *failed])
        case ActKind.SET_ASIDE:
            return ngettext(
                "{votes} vote set aside: out of the dataset with the next commit. "
                "`/oxherd restore-votes` brings back those of one member.",
                "{votes} votes set aside: out of the dataset with the next commit. "
                "`/oxherd restore-votes` brings back those of one member.",
                votes,
            ).format(votes=votes)
        case _:
            raise AssertionError(f"{act.kind} has an answer of its own")


def rules(rules: ServerRules) -> str:
    """What is set for the server."""
    numbers = {
        _("requests of one member in an hour"): rules.requests_per_hour,
        _("requests of one member in a day"): rules.requests_per_day,
        _("votes of one member in a minute"): rules.votes_per_minute,
        _("requests of this server in line or running"): rules.waiting,
        _("days that an account must be old"): rules.account_days,
        _("days in this server"): rules.member_days,
    }
    lines = [
        _("New requests are paused.") if rules.paused else _("New requests are taken."),
        *(f"{name}: {_('no limit') if n is None else n}" for name, n in numbers.items()),
        form_sentences.access(rules),
    ]
    if rules.moderators_channel is not None:
        channel = f"<#{rules.moderators_channel}>"
        lines.append(_("moderators are told in {channel}").format(channel=channel))

    return "\n".join(lines)


def pace(rules: ServerRules) -> str:
    """How fast a vote may come for it to count."""
    return _(
        "A vote counts from {rate} s after an image was shown under `/rate`, and from {post} s "
        "after the first press on a message in the channel. Faster ones are set aside; "
        "`/oxherd restore-votes` brings those of one member back."
    ).format(rate=f"{rules.rate_seconds:g}", post=f"{rules.post_seconds:g}")


def marked(image_id: str, rating: Rating | None) -> str:
    """An image was marked as gold, or is gold no more."""
    if rating is None:
        return _("Image `{id}` is gold no more. Its votes stay.").format(id=image_id)

    return _("Image `{id}` is gold: {rating} is right. `/rate` shows it to everybody once.").format(
        id=image_id, rating=emoji(rating)
    )


def not_marked() -> str:
    return _(
        "There is no such image here that can be shown, or it was so already: nothing changed. "
        "**Details** shows the IDs of images."
    )


def gold(images: Sequence[GoldImage], *, more: bool) -> str:
    """The gold images, and how many votes on each are right."""
    if not images:
        return _("No image of this server is gold. `/oxherd gold mark` makes one so.")

    lines = [
        _("`{id}` {rating}: {right} of {votes} votes are right").format(
            id=image.image_id,
            rating=emoji(Rating(image.rating)),
            right=image.right,
            votes=image.right + image.wrong,
        )
        for image in images
    ]

    return "\n".join([*lines, *([_("and more")] if more else [])])


def cannot_write_in(channel_id: int) -> str:
    """The channel that a moderator chose refuses the bot's messages."""
    return _(
        "I may not write in {channel}, so nothing changed. Allow me *View Channel* and *Send "
        "Messages* there."
    ).format(channel=f"<#{channel_id}>")


def queue(jobs: Mapping[str, Job]) -> str:
    """The server's requests, the oldest first, as many as fit into a message."""
    if not jobs:
        return _("Nothing waits or runs in this server.")

    lines = [
        f"`{set_id}` <@{job.owner}> {quoted(job.request.prompt[:_PROMPT_CHARS])} · "
        f"{progress_sentence(job.progress)}"
        for set_id, job in list(jobs.items())[:_SHOWN]
    ]
    rest = len(jobs) - len(lines)

    return "\n".join([*lines, *([_and_more(rest)] if rest else [])])


def _and_more(number: int) -> str:
    return _("and {number} more").format(number=number)


def requests_cancelled(number: int) -> str:
    """How many requests a moderator ended."""
    return ngettext("{number} request cancelled.", "{number} requests cancelled.", number).format(
        number=number
    )


def default_model(name: str) -> str:
    """After `/oxherd model promote` and `back`."""
    return _(
        "{model} makes the images of members here who name no model. `/oxherd model back` goes one "
        "step back."
    ).format(model=f"**{quoted(name)}**")


def no_such_model(name: str) -> str:
    return _("There is no model {model} now, so nothing was changed.").format(
        model=f"**{quoted(name)}**"
    )


def no_step_back() -> str:
    return _("There was no promotion to go back from, so nothing was changed.")


def report(stored: StoredSet, *, reporter_id: int) -> str:
    """For the moderators' channel: what was reported, by whom, and whose it is."""
    prompt = ImageRequest.from_json(stored.request).prompt
    link = f"https://discord.com/channels/{stored.guild_id}/{stored.channel_id}/{stored.message_id}"

    reports = _("{reporter} reports {link} of {author}: {prompt}").format(
        reporter=f"<@{reporter_id}>",
        link=link,
        author=_("an arena") if stored.state is SetState.ARENA else _named(stored.requester_id),
        prompt=quoted(prompt[:_REPORTED_CHARS]),
    )

    return "\n".join([reports, _("Request `{id}`").format(id=stored.set_id)])


def alarm(alarm: Alarm, *, new_days: int) -> str:
    """For the moderators' channel: which accounts voted together, and on what."""
    number = len(alarm.members)
    sentence = _alarm(alarm).format(
        number=number,
        days=new_days,
        image=alarm.image_id,
        set=alarm.set_id,
        author=f"<@{alarm.author_id}>",
        rating="" if alarm.rating is None else emoji(Rating(alarm.rating)),
        alike=ALIKE,
        members=" ".join(f"<@{member}>" for member in alarm.members[:_NAMED]),
    )

    return f"{sentence} {_and_more(number - _NAMED)}" if number > _NAMED else sentence


def _alarm(alarm: Alarm) -> str:
    if alarm.kind is AlarmKind.NEW:
        if alarm.image_id is not None:
            return _(
                "{number} accounts younger than {days} days voted on image `{image}` of request "
                "`{set}` within minutes: {members}"
            )

        return _(
            "{number} accounts younger than {days} days voted on images of {author} within "
            "minutes: {members}"
        )

    if alarm.image_id is not None:
        return _(
            "{number} accounts gave image `{image}` of request `{set}` the same {rating} within "
            "minutes: {members}"
        )

    return _(
        "{number} accounts gave {alike} or more images of {author} nothing but {rating} within "
        "minutes: {members}"
    )


def reported(state: Report) -> str:
    """For the member who reported it."""
    match state:
        case Report.NEW:
            return _("Thank you. The moderators of this server look at it.")
        case Report.OPEN:
            return _("Thank you. Somebody has reported this already; the moderators look at it.")
        case Report.DECIDED:
            return _("Thank you. The moderators have looked at this already.")
        case _:
            assert_never(state)


def decided(done: Sequence[str], *, by: int) -> str:
    """Under a report, in place of its buttons."""
    return "\n".join([*done, _("Decided by {member}.").format(member=f"<@{by}>")])


def warning(reason: str) -> str:
    """For the author, in a direct message."""
    return _("Moderators have removed images that you asked for: {reason}").format(
        reason=quoted(reason)
    )


def warned(author_id: int) -> str:
    return _("{member} was warned.").format(member=f"<@{author_id}>")


def not_warned(author_id: int) -> str:
    return _("{member} could not be warned: they take no direct messages from me.").format(
        member=f"<@{author_id}>"
    )


def author_forgotten() -> str:
    return _("Who asked for these images is forgotten, so nobody was warned or banned.")


def line(act: Act) -> str:
    """For the moderators' channel: who did what to whom, when and why. Mentions are off."""
    parts = [
        f"{_time(act.acted_at)} **{_(act.kind)}**",
        *([] if act.member_id is None else [_named(act.member_id)]),
        *([] if act.set_id is None else [f"`{act.set_id}`"]),
        *([_images(act.images)] if act.images else []),
        *([_votes(act.votes)] if act.votes else []),
        *([] if act.until is None else [_("until {end}").format(end=_end(act))]),
        _("by {moderator}").format(
            moderator="oxherd" if act.moderator_id is None else _named(act.moderator_id)
        ),
        *([quoted(act.reason)] if act.reason else []),
    ]

    return " · ".join(parts)


def _images(number: int) -> str:
    return ngettext("{number} image", "{number} images", number).format(number=number)


def _votes(number: int) -> str:
    return ngettext("{number} vote", "{number} votes", number).format(number=number)


def _named(user_id: int) -> str:
    """The journal has a hash below zero for somebody who was forgotten, and 0 for whose requests
    stayed."""
    return f"<@{user_id}> (`{user_id}`)" if user_id > 0 else _("somebody who is forgotten")


def _end(act: Act) -> str:
    return "" if act.until is None else _time(act.until)


def _time(moment: datetime) -> str:
    """A time that Discord shows in each reader's own zone."""
    return f"<t:{int(moment.timestamp())}:f>"
