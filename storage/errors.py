"""What can go wrong while keeping votes.

StorageError
├── StoreClosing               the store takes no more work
├── JournalError               the journal on local disk
│   ├── JournalInUse             a different process owns it
│   └── JournalFull              the disk is full: nothing was recorded, try again later
├── RepositoryError            the dataset; votes are safe in the journal
│   ├── RepositoryForeign        not made by oxherd, or not from this journal
│   └── RepositoryInUse          a different process has it open
├── RequestForgotten           whoever asked is forgotten, and so is what they asked for
├── RecordError                a row of the dataset: absent, unusable, or not written by oxherd
├── RefoundError               the dataset was not made anew; the old one is as it was
├── BackupError                the data folder was not copied
├── ReadingError               what is made of the dataset: no dataset, no such commit, not oxherd's
├── ExportError                nothing was exported
├── ReportError                no report was made
└── RemoteError                the Oxen server; commits are safe in the local dataset
    ├── RemoteUnavailable        down, slow or busy: trying again may help
    │   └── RemoteSilent             nothing moved on the line for too long
    ├── RemoteMoved              somebody else moved the branch
    └── RemoteHasData            it has a dataset and this host has none

A class of its own has only what a caller distinguishes. Messages are for operators: a fact and a
next step. All errors survive pickling: a child process sends them to its parent.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

_RESTORE = (
    "Restore the whole data folder from a backup, or run `oxherd rebuild-journal`, which makes the "
    "journal from the dataset; votes that are not committed are then only in the old journal, "
    "which is kept."
)


class StorageError(Exception):
    """Base of everything that storage raises on purpose."""


class StoreClosing(StorageError):
    """The store is shutting down and takes no more work."""

    @classmethod
    def now(cls) -> Self:
        return cls("The vote store is closing; nothing was recorded. Try again after the restart.")


class JournalError(StorageError):
    """The journal on local disk cannot be opened, read or written."""

    @classmethod
    def too_new(cls, path: Path, *, found: int, newest: int) -> Self:
        return cls(
            f"The journal {path} has version {found}; this oxherd knows up to {newest}. "
            "Start the newer oxherd that wrote it."
        )

    @classmethod
    def too_old(cls, path: Path, *, found: int, oldest: int) -> Self:
        return cls(
            f"The journal {path} has version {found}, of an unreleased oxherd; this one reads "
            f"version {oldest}. Keep the data folder for the oxherd that wrote it, and set "
            "OXHERD_DATA to a new one."
        )

    @classmethod
    def foreign(cls, path: Path, *, found: str) -> Self:
        return cls(f"{path} is not a journal of oxherd, or it is damaged: {found}. {_RESTORE}")

    @classmethod
    def failed(cls, path: Path, *, reason: str) -> Self:
        return cls(f"{path} could not be read or written: {reason}. Check the disk.")


class JournalInUse(JournalError):
    @classmethod
    def by(cls, pid: str, *, path: Path) -> Self:
        return cls(
            f"A different oxherd (process {pid or 'unknown'}) owns the journal {path}. "
            "Stop it first, or give this one a data folder of its own."
        )


class JournalFull(JournalError):
    @classmethod
    def at(cls, path: Path) -> Self:
        return cls(
            f"The disk with {path} is full; nothing was recorded. "
            "Free some space; recording then continues by itself."
        )


class RepositoryError(StorageError):
    """The dataset cannot be changed now. No vote is lost: the journal has all of them."""

    @classmethod
    def full(cls, path: Path) -> Self:
        return cls(
            f"The disk with {path} is full. Free some space; "
            "the votes in the journal are then committed by themselves."
        )

    @classmethod
    def gone(cls, path: Path) -> Self:
        return cls(
            f"The dataset {path} is gone. Votes wait in the journal. Put the dataset back, or "
            "restart the bot, which then makes it again from the journal."
        )

    @classmethod
    def unavailable(cls, doing: str, reason: str) -> Self:
        """Trying again may help."""
        return cls(f"The dataset could not be reached while {doing}: {reason}. It is tried again.")

    @classmethod
    def rejected(cls, doing: str, reason: str) -> Self:
        """Trying again will not help."""
        return cls(f"The dataset refused while {doing}: {reason}. Somebody has to look at it.")


class RepositoryForeign(RepositoryError):
    @classmethod
    def at(cls, path: Path, *, found: str) -> Self:
        return cls(
            f"{path} was not made by oxherd: {found}. "
            "Move it away, or give oxherd a different data folder."
        )

    @classmethod
    def of_another_journal(cls, path: Path) -> Self:
        return cls(f"{path} was made from a different journal than the one beside it. {_RESTORE}")

    @classmethod
    def ahead(cls, newest: int, *, known: int) -> Self:
        return cls(
            f"The journal is older than its dataset, which has its changes up to {newest}; the "
            f"journal ends at {known}. {_RESTORE}"
        )


class RepositoryInUse(RepositoryError):
    @classmethod
    def at(cls, path: Path) -> Self:
        return cls(
            f"A different process has the dataset {path} open. "
            "Close it: Oxen allows one process per repository."
        )


class RequestForgotten(StorageError):
    """Whoever asked is forgotten, and so is what they asked for."""

    @classmethod
    def of(cls, set_id: str) -> Self:
        return cls(f"The request {set_id} was forgotten while it was made; nothing is kept of it.")


class RecordError(StorageError):
    """A row of the dataset that cannot be used."""

    @classmethod
    def absent(cls, dataset: Path, image_id: str, *, nearest: Sequence[str]) -> Self:
        hint = f" Did you mean {nearest[0]}?" if nearest else ""

        return cls(
            f"{dataset} has no image {image_id!r}: one that was shown a moment ago gets there "
            f"within seconds; one that was not posted never does.{hint}"
        )

    @classmethod
    def unusable(cls, image_id: str, *, reason: str) -> Self:
        return cls(f"The row of image {image_id!r} does not say how to make it again: {reason}.")

    @classmethod
    def not_ours(cls, place: str, *, reason: str) -> Self:
        return cls(
            f"The dataset cannot be continued, because oxherd did not write it so: {place}: "
            f"{reason}. Nothing was taken over."
        )


class RefoundError(StorageError):
    """The dataset was not made anew. The old one is in place, as it was."""

    @classmethod
    def only_elsewhere(cls, dataset: Path, *, images: Sequence[str]) -> Self:
        return cls(
            f"Images with votes are not on this host ({len(images)}, such as {images[0]}), so a "
            "new dataset would lose them. If the remote has them, clone it with `oxen clone` and "
            f"copy its folder images into {dataset}; then try again."
        )


class BackupError(StorageError):
    """The data folder was not copied. Nothing in it has changed."""

    @classmethod
    def not_empty(cls, target: Path) -> Self:
        return cls(f"{target} is not empty. Choose a folder that does not exist yet.")

    @classmethod
    def failed(cls, target: Path, *, reason: str) -> Self:
        return cls(f"The backup could not be written to {target}: {reason}.")

    @classmethod
    def while_(cls, doing: str, reason: str) -> Self:
        return cls(f"The backup failed while {doing}: {reason}.")


class ReadingError(StorageError):
    """The dataset cannot be read at the commit that was asked for."""

    @classmethod
    def no_dataset(cls, folder: Path) -> Self:
        return cls(
            f"{folder} is no dataset of oxherd: it has neither train nor generations. "
            "Name one with --dataset, or the bot's data folder with OXHERD_DATA."
        )

    @classmethod
    def no_history(cls, folder: Path) -> Self:
        return cls(
            f"{folder} has no history, only files: leave --revision out, or clone the dataset "
            "with Oxen."
        )

    @classmethod
    def no_branch(cls, folder: Path) -> Self:
        return cls(f"{folder} is not on a branch: name a commit with --revision.")

    @classmethod
    def no_commit(cls, folder: Path, *, revision: str, found: Sequence[str]) -> Self:
        is_what = f"is the beginning of {len(found)} commits" if found else "is not a commit"

        return cls(f"{revision!r} {is_what} of {folder}. `oxherd log` lists them.")

    @classmethod
    def incomplete(cls, folder: Path, *, commit: str, reason: str) -> Self:
        return cls(
            f"{folder} does not have all tables of commit {commit[:12]}: {reason}. "
            "Clone the dataset whole."
        )

    @classmethod
    def unwritable(cls, out: Path, *, reason: str) -> Self:
        return cls(f"What was found could not be written to {out}: {reason}.")

    @classmethod
    def not_ours(cls, folder: Path, *, reason: str) -> Self:
        return cls(f"The tables in {folder} were not written by oxherd: {reason}.")


class ExportError(StorageError):
    """Nothing was exported, and no folder was left behind."""

    @classmethod
    def not_empty(cls, out: Path) -> Self:
        return cls(f"{out} is not empty. Choose a folder that does not exist yet.")

    @classmethod
    def interrupted(cls, part: Path) -> Self:
        return cls(f"{part} was left by an export that was interrupted. Delete it first.")

    @classmethod
    def nothing(cls, target: str, *, why: str) -> Self:
        return cls(f"There is nothing to export as {target}: {why}.")

    @classmethod
    def too_few(cls, used: int, *, least: int, why: str) -> Self:
        return cls(
            f"{used} votes can be used, and at least {least} are needed: {least - used} are "
            f"missing. Of the others: {why}."
        )

    @classmethod
    def one_class(cls, *, missing: str) -> Self:
        return cls(
            f"No image would be {missing}. Diffusion-KTO needs both classes: collect more votes, "
            "or filter less."
        )

    @classmethod
    def numbers_only(cls) -> Self:
        return cls(
            "Every prompt is a number, and the trainer would read none of them as text. Collect "
            "votes on more prompts, or filter less."
        )

    @classmethod
    def contradictory(cls, *, options: str, reason: str) -> Self:
        return cls(f"{options} cannot be: {reason}.")

    @classmethod
    def changed_image(cls, path: Path, *, image_id: str) -> Self:
        return cls(
            f"{path} is not the image {image_id} that people voted on: its SHA-256 is not the "
            "recorded one. Restore it with `oxen restore`, or from a backup."
        )

    @classmethod
    def failed(cls, out: Path, *, reason: str) -> Self:
        return cls(f"The export could not be written to {out}: {reason}.")

    @classmethod
    def unknown_target(cls, name: str, *, nearest: Sequence[str]) -> Self:
        hint = f" Did you mean {nearest[0]}?" if nearest else ""

        return cls(f"{name!r} is no target. `oxherd export --list` has all.{hint}")

    @classmethod
    def no_export(cls, out: Path) -> Self:
        return cls(f"{out} was not written by `oxherd export`: it has no export.json.")


class ReportError(StorageError):
    """No report was made, and no folder was left behind."""

    @classmethod
    def not_empty(cls, out: Path) -> Self:
        return cls(f"{out} is not empty. Choose a folder that does not exist yet.")

    @classmethod
    def interrupted(cls, part: Path) -> Self:
        return cls(f"{part} was left by a report that was interrupted. Delete it first.")

    @classmethod
    def failed(cls, out: Path, *, reason: str) -> Self:
        return cls(f"The report could not be written to {out}: {reason}.")


class RemoteError(StorageError):
    """The Oxen server did not take the commits. No vote is lost: the local dataset has them all."""

    @classmethod
    def full(cls, url: str) -> Self:
        return cls(
            f"The disk of {url} is full. Free some space there; "
            "the commits in the local dataset are then pushed by themselves."
        )

    @classmethod
    def denied(cls, url: str) -> Self:
        return cls(
            f"{url} does not accept the token. Set OXHERD_REMOTE_TOKEN to one that may write there."
        )

    @classmethod
    def over_limit(cls, url: str, *, words: str) -> Self:
        return cls(
            f"{url} takes nothing more: its storage or plan is used up (402{_said(words)}). Delete "
            "something there or enlarge the plan; the commits are then pushed by themselves."
        )

    @classmethod
    def forbidden(cls, url: str, *, words: str) -> Self:
        return cls(
            f"{url} forbids this (403{_said(words)}): OXHERD_REMOTE_TOKEN may not write there, or "
            "a limit of the plan is reached."
        )

    @classmethod
    def client_too_old(cls, url: str, *, words: str) -> Self:
        return cls(
            f"{url} wants a newer Oxen client (426{_said(words)}). Install a newer oxherd; "
            "commits stay in the local dataset until then."
        )

    @classmethod
    def bad_certificate(cls, url: str, *, problem: str) -> Self:
        return cls(
            f"The certificate of {url} is not valid: {problem}. The server's operator has to "
            "renew it; the commits are then pushed by themselves."
        )

    @classmethod
    def absent(cls, url: str) -> Self:
        return cls(
            f"There is no repository {url}. Make it, or let oxherd with OXHERD_REMOTE_CREATE=true."
        )

    @classmethod
    def nothing_there(cls, url: str, *, branch: str) -> Self:
        return cls(
            f"{url} has no dataset of oxherd in the branch {branch} that could be continued."
        )

    @classmethod
    def host_has_data(cls, folder: str) -> Self:
        return cls(
            f"{folder} has requests of its own. Only a host without any can continue a remote's "
            "dataset: set OXHERD_DATA to an empty folder."
        )

    @classmethod
    def refused(cls, doing: str, reason: str) -> Self:
        """Trying again will not help."""
        return cls(f"The remote refused while {doing}: {reason}. Somebody has to look at it.")


class RemoteUnavailable(RemoteError):
    @classmethod
    def while_(cls, doing: str, reason: str) -> Self:
        return cls(f"The remote could not be reached while {doing}: {reason}. It is tried again.")


class RemoteSilent(RemoteUnavailable):
    """Nothing moved on the line for too long."""


class RemoteMoved(RemoteError):
    @classmethod
    def at(cls, url: str, *, branch: str) -> Self:
        return cls(f"Somebody else changed the branch {branch} of {url}.")


class RemoteHasData(RemoteError):
    @classmethod
    def at(cls, url: str, *, branch: str, folder: str) -> Self:
        return cls(
            f"{url} has a dataset in the branch {branch}, and {folder} has no votes. If this host "
            "replaces the one that made it, stop that one and run `oxherd take-over` here. If "
            "not, set a different OXHERD_REMOTE or OXHERD_REMOTE_BRANCH."
        )


def _said(words: str) -> str:
    return f": {words[:300]}" if words else ""
