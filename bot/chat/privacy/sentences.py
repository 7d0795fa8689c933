"""What members read about what is kept of them. Pure."""

from bot.chat.texts import quoted
from bot.settings import Settings
from storage.people import ConsentText, Forgotten
from storage.plurals import count

AGREED = "Thank you. `/privacy` says at any time what is kept."
ASK_AGAIN = (
    "Thank you. I was restarted meanwhile and no longer know what you wanted: please ask again."
)

PICK_AGAIN = "Thank you. Please pick the reasons again."

DATA = "This is everything that I keep of you. Only you see this message."
KEPT_ALL = "Nothing was forgotten."

CONFIRM = (
    "**What should I forget?** It cannot be undone. I forget it at once, and it leaves the dataset "
    "with the next commit. What you have waiting or running is cancelled.\n"
    "- *My votes*: what you asked for stays, without your name.\n"
    "- *Everything*: also what you asked for, its images, and everybody's votes on these.\n"
    "Earlier versions of the dataset keep what they had until the operator makes it anew. The "
    "messages in the channels stay: moderators can delete them. A ban stays."
)


def what_is_kept(settings: Settings) -> str:
    """What is kept, who sees it and for how long."""
    who = (
        "a random number in your place; only I know whose it is"
        if settings.voter_ids == "pseudonym"
        else "your Discord id"
    )
    copied = f" It is copied to {quoted(settings.remote)}." if settings.remote is not None else ""

    return (
        "**What I keep of you**\n"
        "- What you ask for: prompts and options, when, in which server and channel, and the "
        "images.\n"
        "- Your votes: which image, 👍 or 👎, when, and where I know it how long you looked.\n"
        "**Where it goes**\n"
        "- Images that somebody voted on become part of a dataset, with the prompt and all votes: "
        f"with {who}.{copied} Earlier versions of the dataset are kept.\n"
        "- Prompts, options and hashes of all other images are in the dataset too, without a "
        "name.\n"
        "**For how long**\n"
        f"- Images without a vote: {settings.keep_unvoted_days:g} days.\n"
        f"{_days('Requests without a vote', settings.keep_requests_days)}"
        f"{_days('Requests that were cancelled or failed', settings.keep_closed_days)}"
        "- Everything else until you ask me to forget it."
    )


def _days(what: str, days: float | None) -> str:
    return "" if days is None else f"- {what}: {days:g} days.\n"


def consent(text: ConsentText) -> str:
    """The server's own text, and that nothing was recorded."""
    return (
        f"**Before you ask or vote in this server**\n{text.text}\n\n-# Nothing of you is recorded "
        "before you agree. `/privacy` says what is kept."
    )


def forgotten(done: Forgotten) -> str:
    """What was taken out."""
    what = count(done.votes, "vote")
    if done.requests:
        what += f" and {count(done.requests, 'request')} with {count(len(done.images), 'image')}"

    return f"Forgotten: {what}. The dataset follows with its next commit."
