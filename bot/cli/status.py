"""The status of a running bot, as it crosses the control socket and as `status --json` prints it.

Ages and durations are in seconds. Imports little, so that `status` starts quickly.
"""

from pydantic import BaseModel, ConfigDict

from generation.queue.status import WorkerStatus


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Discord(_Frozen):
    """connected: whether every shard's gateway connection is open."""

    connected: bool
    servers: int


class Queue(_Frozen):
    """seconds_per_request: the estimate; None until a request has been made."""

    waiting: int
    running: int
    seconds_per_request: float | None


class Writer(_Frozen):
    """The process that commits. pid: None while there is none."""

    alive: bool
    pid: int | None


class Votes(_Frozen):
    """Votes that are not committed yet. missing: a phrase about images whose bytes are gone, and
    the votes that wait for them; None if there are none."""

    waiting: int
    oldest_waiting_s: float | None
    missing: str | None


class LastCommit(_Frozen):
    """id and age_s: None before the first. error: why the last try failed; None if it did not."""

    id: str | None
    age_s: float | None
    error: str | None


class Remote(_Frozen):
    """What is not pushed yet, and the last push.

    moved: whether `branch` is not the one in the settings, because somebody else changed that one.
    """

    url: str
    branch: str
    moved: bool
    votes_waiting: int
    commits_waiting: int
    oldest_waiting_s: float | None
    pushed_id: str | None
    pushed_age_s: float | None
    error: str | None


class Status(_Frozen):
    """remote: None where none is set. problems: sentences for the operator; empty if all is well.

    disk_free_mb: free space under the data folder, in units of 10**6 bytes.
    """

    discord: Discord
    queue: Queue
    workers: tuple[WorkerStatus, ...]
    writer: Writer
    votes: Votes
    last_commit: LastCommit
    remote: Remote | None
    disk_free_mb: int
    problems: tuple[str, ...]
