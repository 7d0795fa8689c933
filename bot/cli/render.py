"""What the commands print for a person: tables of findings, state and commits."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bot.plurals import count
from generation.queue.job import JobProgress, JobState
from generation.worker.backend import Finding

if TYPE_CHECKING:
    from bot.cli.replay import Replayed  # imports Discord


def show_findings(console: Console, findings: Sequence[Finding]) -> None:
    """`doctor`'s table: ok, or what to do."""
    table = Table(box=None, pad_edge=False)
    table.add_column("check")
    table.add_column("")
    table.add_column("found, or what to do", overflow="fold")
    for finding in findings:
        mark = Text("ok", style="green") if finding.ok else Text("to do", style="bold red")
        table.add_row(Text(finding.subject), mark, Text(finding.detail))

    console.print(table)


def show_status(console: Console, state: Mapping[str, Any]) -> None:
    """`status`'s table, and the problems in bold under it."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    queue, votes, commit = state["queue"], state["votes"], state["last_commit"]
    connected = state["discord"]["connected"]
    table.add_row(
        "Discord",
        f"connected, {count(state['discord']['servers'], 'server')}"
        if connected
        else "not connected",
    )
    seconds = queue["seconds_per_request"]
    table.add_row(
        "queue",
        f"{queue['waiting']} waiting, {queue['running']} running"
        + ("" if seconds is None else f", {seconds:.1f} s a request"),
    )
    for worker in state["workers"]:
        table.add_row(f"worker {worker['device']}", Text(_worker(worker)))

    table.add_row("writer", "alive" if state["writer"]["alive"] else "down")
    table.add_row(
        "votes waiting",
        f"{votes['waiting']}"
        + (f", oldest {_age(votes['oldest_waiting_s'])}" if votes["waiting"] else ""),
    )
    table.add_row(
        "last commit",
        "none since the start"
        if commit["id"] is None
        else f"{commit['id'][:12]}, {_age(commit['age_s'])} ago",
    )
    if state["remote"] is not None:
        table.add_row("remote", Text(_remote(state["remote"])))

    table.add_row("disk", f"{state['disk_free_mb']:,} MB free")
    console.print(table)
    for problem in state["problems"]:
        console.print(Text(problem, style="bold red"))


def show_log(console: Console, commits: Sequence[Mapping[str, str]]) -> None:
    """The commits, newest first: id, time, what changed."""
    if not commits:
        console.print("No commits yet.")
        return

    for commit in commits:
        console.print(
            Text.assemble(
                (commit["id"][:12], "yellow"), "  ", commit["at"][:19].replace("T", " "), " UTC"
            )
        )
        console.print(Text(_indented(commit["message"])))


@contextmanager
def told(console: Console) -> Iterator[Callable[[JobProgress], None]]:
    """A line that says how far an image is, while the context lasts; nothing where none reads."""
    with console.status("") as line:

        def tell(progress: JobProgress) -> None:
            running = progress.state is JobState.RUNNING and progress.step > 0
            step = f"step {progress.step} of {progress.steps}"
            line.update(step if running else "loading the model")

        yield tell


def show_replayed(console: Console, made: "Replayed") -> None:
    """`replay`'s sentence, and what is another here than what was recorded."""
    image = f"Image {made.recorded.image_id} was made again:"
    if made.same_bytes:
        say = f"{image} the same bytes, SHA-256 {made.recorded.sha256}."
        note = "This is another here than what was recorded, and made no difference:"
    elif made.differences:
        say = f"{image} the bytes differ."
        note = "This is another here than what was recorded:"
    else:
        say = f"{image} the bytes differ, although everything that was recorded is the same here."
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


_UNRECORDED = "Not recorded are the driver, the very processor, and kernels chosen by measuring."


def _pixels(made: "Replayed") -> str:
    pixels = made.pixels
    if pixels is None:
        return "How far the pictures are apart is not known: the recorded one is not here."

    if pixels.largest == 0:
        return "Every pixel is the same: only the PNG file was written in another way."

    return (
        f"The pictures are apart by {pixels.mean:.3f} of 255 on average, and by "
        f"{pixels.largest} where they are apart most."
    )


def _worker(worker: Mapping[str, Any]) -> str:
    parts = [worker["state"]]
    parts += worker["models"]
    if worker["serving"]:
        parts.append(worker["serving"])

    if worker["restarts"]:
        parts.append(f"replaced {count(worker['restarts'], 'time')}")

    if worker["last_error"]:
        parts.append(worker["last_error"])

    return ", ".join(parts)


def _remote(remote: Mapping[str, Any]) -> str:
    lines = [f"{remote['url']}, branch {remote['branch']}"]
    if remote["moved"]:
        lines[0] += " (somebody else changed the one that is set)"

    if remote["commits_waiting"]:
        lines.append(
            f"{count(remote['commits_waiting'], 'commit')} with "
            f"{count(remote['votes_waiting'], 'vote')} not pushed,"
            f" oldest {_age(remote['oldest_waiting_s'])}"
        )
    elif remote["pushed_id"] is None:
        lines.append("not asked yet")
    else:
        lines.append(f"has everything, last push {_age(remote['pushed_age_s'])} ago")

    if remote["error"]:
        lines.append(remote["error"])

    return "\n".join(lines)


def _age(seconds: float | None) -> str:
    if seconds is None:
        return "never"

    if seconds < 120:
        return f"{seconds:.0f} s"

    if seconds < 7200:
        return f"{seconds / 60:.0f} min"

    return f"{seconds / 3600:.0f} h"


def _indented(message: str) -> str:
    return "\n".join(f"    {line}" for line in message.splitlines() if line)
