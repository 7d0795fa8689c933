"""The plot of a server's votes, with words in the reader's language."""

from bot.chat.standing import sentences
from bot.chat.standing.plot import Bars, plot
from storage.journal.standing.figures import ServerFigures

DAYS = 30
NAME = "votes.png"


async def votes_plot(figures: ServerFigures) -> bytes | None:
    """A PNG of the last days; None if it could not be drawn."""
    return await plot(
        Bars(
            title=sentences.plot_title(),
            labels=[sentences.plot_day(each.day) for each in figures.days],
            good=[each.good for each in figures.days],
            bad=[each.bad for each in figures.days],
            good_label=sentences.good(),
            bad_label=sentences.bad(),
        )
    )
