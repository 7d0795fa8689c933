"""Every sentence a member can read, in the language that is spoken. No clock, no Discord call."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import assert_never

from bot.chat.languages.translation import N_, _, ngettext
from bot.prompts.numbers import Numbers
from bot.prompts.refusals import (
    BlockedPrompt,
    EmptyPrompt,
    NoEffect,
    NotOffered,
    NotUnderstood,
    OutOfRange,
    ParentGone,
    PromptTooLong,
    Refused,
)
from bot.prompts.typed import Typed
from generation.errors import (
    BackendUnavailable,
    Cancelled,
    CannotVary,
    Closing,
    DeadlineExceeded,
    GenerationError,
    NoNegativePrompt,
    NotChecked,
    QueueFull,
    TooManyYours,
)
from generation.queue.job import JobProgress
from generation.request import NEGATIVE_PROMPT_READ, PROMPT_READ, ImageRequest, Preview, Withheld
from storage.acts import Ban
from storage.errors import JournalFull, StorageError, StoreClosing
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


def not_ours() -> str:
    return _(
        "I do not know this button. It may come from a newer or older version of me; nothing was "
        "recorded."
    )


def button_gone() -> str:
    return _("This message has changed and no longer has that button; nothing was recorded.")


def no_attachments() -> str:
    return _(
        "I am not allowed to attach files in this channel, so I could not show you the images. "
        "Ask a moderator to give me the permission “Attach Files” here."
    )


def not_yours() -> str:
    return _("Only the person who asked for these images can cancel them.")


def not_running() -> str:
    return _("This request is no longer waiting or running, so there is nothing to cancel.")


def cancelled() -> str:
    return _("Cancelled. No images were made.")


def kept() -> str:
    return _("⏳ I am restarting. This request is kept: it is made afterwards.")


def not_made() -> str:
    return _("These images were not made. Press **Again** to ask anew.")


def given_up() -> str:
    return _(
        "I was cut off each time I began to make these images, so I gave up. A moderator can see "
        "when in my log. Press **Again** to have it tried again."
    )


def images_lost() -> str:
    return _("These images were made, but I no longer have them. Press **Again** to ask anew.")


def elsewhere() -> str:
    return _("This took long, so the images are in a new message below.")


def forgotten() -> str:
    return _("I no longer know what was asked for here. Please ask again with `/imagine`.")


def not_served() -> str:
    return _(
        "I work for the people of certain servers only, and this is none of them, so nothing was "
        "done. Whoever runs me can add it to OXHERD_GUILDS."
    )


def removed() -> str:
    return _("Moderators have removed these images.")


def unknown_set() -> str:
    return _("I no longer know this request, so I cannot do that.")


def cannot_post() -> str:
    return _(
        "The images were made, but Discord did not take them. A moderator can see why in my log."
    )


_LAST_WORDS = 20
"""Characters shown of where the model stopped reading."""

# What begins or separates anything in Discord's markdown: styles, code, quotes, headings, lists,
# spoilers, links and addresses, mentions, custom emoji, commands and times.
_MARKDOWN = re.compile(r"[\\`*_~|<>\[\]():@#+.-]")


def all_withheld() -> str:
    return _("All images of this request were withheld, so there is nothing to show.")


_WITHHELD_BY = {
    Withheld.CLASSIFIER: N_("this server's image classifier"),
    Withheld.CHECKER: N_("the model's own safety checker"),
}

# What the door names in its errors.
_OPTIONS = (
    N_("prompt"),
    N_("negative prompt"),
    N_("seed"),
    N_("number of steps"),
    N_("guidance"),
    N_("strength"),
)
_CHOSEN = (N_("size"), N_("model"))


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
    sentence = _OUTCOMES.get(outcome.kind)
    if sentence is not None:
        return _(sentence).format(
            slot=outcome.slot,
            now=_face(outcome.rating),
            before=_face(outcome.previous),
            reasons=_listed(outcome),
        )

    assert outcome.kind is VoteKind.BANNED_VOTER
    assert outcome.ban is not None
    return banned(outcome.ban)


_OUTCOMES = {
    VoteKind.RECORDED: N_("{now} recorded for image {slot}."),
    VoteKind.UNCHANGED: N_("{now} was already recorded for image {slot}; nothing changed."),
    VoteKind.REPLACED: N_("{now} recorded for image {slot}, instead of your {before}."),
    VoteKind.UNDONE: N_("Your {before} for image {slot} is removed; you have no vote on it."),
    VoteKind.RESTORED: N_("Your {before} for image {slot} is taken back; your {now} counts again."),
    VoteKind.EXPLAINED: N_("Why {now} for image {slot}: {reasons}."),
    VoteKind.OUTDATED: N_(
        "That vote for image {slot} was no longer there, so nothing changed; your {now} counts."
    ),
    VoteKind.NOTHING_TO_UNDO: N_("You have no vote on image {slot}, so there is nothing to undo."),
    VoteKind.UNKNOWN_IMAGE: N_("I do not know this image, so nothing was recorded."),
    VoteKind.REMOVED_IMAGE: N_(
        "This image was removed because nobody had voted on it for a long time, so nothing was "
        "recorded."
    ),
    VoteKind.TAKEN_OUT_IMAGE: N_("Moderators have removed this image, so nothing was recorded."),
    VoteKind.WITHHELD_IMAGE: N_("This image is withheld, so nothing was recorded."),
    VoteKind.HASTY: N_(
        "That was faster than anybody can look at an image, so your {now} for image {slot} is kept "
        "but does not count. Press again after a look."
    ),
}


def banned(ban: Ban) -> str:
    """What a banned member reads instead of an answer."""
    if ban.until is None:
        sentence = _("The moderators of this server have banned you from asking and voting: {why}")
    else:
        sentence = _(
            "The moderators of this server have banned you from asking and voting until {end}: "
            "{why}"
        )

    end = "" if ban.until is None else f"<t:{int(ban.until.timestamp())}:f>"
    told = sentence.format(end=end, why=quoted(ban.reason))

    return f"{told}\n{_('Nothing was started or recorded.')}"


def ballot(ballot: Ballot, sentence: str) -> str:
    """A member's votes on a set, and what their last press did."""
    marks = " · ".join(
        f"{mark.slot} {'–' if mark.rating is None else emoji(mark.rating)}" for mark in ballot.marks
    )

    return f"{title(ImageRequest.from_json(ballot.request).prompt)}\n{marks}\n{sentence}"


def title(prompt: str) -> str:
    """A prompt as the first line of a message; a long one is cut."""
    return f"**{_cut(quoted(prompt))}**"


def ask_why(mark: Mark) -> str:
    """What a ballot says where reasons can be picked."""
    return _("Why {now} for image {slot}? (optional)").format(
        now=_face(mark.rating), slot=mark.slot
    )


def _listed(outcome: VoteOutcome) -> str:
    marks = () if outcome.ballot is None else outcome.ballot.marks
    given = [quoted(_(why)) for mark in marks if mark.slot == outcome.slot for why in mark.reasons]

    return ", ".join(given) or _("no reason given")


def paused() -> str:
    return _("Moderators have paused new requests in this server. Please ask again later.")


def server_line_full(limit: int) -> str:
    """The server has as many requests waiting as its moderators allow."""
    return ngettext(
        "This server already has {limit} request in line, so nothing was started.",
        "This server already has {limit} requests in line, so nothing was started.",
        limit,
    ).format(limit=limit)


def too_fast(wait_s: float) -> str:
    """Too many requests or votes within a minute."""
    return _("That was too fast, so nothing was started or recorded. Please wait {wait}.").format(
        wait=duration(wait_s)
    )


def asked_enough_in_an_hour(limit: int) -> str:
    """As many requests as moderators allow one member in an hour."""
    return ngettext(
        "You have asked once within an hour, which is the most here. Please ask again later.",
        "You have asked {limit} times within an hour, which is the most here. Please ask again "
        "later.",
        limit,
    ).format(limit=limit)


def asked_enough_in_a_day(limit: int) -> str:
    """As many requests as moderators allow one member in a day."""
    return ngettext(
        "You have asked once within a day, which is the most here. Please ask again later.",
        "You have asked {limit} times within a day, which is the most here. Please ask again "
        "later.",
        limit,
    ).format(limit=limit)


def account_too_new(days: int) -> str:
    """The account is younger than moderators want."""
    return ngettext(
        "To ask or vote here, your Discord account must be {days} day old.",
        "To ask or vote here, your Discord account must be {days} days old.",
        days,
    ).format(days=days)


def member_too_new(days: int) -> str:
    """The member joined the server too recently."""
    return ngettext(
        "To ask or vote here, you must have been in this server for {days} day.",
        "To ask or vote here, you must have been in this server for {days} days.",
        days,
    ).format(days=days)


def progress_sentence(progress: JobProgress) -> str:
    """Where a request stands: its place, an honest wait, or the steps done."""
    left = "" if progress.eta_s is None else duration(progress.eta_s)
    if progress.position is not None:
        return _waiting(progress.position, left)

    if progress.loading:
        model = _("⏳ Loading the model, {left}…") if left else _("⏳ Loading the model…")
        return model.format(left=left)

    if progress.step == 0:
        start = _("⏳ Starting… {left} left") if left else _("⏳ Starting…")
        return start.format(left=left)

    done = round(10 * progress.step / progress.steps)
    bar = "▰" * done + "▱" * (10 - done)
    step = _("step {step} of {steps}, {left} left") if left else _("step {step} of {steps}")

    return f"{bar} {step.format(step=progress.step, steps=progress.steps, left=left)}"


def _waiting(position: int, left: str) -> str:
    if position == 1:
        sentence = (
            _("⏳ Waiting: next in line, {left} until it is done.")
            if left
            else _("⏳ Waiting: next in line.")
        )
    else:
        sentence = (
            _("⏳ Waiting: number {position} in line, {left} until it is done.")
            if left
            else _("⏳ Waiting: number {position} in line.")
        )

    return sentence.format(position=position, left=left)


def preview_note(preview: Preview) -> str:
    """What a preview is, under it and as its alt text."""
    return _("Preview, step {step} of {steps}: rough, and not kept").format(
        step=preview.step, steps=preview.steps
    )


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
        return _("a few seconds")

    to_s = next((to_s for below_s, to_s in _ROUNDED_S if seconds < below_s), 3_600)
    rounded_s = to_s * math.floor(seconds / to_s + 0.5)
    if rounded_s >= 10_800 or rounded_s == 7_200:
        return _("about {hours} hours").format(hours=_halves(rounded_s / 3_600))

    if rounded_s == 60:
        return _("about a minute")

    if rounded_s >= 150 or rounded_s == 120:
        return _("about {minutes} minutes").format(minutes=_halves(rounded_s / 60))

    return _("about {seconds} seconds").format(seconds=rounded_s)


def _halves(number: float) -> str:
    return f"{int(number)}½" if number % 1 else f"{int(number)}"


def heading(request: ImageRequest, *, requester_id: int) -> str:
    """The top of a request's message. The mention notifies nobody: mentions are off.

    requester_id: 0 if nobody knows any more who asked.
    """
    by = [_("for {member}").format(member=f"<@{requester_id}>")] if requester_id else []

    return f"**{quoted(request.prompt)}**\n-# {' · '.join([parameters(request), *by])}"


def parameters(request: ImageRequest) -> str:
    """One line under the prompt."""
    steps = ngettext("{steps} step", "{steps} steps", request.steps).format(steps=request.steps)
    parts = [f"{request.size.width_px}×{request.size.height_px}", steps]
    numbers = Numbers.of(request)
    if numbers.guidance is not None:
        parts.append(_("guidance {scale:g}").format(scale=numbers.guidance))

    if numbers.strength is not None:
        parts.append(_("strength {strength:g}").format(strength=numbers.strength))

    return " · ".join([*parts, quoted(request.model)])


def details(stored: StoredSet) -> str:
    """Everything that is needed to make the images of a request again.

    Discord takes 2,000 characters, and disarming may double a prompt, so a long one is cut here:
    the message with the images has it whole.
    """
    request, made_by = ImageRequest.from_json(stored.request), stored.provenance or {}
    lines = [
        f"**{_cut(quoted(request.prompt))}**",
        *([_without(_cut(quoted(request.negative_prompt)))] if request.negative_prompt else []),
        parameters(request),
        *_variation_of(request),
        *(f"{_(name)}: {quoted(made_by[name])}" for name in _PROVENANCE if made_by.get(name)),
        *cut_short(request, made_by),
        *(
            _("image {slot}: seed `{seed}`, id `{id}`").format(
                slot=image.slot, seed=image.seed, id=image.image_id
            )
            for image in stored.images
            if image.withheld is None
        ),
    ]
    return "\n".join(lines)


def _variation_of(request: ImageRequest) -> list[str]:
    if request.variation is None:
        return []

    return [_("a variation of the image `{id}`").format(id=request.variation.parent_id)]


_PROVENANCE = (
    N_("model"),
    N_("revision"),
    N_("scheduler"),
    N_("backend"),
    N_("device"),
    N_("dtype"),
)


def _without(negative_prompt: str) -> str:
    return _("without: {negative_prompt}").format(negative_prompt=negative_prompt)


def cannot_vary() -> str:
    return _("This model cannot vary an image: it always begins with noise alone.")


def refusal(error: GenerationError | StorageError, *, reference: str) -> str:
    """What a member reads when something they asked for cannot be done."""
    match error:
        case QueueFull(waiting=waiting):
            return ngettext(
                "The line is full, with {waiting} request waiting. Please try again in a minute.",
                "The line is full, with {waiting} requests waiting. Please try again in a minute.",
                waiting,
            ).format(waiting=waiting)
        case TooManyYours(waiting=waiting, limit=limit, crowded=crowded):
            return _too_many_yours(waiting, limit, crowded=crowded)
        case Closing():
            return _("I am restarting, so I take no new requests. Please ask again in a minute.")
        case Cancelled():
            return cancelled()
        case DeadlineExceeded(seconds=seconds):
            return _(
                "This took longer than one request may take ({limit}), so I stopped it. Fewer "
                "steps or a smaller size would help."
            ).format(limit=duration(seconds))
        case BackendUnavailable():
            return _("The model is not available right now. A moderator can see why in my log.")
        case CannotVary():
            return cannot_vary()
        case NoNegativePrompt():
            return _(
                "This model has no use for a negative prompt, so nothing was made. Ask without it, "
                "or choose another model."
            )
        case NotChecked():
            return _(
                "The images were made, but they could not be checked, so nobody is shown them. "
                "A moderator can see why in my log."
            )
        case JournalFull():
            return _(
                "My disk is full, so **nothing was recorded**. The moderators need to make room; "
                "please try again later."
            )
        case StoreClosing():
            return _("I am restarting, so nothing was recorded. Please press again in a minute.")
        case StorageError():
            return _(
                "I could not record that, so **nothing was recorded**. If you report it, mention "
                "`{reference}`."
            ).format(reference=reference)
        case _:
            return _(
                "The images could not be made. If you report it, mention `{reference}`."
            ).format(reference=reference)


def _too_many_yours(waiting: int, limit: int, *, crowded: bool) -> str:
    if crowded:
        sentence = ngettext(
            "You already have {waiting} request waiting, and {limit} is the most for one person "
            "while so many wait. Please wait for it to finish, or cancel it.",
            "You already have {waiting} requests waiting, and {limit} is the most for one person "
            "while so many wait. Please wait for one to finish, or cancel it.",
            waiting,
        )
    else:
        sentence = ngettext(
            "You already have {waiting} request waiting, and {limit} is the most for one person. "
            "Please wait for it to finish, or cancel it.",
            "You already have {waiting} requests waiting, and {limit} is the most for one person. "
            "Please wait for one to finish, or cancel it.",
            waiting,
        )

    return sentence.format(waiting=waiting, limit=limit)


def refused(problem: Refused) -> str:
    """What a member reads when the door does not let a request in."""
    match problem:
        case EmptyPrompt():
            return _("The prompt is empty, so nothing was started. Describe what you want to see.")
        case PromptTooLong(prompt=name, chars=chars, most=most):
            return _(
                "The {name} is {chars} characters long; {most} is the most, so nothing was started."
            ).format(name=_(name), chars=chars, most=most)
        case NotUnderstood(text=text, example=example):
            return _(
                "I could not read the numbers “{text}”, so nothing was started. Write them like "
                "this: `{example}`."
            ).format(text=quoted(text[:100]), example=example)
        case OutOfRange(option=option, value=value, lowest=lowest, highest=highest):
            return _(
                "The {option} must be from {lowest} to {highest} (you gave {value}), so nothing "
                "was started."
            ).format(
                option=_(option),
                lowest=_number(lowest),
                highest=_number(highest),
                value=_number(value),
            )
        case NotOffered(option=option, value=value, offered=offered):
            return _("The {option} “{value}” is not offered here; choose one of {offered}.").format(
                option=_(option),
                value=quoted(value[:100]),
                offered=quoted(", ".join(offered)),
            )
        case NoEffect(model=model, option=option, up_to=None):
            return no_effect(option, model)
        case NoEffect(model=model, up_to=float(scale)):
            return _(
                "With “{model}”, a negative prompt has an effect only if guidance is above "
                "{scale}, so nothing was started."
            ).format(model=quoted(model[:100]), scale=_number(scale))
        case ParentGone():
            return _(
                "The image to vary is not here: it was removed, or its file is no longer on my "
                "disk. Nothing was started."
            )
        case BlockedPrompt(word=word):
            return _not_allowed(word)
        case _:
            raise AssertionError(f"no sentence for {type(problem).__name__}")


def no_effect(option: str, model: str) -> str:
    """The model has no use for an option, so it is refused rather than left out."""
    return _(
        "The model “{model}” has no use for the option {option}, so nothing was started. Leave it "
        "out, or choose another model."
    ).format(model=quoted(model[:100]), option=_(option))


def _number(number: float) -> str:
    return f"{number:g}" if isinstance(number, float) else str(number)


def bad_option(value: str) -> str:
    """An option of the command that Discord should have refused."""
    return _("“{value}” is outside what this option allows; nothing was started.").format(
        value=quoted(value[:100])
    )


def given_back(sentence: str, typed: Typed) -> str:
    """For the requester alone: why not, and what they typed, to copy."""
    return f"{sentence} {asked_for(typed)}"


def asked_for(typed: Typed) -> str:
    """What somebody typed, to copy."""
    lines = [
        _("This is what you asked for:"),
        quoted(typed.prompt),
        *([_without(quoted(typed.negative_prompt))] if typed.negative_prompt else []),
        *([quoted(typed.options)] if typed.options else []),
    ]

    return "\n".join(lines)


def given_back_in_file(sentence: str) -> str:
    """The same, where what was asked for is in a file beside it."""
    return f"{sentence} {_('What you asked for is in the file.')}"


def _not_allowed(word: str) -> str:
    return _("This server does not allow “{word}” in prompts, so nothing was started.").format(
        word=quoted(word[:100])
    )


def withheld(images: Sequence[NewImage], *, of: int) -> str:
    """For the requester alone: which of their images are withheld, and why."""
    sentences = [_withheld_as_doubtful(images, of=of)]
    for by, why in _WITHHELD_BY.items():
        slots = [str(image.slot) for image in images if image.withheld == by]
        if len(slots) == 1:
            sentence = _("Image {slot} of {of} was withheld: {why} took it for unsafe.")
            sentences.append(sentence.format(slot=slots[0], of=of, why=_(why)))
        elif slots:
            sentence = _(
                "Images {slots} and {last} of {of} were withheld: {why} took them for unsafe."
            )
            sentences.append(
                sentence.format(slots=", ".join(slots[:-1]), last=slots[-1], of=of, why=_(why))
            )

    sentences.append(_("Nobody is shown what is withheld, and it is not kept."))

    return " ".join(filter(None, sentences))


def _withheld_as_doubtful(images: Sequence[NewImage], *, of: int) -> str:
    doubtful = [image for image in images if image.withheld == Withheld.DOUBTFUL]
    if not doubtful:
        return ""

    return ngettext(
        "Image {slots} of {of} was withheld: this server's image classifier found it doubtful, and "
        "such images are posted only in channels with an age restriction.",
        "Images {slots} of {of} were withheld: this server's image classifier found them doubtful, "
        "and such images are posted only in channels with an age restriction.",
        len(doubtful),
    ).format(slots=", ".join(str(image.slot) for image in doubtful), of=of)


def withheld_in_message(number: int) -> str:
    """For everybody, where the requester cannot be told alone any more; nothing for none."""
    if number == 0:
        return ""

    return ngettext(
        "{number} image of this request was withheld.",
        "{number} images of this request were withheld.",
        number,
    ).format(number=number)


def cut_short(request: ImageRequest, made_by: Mapping[str, str]) -> list[str]:
    """What the model did not read, if it takes no prompts so long; one line a prompt."""
    prompts = (
        (
            _(
                "The model read only the first {read} of {chars} characters of the prompt, up to "
                "“…{last}”."
            ),
            request.prompt,
            made_by.get(PROMPT_READ),
        ),
        (
            _(
                "The model read only the first {read} of {chars} characters of the negative "
                "prompt, up to “…{last}”."
            ),
            request.negative_prompt,
            made_by.get(NEGATIVE_PROMPT_READ),
        ),
    )

    return [
        sentence.format(read=read, chars=len(text), last=quoted(text[: int(read)][-_LAST_WORDS:]))
        for sentence, text, read in prompts
        if read is not None
    ]


def remote_behind(remote: RemoteStatus, *, age_s: float) -> str:
    """For moderators: votes do not reach the remote."""
    mark = remote.watermark
    commits = ngettext("{number} commit", "{number} commits", mark.commits_waiting)
    waiting = ngettext(
        "{votes} vote in {commits} waits. None is lost, and new ones are recorded.",
        "{votes} votes in {commits} wait. None is lost, and new ones are recorded.",
        mark.votes_waiting,
    )
    behind = [
        _("Votes have not reached {url} for {age}:").format(url=remote.url, age=duration(age_s)),
        waiting.format(
            votes=mark.votes_waiting, commits=commits.format(number=mark.commits_waiting)
        ),
        remote.last_error or _("A push is running."),
    ]

    return " ".join(behind)


def remote_caught_up(remote: RemoteStatus) -> str:
    """For moderators: what `remote_behind` said is over."""
    return _("All votes have reached {url} again.").format(url=remote.url)


def remote_moved(remote: RemoteStatus) -> str:
    """For moderators: the bot goes on in another branch."""
    return _(
        "Somebody else changed my branch of {url}, and I overwrite nothing: votes are pushed to "
        "the branch {branch} from now on, with the whole history."
    ).format(url=remote.url, branch=remote.watermark.branch)


def unexpected(reference: str) -> str:
    """The answer to a bug of ours."""
    return _("Something broke on my side. If you report it, mention `{reference}`.").format(
        reference=reference
    )


def image(slot: int) -> str:
    """An image in a menu."""
    return _("Image {slot}").format(slot=slot)


def alt(slot: int, prompt: str) -> str:
    """Alt text; Discord takes 1,024 characters."""
    return _("Image {slot}: {prompt}").format(slot=slot, prompt=prompt)[:1024]


def quoted(text: str) -> str:
    """A member's text, which Discord shows as it was typed: without styles, links and mentions.

    Not discord.py's `escape_markdown`: it leaves addresses and masked links as they are.
    """
    return _MARKDOWN.sub(r"\\\g<0>", text)


def _cut(disarmed: str, *, most: int = 500) -> str:
    return disarmed if len(disarmed) <= most else disarmed[: most - 1].rstrip("\\") + "…"


def _face(rating: Rating | None) -> str:
    return _("vote") if rating is None else emoji(rating)
