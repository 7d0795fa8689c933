"""What a run says while it works: a bar with the time left, in one of its processes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Tell = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is."""


@contextmanager
def progress_bar(*, shown: bool) -> Iterator[Tell]:
    """A bar on standard error while the context lasts; nothing outside a terminal."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=not (shown and console.is_terminal)
    ) as bar:
        task = bar.add_task("")
        doing = ""

        def tell(what: str, done: int, total: int) -> None:
            nonlocal doing
            if what != doing:  # the time left is that of one kind of work
                bar.reset(task, description=what, total=total, completed=done)
                doing = what
            else:
                bar.update(task, completed=done, total=total)

        yield tell
