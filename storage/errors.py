"""What can go wrong while keeping votes.

StorageError
├── StoreClosing               the store takes no more work
├── JournalError               the journal on local disk
│   ├── JournalInUse             another process owns it
│   ├── JournalTooNew            a newer oxherd wrote it
│   ├── JournalForeign           not a journal of ours, or damaged
│   ├── JournalFull              the disk is full: nothing was recorded, ask again later
│   └── JournalFailed            the disk refused for another reason
├── RepositoryError            the dataset; votes are safe in the journal meanwhile
│   ├── RepositoryForeign        made by something else
│   ├── RepositoryInUse          another process has it open
│   ├── RepositoryFull           the disk is full
│   ├── RepositoryUnavailable    trying again may help
│   └── RepositoryRejected       trying again will not help; a person must look
├── RecordError                what the dataset's files say of one image
│   ├── ImageNotRecorded         nothing: no such image was shown
│   └── RecordUnusable           too little to make it again
└── RemoteError                the Oxen server; commits are safe in the local dataset meanwhile
    ├── RemoteUnavailable        away, slow or busy: trying again may help
    ├── RemoteFull               the server's disk is full
    ├── RemoteDenied             the token is missing, wrong, or may not do this
    ├── RemoteAbsent             no such repository, and none is to be made
    ├── RemoteMoved              somebody else moved the branch
    └── RemoteRefused            trying again will not help; a person must look

Messages speak to operators: a fact and a next step. All survive pickling, since the
writer process sends them to its parent.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Self


class StorageError(Exception):
    """Base for everything storage raises on purpose."""


class StoreClosing(StorageError):
    """The store is shutting down and takes no more work."""

    @classmethod
    def now(cls) -> Self:
        return cls("The vote store is closing; nothing was recorded. Ask again after the restart.")


class JournalError(StorageError):
    """The journal on local disk cannot do what was asked."""


class JournalInUse(JournalError):
    @classmethod
    def by(cls, pid: str, *, path: Path) -> Self:
        return cls(
            f"Another oxherd (process {pid or 'unknown'}) owns the journal {path}. "
            "Stop it first, or give this one a data folder of its own."
        )


class JournalTooNew(JournalError):
    @classmethod
    def with_version(cls, found: int, *, newest: int, path: Path) -> Self:
        return cls(
            f"The journal {path} has version {found}; this oxherd knows up to {newest}. "
            "Start the newer oxherd that wrote it."
        )


class JournalForeign(JournalError):
    @classmethod
    def at(cls, path: Path, *, found: str) -> Self:
        return cls(
            f"{path} is not a journal of oxherd, or it is damaged: {found}. "
            "Move it away, or restore it from a backup."
        )


class JournalFull(JournalError):
    @classmethod
    def at(cls, path: Path) -> Self:
        return cls(
            f"The disk under {path} is full; nothing was recorded. "
            "Free some space: recording goes on by itself."
        )


class JournalFailed(JournalError):
    @classmethod
    def at(cls, path: Path, *, reason: str) -> Self:
        return cls(f"{path} could not be read or written: {reason}. Check the disk.")


class RepositoryError(StorageError):
    """The dataset cannot be changed now. No vote is lost: the journal has them all."""


class RepositoryForeign(RepositoryError):
    @classmethod
    def at(cls, path: Path, *, found: str) -> Self:
        return cls(
            f"{path} was not made by oxherd: {found}. "
            "Move it away, or give oxherd another data folder."
        )


class RepositoryInUse(RepositoryError):
    @classmethod
    def at(cls, path: Path) -> Self:
        return cls(
            f"Another process has the dataset {path} open. "
            "Close it: Oxen allows one process for each repository."
        )


class RepositoryFull(RepositoryError):
    @classmethod
    def at(cls, path: Path) -> Self:
        return cls(
            f"The disk under {path} is full. Free some space: "
            "votes wait in the journal and are committed by themselves."
        )


class RepositoryUnavailable(RepositoryError):
    @classmethod
    def while_(cls, doing: str, reason: str) -> Self:
        return cls(f"The dataset could not be reached while {doing}: {reason}. It is tried again.")


class RepositoryRejected(RepositoryError):
    @classmethod
    def while_(cls, doing: str, reason: str) -> Self:
        return cls(f"The dataset refused while {doing}: {reason}. Somebody has to look at it.")


class RecordError(StorageError):
    """An image cannot be made again from what the dataset says of it."""


class ImageNotRecorded(RecordError):
    @classmethod
    def in_(cls, dataset: Path, image_id: str, *, nearest: Sequence[str]) -> Self:
        hint = f" Did you mean {nearest[0]}?" if nearest else ""

        return cls(
            f"{dataset} has no image {image_id!r}: one that was shown a moment ago gets there "
            f"within seconds; one that was not posted never does.{hint}"
        )


class RecordUnusable(RecordError):
    @classmethod
    def because(cls, image_id: str, *, reason: str) -> Self:
        return cls(f"The row of image {image_id!r} does not say how to make it again: {reason}.")


class RemoteError(StorageError):
    """The Oxen server did not take the commits. No vote is lost: the local dataset has them all."""


class RemoteUnavailable(RemoteError):
    @classmethod
    def while_(cls, doing: str, reason: str) -> Self:
        return cls(f"The remote could not be reached while {doing}: {reason}. It is tried again.")


class RemoteFull(RemoteError):
    @classmethod
    def at(cls, url: str) -> Self:
        return cls(
            f"The disk of {url} is full. Make room there: "
            "commits wait in the local dataset and are pushed by themselves."
        )


class RemoteDenied(RemoteError):
    @classmethod
    def at(cls, url: str) -> Self:
        return cls(
            f"{url} does not accept the token. Set OXHERD_REMOTE_TOKEN to one that may write there."
        )


class RemoteAbsent(RemoteError):
    @classmethod
    def at(cls, url: str) -> Self:
        return cls(
            f"There is no repository {url}. Make it, or let oxherd with OXHERD_REMOTE_CREATE=true."
        )


class RemoteMoved(RemoteError):
    @classmethod
    def at(cls, url: str, *, branch: str) -> Self:
        return cls(f"Somebody else changed the branch {branch} of {url}.")


class RemoteRefused(RemoteError):
    @classmethod
    def while_(cls, doing: str, reason: str) -> Self:
        return cls(f"The remote refused while {doing}: {reason}. Somebody has to look at it.")
