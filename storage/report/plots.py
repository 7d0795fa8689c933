"""The plots of a report, as SVG files that look well on light and on dark pages."""

from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from storage.quality.summary import Quality, Share
from storage.reading.collection import Collection

_INK, _LINE = "#808890", "#4a7fd6"
_SIZE_INCHES = (5.0, 2.6)
_FEWEST_DAYS = 7


def draw(collection: Collection, quality: Quality, folder: Path) -> list[tuple[str, str]]:
    """Write the plots that have something to show; the name of each file and its title."""
    folder.mkdir(parents=True)
    seconds = [
        float(number)
        for (number,) in collection.database.execute(
            "SELECT seconds FROM votes WHERE seconds IS NOT NULL AND seconds < 120"
        )
    ]
    days = collection.database.execute(
        "SELECT substr(voted_at, 1, 10) AS day, count(*) FROM votes GROUP BY day ORDER BY day"
    ).fetchall()
    months = [month for month in quality.months if month.alpha is not None]
    plots: list[tuple[str, str, bool, Callable[[Axes], None]]] = [
        ("votes", "Votes a day", bool(days), lambda axes: _days(axes, days)),
        (
            "agreement",
            "Agreement (Krippendorff's alpha) by month",
            bool(months),
            _line([month.month for month in months], [month.alpha or 0.0 for month in months]),
        ),
        ("raters", "Images with so many raters", True, lambda axes: _raters(axes, quality)),
        ("slots", "Good votes by slot", True, _shares(quality.slots)),
        ("seconds", "Seconds to vote", bool(seconds), lambda axes: _hist(axes, seconds)),
        ("models", "Good votes by model", len(quality.models) > 1, _shares(quality.models)),
    ]
    with matplotlib.rc_context(
        {
            "svg.hashsalt": "oxherd",  # the same plot is the same file
            "font.size": 9,
            "text.color": _INK,
            "axes.edgecolor": _INK,
            "axes.labelcolor": _INK,
            "xtick.color": _INK,
            "ytick.color": _INK,
            "axes.spines.top": False,
            "axes.spines.right": False,
        }
    ):
        for name, _, has_data, plot in plots:
            if has_data:
                _write(plot, folder / f"{name}.svg")

    return [(f"{name}.svg", title) for name, title, has_data, _ in plots if has_data]


def _write(plot: Callable[[Axes], None], path: Path) -> None:
    figure = Figure(figsize=_SIZE_INCHES, layout="constrained")
    plot(figure.add_subplot())
    figure.savefig(path, transparent=True, metadata={"Date": None})


def _days(axes: Axes, days: Sequence[tuple[str, int]]) -> None:
    axes.bar(range(len(days)), [votes for _, votes in days], color=_LINE)
    axes.set_xlim(-0.6, max(len(days), _FEWEST_DAYS) - 0.4)  # no bar is as wide as the plot
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    step = max(1, len(days) // 4)
    axes.set_xticks(range(0, len(days), step), [day for day, _ in days][::step])
    axes.set_ylabel("votes")


def _line(names: Sequence[str], values: Sequence[float]) -> Callable[[Axes], None]:
    def plot(axes: Axes) -> None:
        axes.plot(range(len(names)), values, marker="o", color=_LINE)
        step = max(1, len(names) // 5)
        axes.set_xticks(range(0, len(names), step), names[::step])
        axes.set_ylim(min(0.0, *values), 1)
        axes.set_ylabel("alpha")

    return plot


def _raters(axes: Axes, quality: Quality) -> None:
    axes.bar(list(quality.raters), list(quality.raters.values()), color=_LINE)
    axes.axvline(quality.goal - 0.5, color=_INK, linestyle="--")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(f"raters; {quality.goal} are the goal")
    axes.set_ylabel("images")


def _shares(shares: Sequence[Share]) -> Callable[[Axes], None]:
    def plot(axes: Axes) -> None:
        places = range(len(shares))
        middle = [100 * share.good / share.votes for share in shares]
        below = [value - 100 * share.low for value, share in zip(middle, shares, strict=True)]
        above = [100 * share.high - value for value, share in zip(middle, shares, strict=True)]
        axes.errorbar(places, middle, yerr=(below, above), fmt="o", color=_LINE, capsize=4)
        axes.set_xticks(places, [share.of or "none" for share in shares])
        axes.set_ylabel("% good, with 95 % interval")
        axes.margins(x=0.2)

    return plot


def _hist(axes: Axes, seconds: Sequence[float]) -> None:
    axes.hist(seconds, bins=40, color=_LINE)
    axes.set_xlabel("seconds")
    axes.set_ylabel("votes")
