"""What moderators read: the answers to their commands, and the lines in their channel. Pure."""

from datetime import datetime
from typing import assert_never

from bot.chat.texts import quoted
from storage.acts import Act, ActKind
from storage.plurals import count

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
        case _:
            assert_never(act.kind)


def line(act: Act) -> str:
    """For the moderators' channel: who did what to whom, when and why. Mentions are off."""
    who = "oxherd" if act.moderator_id is None else _named(act.moderator_id)
    whom = "" if act.member_id is None else f" of {_named(act.member_id)}"
    what = "" if act.set_id is None else f" of {count(act.images, 'image')} of `{act.set_id}`"
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
