"""What `replay` prints for a person."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bot.cli.replay import Replayed
from generation.queue.job import JobProgress, JobState


@contextmanager
def progress_line(console: Console) -> Iterator[Callable[[JobProgress], None]]:
    """A line with an image's progress while the context lasts; nothing outside a terminal."""
    with console.status("") as line:

        def tell(progress: JobProgress) -> None:
            running = progress.state is JobState.RUNNING and progress.step > 0
            step = f"step {progress.step} of {progress.steps}"
            line.update(step if running else "loading the model")

        yield tell


def show_replayed(console: Console, made: Replayed) -> None:
    """`replay`'s sentence, and a table of what differs from the record."""
    image = f"Image {made.recorded.image_id} was made again:"
    if made.same_bytes:
        say = f"{image} the same bytes, SHA-256 {made.recorded.sha256}."
        note = "These differ from the recorded values, and made no difference:"
    elif made.differences:
        say = f"{image} the bytes differ."
        note = "These differ from the recorded values:"
    else:
        say = f"{image} the bytes differ, although all recorded values are the same."
        note = ""

    console.print(Text(say, style="bold"), soft_wrap=True)
    if not made.same_bytes:
        console.print(Text(_pixels(made)), soft_wrap=True)

    if made.differences:
        table = Table(box=None, pad_edge=False)
        for heading in ("", "recorded", "here"):
            table.add_column(heading, overflow="fold")

        for difference in made.differences:
            table.add_row(difference.name, Text(difference.recorded), Text(difference.here))

        console.print(Text(note), soft_wrap=True)
        console.print(table)
    elif not made.same_bytes:
        console.print(Text(_UNRECORDED), soft_wrap=True)


_UNRECORDED = "Not recorded: the driver, the exact processor, and kernels chosen by timing them."


def _pixels(made: Replayed) -> str:
    pixels = made.pixels
    if pixels is None:
        return "The pixels cannot be compared: the recorded image is not here."

    if pixels.largest == 0:
        return "Every pixel is the same: only the encoding of the PNG file differs."

    return (
        f"The pixels differ by {pixels.mean:.3f} of 255 on average, and by {pixels.largest} "
        "at most."
    )
