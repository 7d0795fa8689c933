"""What moderators read: the answers to their commands, and the lines in their channel. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import assert_never

from bot.chat.moderation import form_sentences
from bot.chat.texts import progress_sentence, quoted
from generation.queue.job import Job
from generation.request import ImageRequest
from storage.acts import Act, ActKind, Alarm, Report, ServerRules
from storage.journal.moderation.brigades import NEW_FOR
from storage.plurals import count
from storage.vote import StoredSet

_REPORTED_CHARS = 500
_SHOWN, _PROMPT_CHARS = 10, 40
"""Requests in a message, and characters of each: Discord takes 2,000, and quoting doubles some."""

_NAMED = 60
"""Members in an alarm: Discord takes 2,000 characters."""

NOTHING_TO_SET_ASIDE = "None of these votes counts any more, so nothing changed."
NOT_A_MODERATOR = "Only members who may manage messages decide here."
NO_MODERATORS_CHANNEL = (
    "The moderators of this server have not chosen a channel for reports (`/oxherd channel`). "
    "Please tell one of them."
)
TOLD_HERE = "From now on, reports, alarms and what moderators do are told here."
NOT_REPORTED = "The report could not be delivered. Please try again, or tell a moderator."
KEPT = "The images stay."

NOT_IN_THE_QUEUE = "No request with this ID waits or runs in this server."
NOT_BANNED = "This member is not banned here, so nothing changed."


NO_IMAGES = "This message shows no images of mine that I know, so nothing changed."
NOTHING_TO_REMOVE = (
    "There is no image or request with this ID here, or it is removed already. **Details** shows "
    "the IDs of images."
)
NOTHING_TO_RESTORE = "There is no removed image or request with this ID here."
MESSAGE_NOT_CHANGED = " Its message could not be changed: the log says why. Delete it by hand."


def answer(act: Act, *, cancelled: int = 0, message_changed: bool = True) -> str:
    """For the moderator who did it.

    cancelled: requests that ended with it. message_changed: whether members see it too.
    """
    member, votes = f"<@{act.member_id}>", count(act.votes, "vote")
    match act.kind:
        case ActKind.BAN:
            requests = f" {count(cancelled, 'request')} cancelled." if cancelled else ""
            return (
                f"{member} may neither ask nor vote here{_until(act.until)}. {votes} set aside: "
                f"out of the dataset with the next commit, kept in the journal.{requests}"
            )
        case ActKind.UNBAN:
            return f"{member} may ask and vote here again. {votes} brought back."
        case ActKind.DISCARD_VOTES:
            return (
                f"{votes} of {member} set aside. They may go on voting. "
                "`/oxherd restore-votes` brings these back."
            )
        case ActKind.RESTORE_VOTES:
            return f"{votes} of {member} brought back."
        case ActKind.REMOVE:
            return (
                f"{count(act.images, 'image')} removed: out of the dataset with the next commit, "
                f"with all votes. `/oxherd restore {act.set_id}` brings back what is removed of "
                f"this request.{'' if message_changed else MESSAGE_NOT_CHANGED}"
            )
        case ActKind.RESTORE:
            failed = "" if message_changed else MESSAGE_NOT_CHANGED
            return f"{count(act.images, 'image')} brought back, with all votes.{failed}"
        case ActKind.SET_ASIDE:
            return (
                f"{votes} set aside: out of the dataset with the next commit. "
                "`/oxherd restore-votes` brings back those of one member."
            )
        case _:
            raise AssertionError(f"{act.kind} has an answer of its own")


def rules(rules: ServerRules) -> str:
    """What is set for the server."""
    numbers = {
        "requests of one member in an hour": rules.requests_per_hour,
        "requests of one member in a day": rules.requests_per_day,
        "votes of one member in a minute": rules.votes_per_minute,
        "requests of this server in line or running": rules.waiting,
        "days that an account must be old": rules.account_days,
        "days in this server": rules.member_days,
    }
    lines = [
        "New requests are paused." if rules.paused else "New requests are taken.",
        *(f"{name}: {'no limit' if n is None else n}" for name, n in numbers.items()),
        form_sentences.access(rules),
    ]
    if rules.moderators_channel is not None:
        lines.append(f"moderators are told in <#{rules.moderators_channel}>")

    return "\n".join(lines)


def cannot_write_in(channel_id: int) -> str:
    """The channel that a moderator chose refuses the bot's messages."""
    return (
        f"I may not write in <#{channel_id}>, so nothing changed. Allow me *View Channel* and "
        "*Send Messages* there."
    )


def queue(jobs: Mapping[str, Job]) -> str:
    """The server's requests, the oldest first, as many as fit into a message."""
    if not jobs:
        return "Nothing waits or runs in this server."

    lines = [
        f"`{set_id}` <@{job.owner}> {quoted(job.request.prompt[:_PROMPT_CHARS])} · "
        f"{progress_sentence(job.progress)}"
        for set_id, job in list(jobs.items())[:_SHOWN]
    ]
    rest = len(jobs) - len(lines)

    return "\n".join([*lines, *([f"and {rest} more"] if rest else [])])


def cancelled(number: int) -> str:
    """How many requests a moderator ended."""
    return f"{count(number, 'request')} cancelled."


def report(stored: StoredSet, *, reporter_id: int) -> str:
    """For the moderators' channel: what was reported, by whom, and whose it is."""
    prompt = ImageRequest.from_json(stored.request).prompt
    link = f"https://discord.com/channels/{stored.guild_id}/{stored.channel_id}/{stored.message_id}"

    return (
        f"<@{reporter_id}> reports {link} of <@{stored.requester_id}> "
        f"(`{stored.requester_id}`): {quoted(prompt[:_REPORTED_CHARS])}\n"
        f"Request `{stored.set_id}`"
    )


def alarm(alarm: Alarm) -> str:
    """For the moderators' channel: which new accounts voted on which image."""
    named = " ".join(f"<@{member}>" for member in alarm.members[:_NAMED])
    rest = len(alarm.members) - _NAMED

    return (
        f"{count(len(alarm.members), 'account')} younger than {NEW_FOR.days} days voted on image "
        f"`{alarm.image_id}` of request `{alarm.set_id}` within minutes: {named}"
        f"{f' and {rest} more' if rest > 0 else ''}"
    )


def reported(state: Report) -> str:
    """For the member who reported it."""
    match state:
        case Report.NEW:
            return "Thank you. The moderators of this server look at it."
        case Report.OPEN:
            return "Thank you. Somebody has reported this already; the moderators look at it."
        case Report.DECIDED:
            return "Thank you. The moderators have looked at this already."
        case _:
            assert_never(state)


def decided(done: Sequence[str], *, by: int) -> str:
    """In place of a report's buttons."""
    return "\n".join([*done, f"Decided by <@{by}>."])


def warning(reason: str) -> str:
    """For the author, in a direct message."""
    return f"Moderators have removed images that you asked for: {quoted(reason)}"


def warned(author_id: int) -> str:
    return f"<@{author_id}> was warned."


def not_warned(author_id: int) -> str:
    return f"<@{author_id}> could not be warned: they take no direct messages from me."


def line(act: Act) -> str:
    """For the moderators' channel: who did what to whom, when and why. Mentions are off."""
    who = "oxherd" if act.moderator_id is None else _named(act.moderator_id)
    whom = "" if act.member_id is None else f" of {_named(act.member_id)}"
    images = f" of {count(act.images, 'image')}" if act.images else ""
    what = "" if act.set_id is None else f"{images} of `{act.set_id}`"
    votes = f" · {count(act.votes, 'vote')}" if act.votes else ""
    why = f" · {quoted(act.reason)}" if act.reason else ""

    return (
        f"{_time(act.acted_at, 'f')} **{act.kind}**{whom}{what}{_until(act.until)} by {who}"
        f"{votes}{why}"
    )


def _named(user_id: int) -> str:
    """The journal has a hash below zero for somebody who was forgotten."""
    return f"<@{user_id}> (`{user_id}`)" if user_id > 0 else "somebody who is forgotten"


def _until(until: datetime | None) -> str:
    return "" if until is None else f" until {_time(until, 'f')}"


def _time(moment: datetime, style: str) -> str:
    """A time that Discord shows in each reader's own zone."""
    return f"<t:{int(moment.timestamp())}:{style}>"
