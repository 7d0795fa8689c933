"""Every sentence a member can read. Pure: no clock, no Discord call."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import assert_never

from bot.prompts.refusals import (
    BlockedPrompt,
    EmptyPrompt,
    NotOffered,
    OutOfRange,
    PromptTooLong,
    Refused,
)
from generation.errors import (
    BackendUnavailable,
    Cancelled,
    Closing,
    DeadlineExceeded,
    GenerationError,
    NotChecked,
    QueueFull,
    TooManyYours,
)
from generation.queue.job import JobProgress
from generation.request import NEGATIVE_PROMPT_READ, PROMPT_READ, ImageRequest, Preview, Withheld
from storage.acts import Ban
from storage.errors import JournalFull, StorageError, StoreClosing
from storage.plurals import count
from storage.status import RemoteStatus
from storage.vote import (
    Ballot,
    Mark,
    NewImage,
    Rating,
    StoredSet,
    VoteKind,
    VoteOutcome,
)

NOT_OURS = (
    "I do not know this button. It may come from a newer or older version of me; nothing was "
    "recorded."
)
BUTTON_GONE = "This message has changed and no longer has that button; nothing was recorded."
NO_ATTACHMENTS = (
    "I am not allowed to attach files in this channel, so I could not show you the images. "
    "Ask a moderator to give me the permission “Attach Files” here."
)
NOT_YOURS = "Only the person who asked for these images can cancel them."
NOT_RUNNING = "This request is no longer waiting or running, so there is nothing to cancel."
CANCELLED = "Cancelled. No images were made."
KEPT = "⏳ I am restarting. This request is kept: it is made afterwards."
NOT_MADE = "These images were not made. Press **Again** to ask anew."
GIVEN_UP = (
    "I was cut off each time I began to make these images, so I gave up. A moderator can see when "
    "in my log. Press **Again** to have it tried again."
)
IMAGES_LOST = "These images were made, but I no longer have them. Press **Again** to ask anew."
ELSEWHERE = "This took long, so the images are in a new message below."
FORGOTTEN = "I no longer know what was asked for here. Please ask again with `/imagine`."
NOT_SERVED = (
    "I work for the people of certain servers only, and this is none of them, so nothing was done. "
    "Whoever runs me can add it to OXHERD_GUILDS."
)
REMOVED = "Moderators have removed these images."
UNKNOWN_SET = "I no longer know this request, so I cannot do that."
CANNOT_POST = (
    "The images were made, but Discord did not take them. A moderator can see why in my log."
)

_LAST_WORDS = 20
"""Characters shown of where the model stopped reading."""

# What begins or separates anything in Discord's markdown: styles, code, quotes, headings, lists,
# spoilers, links and addresses, mentions, custom emoji, commands and times.
_MARKDOWN = re.compile(r"[\\`*_~|<>\[\]():@#+.-]")

ALL_WITHHELD = "All images of this request were withheld, so there is nothing to show."

_WITHHELD_BY = {
    Withheld.CLASSIFIER: "this server's image classifier",
    Withheld.CHECKER: "the model's own safety checker",
}


def emoji(rating: Rating) -> str:
    """The face of a rating's button."""
    match rating:
        case Rating.GOOD:
            return "👍"
        case Rating.BAD:
            return "👎"
        case _:
            assert_never(rating)


def outcome_sentence(outcome: VoteOutcome) -> str:
    """What a voter is told; it always says what is on record for the image now."""
    image = f"image {outcome.slot}"
    match outcome.kind:
        case VoteKind.RECORDED:
            return f"{_face(outcome.rating)} recorded for {image}."
        case VoteKind.UNCHANGED:
            return f"{_face(outcome.rating)} was already recorded for {image}; nothing changed."
        case VoteKind.REPLACED:
            return (
                f"{_face(outcome.rating)} recorded for {image}, instead of your "
                f"{_face(outcome.previous)}."
            )
        case VoteKind.UNDONE:
            return f"Your {_face(outcome.previous)} for {image} is removed; you have no vote on it."
        case VoteKind.RESTORED:
            return (
                f"Your {_face(outcome.previous)} for {image} is taken back; your "
                f"{_face(outcome.rating)} counts again."
            )
        case VoteKind.EXPLAINED:
            return f"Why {_face(outcome.rating)} for {image}: {_listed(outcome)}."
        case VoteKind.OUTDATED:
            return (
                f"That vote for {image} was no longer there, so nothing changed; your "
                f"{_face(outcome.rating)} counts."
            )
        case VoteKind.NOTHING_TO_UNDO:
            return f"You have no vote on {image}, so there is nothing to undo."
        case VoteKind.UNKNOWN_IMAGE:
            return "I do not know this image, so nothing was recorded."
        case VoteKind.REMOVED_IMAGE:
            return (
                "This image was removed because nobody had voted on it for a long time, so "
                "nothing was recorded."
            )
        case VoteKind.TAKEN_OUT_IMAGE:
            return "Moderators have removed this image, so nothing was recorded."
        case VoteKind.WITHHELD_IMAGE:
            return "This image is withheld, so nothing was recorded."
        case VoteKind.BANNED_VOTER:
            assert outcome.ban is not None
            return banned(outcome.ban)
        case _:
            assert_never(outcome.kind)


def banned(ban: Ban) -> str:
    """What a banned member reads instead of an answer."""
    end = "" if ban.until is None else f" until <t:{int(ban.until.timestamp())}:f>"

    return (
        f"The moderators of this server have banned you from asking and voting{end}: "
        f"{quoted(ban.reason)}\nNothing was started or recorded."
    )


def ballot(ballot: Ballot, sentence: str) -> str:
    """A member's votes on a set, and what their last press did."""
    marks = " · ".join(
        f"{mark.slot} {'–' if mark.rating is None else emoji(mark.rating)}" for mark in ballot.marks
    )
    prompt = ImageRequest.from_json(ballot.request).prompt

    return f"**{_cut(quoted(prompt))}**\n{marks}\n{sentence}"


def ask_why(mark: Mark) -> str:
    """What a ballot says where reasons can be picked."""
    return f"Why {_face(mark.rating)} for image {mark.slot}? (optional)"


def _listed(outcome: VoteOutcome) -> str:
    marks = () if outcome.ballot is None else outcome.ballot.marks
    given = [quoted(why) for mark in marks if mark.slot == outcome.slot for why in mark.reasons]

    return ", ".join(given) or "no reason given"


PAUSED = "Moderators have paused new requests in this server. Please ask again later."


def server_line_full(limit: int) -> str:
    """The server has as many requests waiting as its moderators allow."""
    return f"This server already has {count(limit, 'request')} in line, so nothing was started."


def too_fast(wait_s: float) -> str:
    """Too many requests or votes within a minute."""
    return f"That was too fast, so nothing was started or recorded. Please wait {duration(wait_s)}."


def asked_enough(limit: int, period: str) -> str:
    """As many requests as moderators allow one member in this period."""
    return (
        f"You have asked {limit} times within {period}, which is the most here. Please ask again "
        "later."
    )


def account_too_new(days: int) -> str:
    """The account is younger than moderators want."""
    return f"To ask or vote here, your Discord account must be {count(days, 'day')} old."


def member_too_new(days: int) -> str:
    """The member joined the server too recently."""
    return f"To ask or vote here, you must have been in this server for {count(days, 'day')}."


def progress_sentence(progress: JobProgress) -> str:
    """Where a request stands: its place, an honest wait, or the steps done."""
    wait = "" if progress.eta_s is None else f", {duration(progress.eta_s)}"
    if progress.position is not None:
        place = "next in line" if progress.position == 1 else f"number {progress.position} in line"
        return f"⏳ Waiting: {place}{wait and wait + ' until it is done'}."

    if progress.loading:
        return f"⏳ Loading the model{wait}…"

    if progress.step == 0:
        return f"⏳ Starting…{wait and wait.replace(',', '', 1) + ' left'}"

    done = round(10 * progress.step / progress.steps)
    bar = "▰" * done + "▱" * (10 - done)

    return f"{bar} step {progress.step} of {progress.steps}{wait and wait + ' left'}"


def preview_note(preview: Preview) -> str:
    """What a preview is, under it and as its alt text."""
    return f"Preview, step {preview.step} of {preview.steps}: rough, and not kept"


# Up to so many seconds, a duration is rounded to so many: by an eighth at most.
_ROUNDED_S = (
    (20, 2),
    (60, 5),
    (150, 10),
    (300, 30),
    (5_400, 60),
    (10_800, 600),
    (18_000, 1_800),
)


def duration(seconds: float) -> str:
    """Rounded so that it does not pretend to know more than it does."""
    if seconds < 8:
        return "a few seconds"

    to_s = next((to_s for below_s, to_s in _ROUNDED_S if seconds < below_s), 3_600)
    rounded_s = to_s * math.floor(seconds / to_s + 0.5)
    if rounded_s >= 10_800 or rounded_s == 7_200:
        return f"about {_halves(rounded_s / 3_600)} hours"

    if rounded_s == 60:
        return "about a minute"

    if rounded_s >= 150 or rounded_s == 120:
        return f"about {_halves(rounded_s / 60)} minutes"

    return f"about {rounded_s} seconds"


def _halves(number: float) -> str:
    return f"{int(number)}½" if number % 1 else f"{int(number)}"


def heading(request: ImageRequest, *, requester_id: int) -> str:
    """The top of a request's message. The mention notifies nobody: mentions are off."""
    by = f"for <@{requester_id}>"

    return f"**{quoted(request.prompt)}**\n-# {parameters(request)} · {by}"


def parameters(request: ImageRequest) -> str:
    """One line under the prompt."""
    return (
        f"{request.size.width_px}×{request.size.height_px} · {request.steps} steps · "
        f"guidance {request.guidance_scale:g} · {quoted(request.model)}"
    )


def details(stored: StoredSet) -> str:
    """Everything that is needed to make the images of a request again.

    Discord takes 2,000 characters, and disarming may double a prompt, so a long one is cut here:
    the message with the images has it whole.
    """
    request, made_by = ImageRequest.from_json(stored.request), stored.provenance or {}
    lines = [
        f"**{_cut(quoted(request.prompt))}**",
        *([f"without: {_cut(quoted(request.negative_prompt))}"] if request.negative_prompt else []),
        parameters(request),
        *(
            f"{name}: {quoted(made_by[name])}"
            for name in ("model", "revision", "scheduler", "backend", "device", "dtype")
            if made_by.get(name)
        ),
        *cut_short(request, made_by),
        *(
            f"image {image.slot}: seed `{image.seed}`, id `{image.image_id}`"
            for image in stored.images
            if image.withheld is None
        ),
    ]
    return "\n".join(lines)


def refusal(error: GenerationError | StorageError, *, reference: str) -> str:
    """What a member reads when something they asked for cannot be done."""
    match error:
        case QueueFull(waiting=waiting):
            return (
                f"The line is full, with {count(waiting, 'request')} waiting. "
                "Please try again in a minute."
            )
        case TooManyYours(waiting=waiting, limit=limit, crowded=crowded):
            when = " while so many wait" if crowded else ""
            return (
                f"You already have {count(waiting, 'request')} waiting, and {limit} is the most "
                f"for one person{when}. Please wait for one to finish, or cancel it."
            )
        case Closing():
            return "I am restarting, so I take no new requests. Please ask again in a minute."
        case Cancelled():
            return CANCELLED
        case DeadlineExceeded(seconds=seconds):
            return (
                f"This took longer than one request may take ({duration(seconds)}), so I "
                "stopped it. Fewer steps or a smaller size would help."
            )
        case BackendUnavailable():
            return "The model is not available right now. A moderator can see why in my log."
        case NotChecked():
            return (
                "The images were made, but they could not be checked, so nobody is shown them. "
                "A moderator can see why in my log."
            )
        case JournalFull():
            return (
                "My disk is full, so **nothing was recorded**. The moderators need to make room; "
                "please try again later."
            )
        case StoreClosing():
            return "I am restarting, so nothing was recorded. Please press again in a minute."
        case StorageError():
            return (
                f"I could not record that, so **nothing was recorded**. If you report it, mention "
                f"`{reference}`."
            )
        case _:
            return f"The images could not be made. If you report it, mention `{reference}`."


def refused(problem: Refused) -> str:
    """What a member reads when the door does not let a request in."""
    match problem:
        case EmptyPrompt():
            return "The prompt is empty, so nothing was started. Describe what you want to see."
        case PromptTooLong(prompt=name, chars=chars, most=most):
            return (
                f"The {name} is {chars} characters long; {most} is the most, so nothing was "
                "started."
            )
        case OutOfRange(option=option, value=value, lowest=lowest, highest=highest):
            return (
                f"The {option} must be from {_number(lowest)} to {_number(highest)} (you gave "
                f"{_number(value)}), so nothing was started."
            )
        case NotOffered(option=option, value=value, offered=offered):
            return (
                f"The {option} “{quoted(value[:100])}” is not offered here; choose one of "
                f"{quoted(', '.join(offered))}."
            )
        case BlockedPrompt(word=word):
            return _not_allowed(word)
        case _:
            raise AssertionError(f"no sentence for {type(problem).__name__}")


def _number(number: float) -> str:
    return f"{number:g}" if isinstance(number, float) else str(number)


def bad_option(value: str) -> str:
    """An option of the command that Discord should have refused."""
    return f"“{quoted(value[:100])}” is outside what this option allows; nothing was started."


def blocked(word: str, request: ImageRequest) -> str:
    """For the requester alone: the operator's word, and what they typed, to copy."""
    without = f"\nwithout: {quoted(request.negative_prompt)}" if request.negative_prompt else ""

    return f"{_not_allowed(word)} This is what you asked for:\n{quoted(request.prompt)}{without}"


def blocked_long(word: str) -> str:
    """The same, where what was asked for is in a file beside it."""
    return f"{_not_allowed(word)} What you asked for is in the file."


def _not_allowed(word: str) -> str:
    return f"This server does not allow “{quoted(word[:100])}” in prompts, so nothing was started."


def withheld(images: Sequence[NewImage], *, of: int) -> str:
    """For the requester alone: which of their images are withheld, and why."""
    sentences = []
    for by, why in _WITHHELD_BY.items():
        slots = [str(image.slot) for image in images if image.withheld == by]
        if len(slots) == 1:
            sentences.append(f"Image {slots[0]} of {of} was withheld: {why} took it for unsafe.")
        elif slots:
            listed = f"{', '.join(slots[:-1])} and {slots[-1]}"
            sentences.append(f"Images {listed} of {of} were withheld: {why} took them for unsafe.")

    return " ".join([*sentences, "Nobody is shown what is withheld, and it is not kept."])


def withheld_in_message(number: int) -> str:
    """For everybody, where the requester cannot be told alone any more; nothing for none."""
    if number == 0:
        return ""

    return f"{count(number, 'image')} of this request {'was' if number == 1 else 'were'} withheld."


def cut_short(request: ImageRequest, made_by: Mapping[str, str]) -> list[str]:
    """What the model did not read, if it takes no prompts so long; one line a prompt."""
    prompts = (
        ("prompt", request.prompt, made_by.get(PROMPT_READ)),
        ("negative prompt", request.negative_prompt, made_by.get(NEGATIVE_PROMPT_READ)),
    )

    return [
        f"The model read only the first {read} of {len(text)} characters of the {name}, "
        f"up to “…{quoted(text[: int(read)][-_LAST_WORDS:])}”."
        for name, text, read in prompts
        if read is not None
    ]


def remote_behind(remote: RemoteStatus, *, age_s: float) -> str:
    """For moderators: votes do not reach the remote."""
    mark = remote.watermark
    why = remote.last_error or "A push is running."

    return (
        f"Votes have not reached {remote.url} for {duration(age_s)}: "
        f"{count(mark.votes_waiting, 'vote')} in {count(mark.commits_waiting, 'commit')} wait. "
        f"None is lost, and new ones are recorded. {why}"
    )


def remote_caught_up(remote: RemoteStatus) -> str:
    """For moderators: what `remote_behind` said is over."""
    return f"All votes have reached {remote.url} again."


def remote_moved(remote: RemoteStatus) -> str:
    """For moderators: the bot goes on in another branch."""
    return (
        f"Somebody else changed my branch of {remote.url}, and I overwrite nothing: votes are "
        f"pushed to the branch {remote.watermark.branch} from now on, with the whole history."
    )


def unexpected(reference: str) -> str:
    """The answer to a bug of ours."""
    return f"Something broke on my side. If you report it, mention `{reference}`."


def quoted(text: str) -> str:
    """A member's text, which Discord shows as it was typed: without styles, links and mentions.

    Not discord.py's `escape_markdown`: it leaves addresses and masked links as they are.
    """
    return _MARKDOWN.sub(r"\\\g<0>", text)


def _cut(disarmed: str, *, most: int = 500) -> str:
    return disarmed if len(disarmed) <= most else disarmed[: most - 1].rstrip("\\") + "…"


def _face(rating: Rating | None) -> str:
    return "vote" if rating is None else emoji(rating)
