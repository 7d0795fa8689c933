"""What members and moderators read about an arena. Pure."""

from collections.abc import Iterator

from bot.chat.languages.translation import N_, _, ngettext
from bot.chat.texts import banned, quoted, title
from storage.journal.arena.values import (
    ArenaState,
    Estimate,
    Example,
    Outcome,
    Pair,
    PairVote,
    PairVoteKind,
)
from storage.vote import Choice

CHOICES = {Choice.LEFT: N_("Left"), Choice.TIE: N_("Tie"), Choice.RIGHT: N_("Right")}
"""In the order of the buttons."""


def opened(*, models: int, pairs: int, votes: int, asks: bool) -> str:
    """For the channel, when an arena begins. It does not name the models."""
    begun = _(
        "**An arena is open: {models} models are compared, and nobody knows which made which "
        "image.**\nTell me which image of a pair you prefer, here or with `/rate`. It ends when "
        "{pairs} pairs have {votes} votes each. Then I tell who made what."
    ).format(models=models, pairs=pairs, votes=votes)
    if not asks:
        return begun

    more = _("What you ask for in this channel with `/imagine` is used for the pairs too.")

    return f"{begun}\n{more}"


def begun() -> str:
    """For the moderator."""
    return _(
        "The arena is open. I make its images in the background and post the pairs here, one after "
        "the other. `/oxherd arena status` shows how far it is."
    )


def one_is_open() -> str:
    return _("This server has an open arena already. `/oxherd arena stop` ends it.")


def none_is_open() -> str:
    return _("This server has no open arena. `/oxherd arena start` opens one.")


def same_models() -> str:
    return _("An arena compares different models, so nothing was started.")


def not_offered(model: str) -> str:
    return _(
        "There is no model {model} now, so nothing was started. OXHERD_MORE_MODELS has the others."
    ).format(model=f"**{quoted(model)}**")


def cannot_post() -> str:
    return _(
        "I cannot post images in this channel, so nothing was started. I need the permissions "
        "“View Channel”, “Send Messages” and “Attach Files” here."
    )


def not_prompts() -> str:
    return _(
        "The file is not a list of prompts: I take text in UTF-8, one prompt a line, and no more "
        "than 1,000 lines. Nothing was started."
    )


def bad_prompt(line: int, why: str) -> str:
    return _("Line {line} of the file, so nothing was started: {why}").format(line=line, why=why)


def progress(state: ArenaState, *, absent: list[str]) -> str:
    """For moderators, while it is open: nothing of who is ahead. absent: models that are not
    offered now."""
    arena = state.arena
    lines = [
        _("Pairs made: {made} of {pairs}. With all their votes, {votes} each: {enough}.").format(
            made=state.made, pairs=arena.pairs, enough=state.enough, votes=arena.votes
        ),
        _given(state.votes, state.voters),
        *([_left_out(state.left_out)] if state.left_out else []),
        *(
            _("There is no model {model} now, so its images wait.").format(
                model=f"**{quoted(model)}**"
            )
            for model in absent
        ),
    ]

    return "\n".join(lines)


def stopped() -> str:
    return _("The arena is over. Its result is posted in its channel in a moment.")


def question(pair: Pair) -> str:
    """Above the two images."""
    asked = _("Which image do you prefer?")

    return f"{title(pair.prompt)}\n{asked}"


def alt(choice: Choice, prompt: str) -> str:
    """What a screen reader says of an image."""
    sides = {
        Choice.LEFT: _("Left image: {prompt}"),
        Choice.RIGHT: _("Right image: {prompt}"),
    }

    return sides[choice].format(prompt=prompt)[:1024]


def answer(vote: PairVote) -> str:
    """After a press under a pair."""
    match vote.kind:
        case PairVoteKind.RECORDED | PairVoteKind.REPLACED | PairVoteKind.UNCHANGED:
            return _("Recorded: **{choice}**. You can change it until the arena is over.").format(
                choice=_choice(vote.choice)
            )
        case PairVoteKind.SKIPPED:
            return _("Skipped.")
        case PairVoteKind.HASTY if vote.first_haste:
            return _(
                "That was faster than anybody can look at two images, so this vote is kept but "
                "does not count. The same goes for later ones that come as fast."
            )
        case PairVoteKind.HASTY:
            return _("Recorded.")
        case PairVoteKind.ANSWERED:
            return f"{_('You answered for this pair already.')} {_recorded(vote)}"
        case PairVoteKind.CLOSED:
            return f"{_('This arena is over, so nothing was recorded.')} {_recorded(vote)}"
        case PairVoteKind.GONE:
            return gone()
        case PairVoteKind.BANNED if vote.ban is not None:
            return banned(vote.ban)
        case _:
            return _("I do not know this pair, so nothing was recorded.")


def gone() -> str:
    return _("This pair is no longer shown, so nothing was recorded.")


def result(outcome: Outcome, state: ArenaState) -> str:
    """For the channel, when the arena is over."""
    return "\n".join(_result(outcome, state))


def example(each: Example) -> str:
    """Above two images whose models are known now."""
    made = _("left: {left}, right: {right}").format(
        left=f"**{quoted(each.left_model)}**", right=f"**{quoted(each.right_model)}**"
    )

    return f"{title(each.pair.prompt)}\n{made}"


def removed() -> str:
    """In place of a pair, an image of which moderators have removed."""
    return _("Moderators have removed this pair.")


def _result(outcome: Outcome, state: ArenaState) -> Iterator[str]:
    yield f"**{_('The arena is over.')}** {_given(outcome.votes, outcome.voters)}"
    for place, (model, rate) in enumerate(outcome.win_rates, start=1):
        yield _("{place}. **{model}** wins {rate} (95 % interval: {low} to {high})").format(
            place=place, model=quoted(model), **_percentages(rate)
        )

    if not outcome.win_rates:
        yield _("Nobody preferred an image, so there is nothing to tell the models apart.")

    for model in state.arena.models if not outcome.win_rates else ():
        yield f"- **{quoted(model)}**"

    if outcome.votes:
        yield _("Ties: {ties}, which are {share} of all votes.").format(
            ties=outcome.ties, share=_percent(outcome.ties / outcome.votes)
        )

    if outcome.left is not None:
        wins = _("The left image wins {rate} ({low} to {high}).").format(
            **_percentages(outcome.left)
        )
        yield f"{wins} {_side_counts(outcome.left)}"

    if state.arena.stopped:
        yield _(
            "Moderators ended it before it was complete (pairs: {pairs}, votes on each: {votes}), "
            "so the intervals may be too narrow."
        ).format(pairs=state.arena.pairs, votes=state.arena.votes)
    else:
        yield _(
            "It was complete, as fixed at the start: pairs: {pairs}, votes on each: {votes}."
        ).format(pairs=state.arena.pairs, votes=state.arena.votes)

    if state.left_out:
        yield _left_out(state.left_out)

    if state.unreliable:
        yield _unreliable(state.unreliable)


def _side_counts(left: Estimate) -> str:
    if left.low <= 0.5 <= left.high:
        return _("So the side does not seem to matter.")

    return _("So the side matters; chance decided which model was left.")


def _given(votes: int, voters: int) -> str:
    given = ngettext("{number} vote", "{number} votes", votes).format(number=votes)
    people = ngettext("{number} member", "{number} members", voters).format(number=voters)

    return _("{votes} of {members}.").format(votes=given, members=people)


def _left_out(number: int) -> str:
    return ngettext(
        "{number} pair was left out: an image could not be made or shown.",
        "{number} pairs were left out: an image could not be made or shown.",
        number,
    ).format(number=number)


def _unreliable(number: int) -> str:
    return ngettext(
        "The votes of {number} member do not count: most of their answers to gold images are "
        "wrong.",
        "The votes of {number} members do not count: most of their answers to gold images are "
        "wrong.",
        number,
    ).format(number=number)


def _recorded(vote: PairVote) -> str:
    if vote.choice is None:
        return _("You have no vote on it that counts.")

    return _("Your vote on it is **{choice}**.").format(choice=_choice(vote.choice))


def _choice(choice: Choice | None) -> str:
    return "" if choice is None else _(CHOICES[choice])


def _percentages(estimate: Estimate) -> dict[str, str]:
    return {
        "rate": _percent(estimate.share),
        "low": _percent(estimate.low),
        "high": _percent(estimate.high),
    }


def _percent(share: float) -> str:
    return f"{round(100 * share)} %"
