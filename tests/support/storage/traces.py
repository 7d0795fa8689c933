"""Looks for a person in every byte of a folder."""

from pathlib import Path


def traces(root: Path, *, user_id: int, prompt: str) -> list[str]:
    """The files below the folder in which the id, as text or as SQLite writes it, or the prompt
    is, and which of them."""
    needles = {
        "id": str(user_id).encode(),
        "id as a number": user_id.to_bytes(8, "big"),
        "prompt": prompt.encode(),
    }

    return [
        f"{path.relative_to(root)}: {what}"
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.is_symlink()
        for content in [path.read_bytes()]
        for what, needle in needles.items()
        if needle in content
    ]
