"""What members read about what is kept of them. Pure."""

from bot.chat.languages.translation import _, ngettext
from bot.chat.texts import quoted
from bot.settings import Settings
from storage.people import ConsentText, Forgotten


def i_agree() -> str:
    return _("I agree")


def go_on() -> str:
    return _("Go on")


def thank_you() -> str:
    return _("Thank you. `/privacy` says at any time what is kept.")


def ask_again() -> str:
    return _(
        "Thank you. I was restarted meanwhile and no longer know what you wanted: please ask again."
    )


def pick_again() -> str:
    return _("Thank you. Please pick the reasons again.")


def data() -> str:
    return _("This is everything that I keep of you. Only you see this message.")


def kept_all() -> str:
    return _("Nothing was forgotten.")


def confirm() -> str:
    return _(
        "**What should I forget?** It cannot be undone. I forget it at once, and it leaves the "
        "dataset with the next commit. What you have waiting or running is cancelled.\n"
        "- *My votes*: what you asked for stays, without your name.\n"
        "- *Everything*: also what you asked for, its images, and everybody's votes on these. "
        "What others asked for stays, also where they began with your prompt or your image.\n"
        "Earlier versions of the dataset keep what they had until the operator makes it anew. The "
        "messages in the channels stay: moderators can delete them. A ban stays."
    )


def what_is_kept(settings: Settings) -> str:
    """What is kept, who sees it and for how long."""
    lines = [
        _("**What I keep of you**"),
        _(
            "- What you ask for: prompts and options, when, in which server and channel, and the "
            "images."
        ),
        _(
            "- Your votes: which image, 👍 or 👎, your reasons, when, and where I know it how long "
            "you looked."
        ),
        _(
            "- What I have shown you under `/rate` and what you answered; which texts you agreed "
            "to or were shown; what moderators did about you, such as a ban, and why."
        ),
        _("**Where it goes**"),
        f"- {_where(settings)}",
        _(
            "- Prompts, options and hashes of all other images are in the dataset too, without a "
            "name."
        ),
        _(
            "- Members of this server see with `/leaderboard` how many of your votes count and how "
            "often others agree. Images that people like are shown with your name."
        ),
        _("**For how long**"),
        *_days(_("- Images without a vote: {days:g} days."), settings.keep_unvoted_days),
        *_days(_("- Requests without a vote: {days:g} days."), settings.keep_requests_days),
        *_days(
            _("- Requests that were cancelled or failed: {days:g} days."),
            settings.keep_closed_days,
        ),
        _("- Everything else until you ask me to forget it."),
    ]

    return "\n".join(lines)


def _where(settings: Settings) -> str:
    if settings.voter_ids == "pseudonym":
        who = _(
            "Images that somebody voted on become part of a dataset, with the prompt and all "
            "votes: with a random number in your place; only I know whose it is."
        )
    else:
        who = _(
            "Images that somebody voted on become part of a dataset, with the prompt and all "
            "votes: with your Discord id."
        )

    copied = (
        []
        if settings.remote is None
        else [_("It is copied to {remote}.").format(remote=quoted(settings.remote))]
    )

    return " ".join([who, *copied, _("Earlier versions of the dataset are kept.")])


def _days(sentence: str, days: float | None) -> list[str]:
    return [] if days is None else [sentence.format(days=days)]


def consent(text: ConsentText) -> str:
    """The server's own text, and that nothing was recorded."""
    return "\n".join(
        [
            _("**Before you ask or vote in this server**"),
            f"{text.text}\n",
            _("-# Nothing of you is recorded before you agree. `/privacy` says what is kept."),
        ]
    )


def forgotten(done: Forgotten) -> str:
    """What was taken out."""
    votes = ngettext("{number} vote", "{number} votes", done.votes).format(number=done.votes)
    if not done.requests:
        return _("Forgotten: {votes}. The dataset follows with its next commit.").format(
            votes=votes
        )

    requests = ngettext("{number} request", "{number} requests", done.requests)
    images = ngettext("{number} image", "{number} images", len(done.images))

    return _(
        "Forgotten: {votes} and {requests} with {images}. The dataset follows with its next commit."
    ).format(
        votes=votes,
        requests=requests.format(number=done.requests),
        images=images.format(number=len(done.images)),
    )
