"""The requests that wait or run, by their sets."""

from generation.queue.job import Job


class Jobs:
    """Every job of this run that has not ended, with its server and its member."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}

    def add(self, set_id: str, job: Job) -> None:
        self._jobs[set_id] = job

    def pop(self, set_id: str) -> Job | None:
        """Forget a job; None if there is none of this set."""
        return self._jobs.pop(set_id, None)

    def find(self, set_id: str) -> Job | None:
        """The job of this set, if it waits or runs."""
        return self._jobs.get(set_id)

    def of_server(self, guild_id: int) -> dict[str, Job]:
        """The server's jobs by set, in the order in which they were accepted."""
        return {set_id: job for set_id, job in self._jobs.items() if job.group == guild_id}

    def cancel_all(self, guild_id: int | None, member_id: int) -> int:
        """Cancel what a member has waiting or running in one server, None for all servers; how many
        requests."""
        theirs = [
            job
            for job in self._jobs.values()
            if job.owner == member_id and guild_id in (None, job.group)
        ]

        return sum(job.cancel() for job in theirs)
