"""Refuses compiled code that somebody else could have written: loading it executes it."""

import os
from contextlib import suppress
from pathlib import Path

from generation.diffusion.compile.variants import Unusable


def require_own(folder: Path) -> None:
    """Check the folder, all that is in it, and what links in it point to, if it exists.

    Raises Unusable unless all of it is owned by this user and writable by nobody else.
    """
    entries = [folder, *folder.rglob("*")]
    targets = [entry.resolve().parent for entry in entries if entry.is_symlink()]
    for path in (*entries, *targets):
        with suppress(FileNotFoundError):  # nothing yet, or what a compiler has just removed
            found = path.stat()
            if found.st_uid != os.getuid() or found.st_mode & 0o022:
                raise Unusable(
                    f"{path} belongs to a different user, or others can write to it, and what is "
                    f"there is executed. Remove the folder {folder}"
                )
