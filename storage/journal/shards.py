"""How many rows and images go into one file or folder of the dataset."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardSizes:
    """The most that one file or folder holds.

    Chosen by measuring bytes and milliseconds per commit, from 1,000 to a million votes. The
    journal stores each row's shard, so a change of these moves nothing that exists.
    """

    train_rows: int = 64
    shown_rows: int = 64
    images: int = 2048
