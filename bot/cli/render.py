"""What `doctor`, `status`, `log` and other commands print for a person."""

from collections.abc import Sequence
from datetime import UTC
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bot.cli.status import Discord, LastCommit, Queue, Remote, Status, Votes
from generation.queue.status import WorkerStatus
from generation.worker.backend import Finding
from storage.dataset.repository import CommitInfo
from storage.journal.watermark import Refounded
from storage.people import Forgotten
from storage.plurals import count
from storage.remote.takeover import TakenOver


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


def show_status(console: Console, status: Status) -> None:
    """`status`'s table, and the problems in bold under it."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    table.add_row("Discord", _discord(status.discord))
    table.add_row("queue", _queue(status.queue))
    for worker in status.workers:
        table.add_row(f"worker {worker.device}", Text(_worker(worker)))

    table.add_row("writer", "alive" if status.writer.alive else "down")
    table.add_row("votes waiting", _votes(status.votes))
    if status.votes.missing is not None:
        table.add_row("missing", Text(status.votes.missing))

    table.add_row("last commit", _last_commit(status.last_commit))
    if status.remote is not None:
        table.add_row("remote", Text(_remote(status.remote)))

    table.add_row("disk", f"{status.disk_free_mb:,} MB free")
    console.print(table)
    for problem in status.problems:
        console.print(Text(problem, style="bold red"))


def show_forgotten(console: Console, forgotten: Forgotten, *, set_aside: Path) -> None:
    """What was taken out, and where the person may still be found."""
    console.print(
        f"Forgotten: {count(forgotten.votes, 'vote')} and {count(forgotten.requests, 'request')} "
        f"with {count(len(forgotten.images), 'image')}. They leave the dataset with its next "
        "commit, while the bot runs or when it starts."
    )
    console.print(
        "Not changed: the dataset's history here and on the remote, backups, and the messages on "
        "Discord."
    )
    for old in sorted(set_aside.glob("*/journal.sqlite3")):
        console.print(f"{old.parent} is an older journal, which may name them: delete it.")


def show_refounded(console: Console, made: Refounded, *, remote: str | None) -> None:
    """What the new dataset is, and where the old one may still be found."""
    console.print(
        f"Made the dataset anew in {count(made.commits, 'commit')}; the old one is deleted."
    )
    if remote is not None:
        console.print(
            f"When the bot runs, it pushes to a new branch of {remote} and then deletes the old "
            "one. The server keeps the files of the deleted branch on its disk: docs/privacy.md "
            "says how to delete them."
        )

    console.print("Backups and copies that others have made are not changed.")


def show_log(console: Console, commits: Sequence[CommitInfo]) -> None:
    """The commits, newest first: id, time, what changed."""
    if not commits:
        console.print("No commits yet.")
        return

    for commit in commits:
        at = f"{commit.at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        console.print(Text.assemble((commit.id[:12], "yellow"), "  ", at))
        console.print(Text(_indented(commit.message)))


def show_taken_over(console: Console, taken: TakenOver) -> None:
    """What the host continues, and what may be lost."""
    found = taken.adopted
    newest = found.newest_vote_at or "(none)"
    console.print(
        f"Continues the branch {taken.branch}: {count(found.votes, 'vote')} on "
        f"{count(found.images, 'image')}, the newest from {newest}. "
        "Votes that the other host had not pushed are lost. `oxherd run` starts the bot."
    )


def _discord(discord: Discord) -> str:
    if not discord.connected:
        return "not connected"

    return f"connected, {count(discord.servers, 'server')}"


def _queue(queue: Queue) -> str:
    seconds = queue.seconds_per_request
    estimate = "" if seconds is None else f", {seconds:.1f} s a request"

    return f"{queue.waiting} waiting, {queue.running} running{estimate}"


def _worker(worker: WorkerStatus) -> str:
    where = "" if worker.host is None else f" on {worker.host}"
    parts = [f"{worker.state}{where}", *worker.models]
    if worker.serving:
        parts.append(worker.serving)

    if worker.restarts:
        parts.append(f"replaced {count(worker.restarts, 'time')}")

    if worker.last_error:
        parts.append(worker.last_error)

    return ", ".join(parts)


def _votes(votes: Votes) -> str:
    return f"{votes.waiting}, oldest {_age(votes.oldest_waiting_s)}" if votes.waiting else "0"


def _last_commit(commit: LastCommit) -> str:
    if commit.id is None:
        return "none since the start"

    return f"{commit.id[:12]}, {_age(commit.age_s)} ago"


def _remote(remote: Remote) -> str:
    lines = [f"{remote.url}, branch {remote.branch}"]
    if remote.moved:
        lines[0] += " (somebody else changed the branch in the settings)"

    if remote.commits_waiting:
        lines.append(
            f"{count(remote.commits_waiting, 'commit')} with "
            f"{count(remote.votes_waiting, 'vote')} not pushed,"
            f" oldest {_age(remote.oldest_waiting_s)}"
        )
    elif remote.pushed_id is None:
        lines.append("not asked yet")
    else:
        lines.append(f"up to date, last push {_age(remote.pushed_age_s)} ago")

    if remote.error:
        lines.append(remote.error)

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
