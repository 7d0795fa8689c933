"""Files that are in place as a whole or not at all, also after a power cut."""

import os
from collections.abc import Mapping
from pathlib import Path


def write_durably(path: Path, content: bytes, *, part: Path | None = None) -> None:
    """Replace the file at `path`, or make it with its folders. Durable on return.

    The content is written to `part` first, by default beside `path` with the suffix `.part`; it
    must be on the same file system. A crash may leave it.
    """
    write_all_durably({path: content}, part=part)


def write_all_durably(contents: Mapping[Path, bytes], *, part: Path | None = None) -> None:
    """Do what `write_durably` does for each of these files, with one fsync for each folder."""
    for path, content in contents.items():
        new = part or path.with_suffix(".part")
        make_folder(path.parent)
        new.write_bytes(content)
        sync(new)
        new.replace(path)

    for folder in {path.parent for path in contents}:
        sync(folder)


def replace_durably(new: Path, path: Path) -> None:
    """Rename `new`, a file or a folder with all that is in it, to `path`. Durable on return."""
    for entry in [*new.rglob("*"), new]:
        if not entry.is_symlink():
            sync(entry)

    new.replace(path)
    sync(path.parent)


def read_if_there(path: Path) -> bytes | None:
    """The file's content; None without a file."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def make_folder(path: Path) -> None:
    """Make the folder and its parents if absent. Durable on return."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        sync(path.parent)


def sync(path: Path) -> None:
    """Make a file's content, or the names in a folder, durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
