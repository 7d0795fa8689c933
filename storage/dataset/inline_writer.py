"""The writer in this process, for a repository that may live here: the one in memory."""

from storage.dataset.writer import Writer


class InlineWriter(Writer):
    """A Writer that answers like a process of its own."""

    @property
    def pid(self) -> int | None:
        return None

    def is_alive(self) -> bool:
        return True

    def wait_until_open(self) -> None:
        """It is open already."""

    def kill(self) -> None:
        """Nothing to end: its calls return by themselves."""
