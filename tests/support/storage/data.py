"""Requests and images for the storage tests, and a dataset read back in one value."""

import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatch
from pathlib import Path

from storage.dataset.layout import unguarded
from storage.vote import NewImage, NewSet, Rating

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
PROVENANCE = {
    "model": "tiny/model",
    "revision": "0123abcd",
    "scheduler": "PNDMScheduler",
    "backend": "placeholder",
    "device": "cpu",
    "dtype": "float32",
    "pillow": "12.0",
}


@dataclass(slots=True)
class Clock:
    """A clock that stands still until somebody moves it."""

    now: datetime = NOON
    elapsed_s: float = 0.0

    def __call__(self) -> datetime:
        return self.now

    def forward(self, duration: timedelta) -> None:
        """Let time pass."""
        self.now += duration
        self.elapsed_s += duration.total_seconds()

    def jump(self, duration: timedelta) -> None:
        """Show a different time, though none has passed."""
        self.now += duration

    def monotonic(self) -> float:
        """Seconds that have passed, whatever the clock shows."""
        return self.elapsed_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """What a trainer finds, and what is wrong with it."""

    ratings: Mapping[tuple[str, int], Rating]
    images: frozenset[str]
    shown: frozenset[str]
    prompts: frozenset[str]
    problems: tuple[str, ...]


def a_request(
    prompt: str = "a fox in the snow", *, seeds: Sequence[int] = (1, 2, 3, 4)
) -> dict[str, object]:
    """What was asked for, as the journal keeps it."""
    return {
        "prompt": prompt,
        "negative_prompt": "",
        "seeds": list(seeds),
        "steps": 20,
        "guidance_scale": 7.5,
        "width_px": 64,
        "height_px": 64,
        "model": "model",
    }


def a_set(set_id: str = "set-0", *, prompt: str = "a fox in the snow") -> NewSet:
    """A request for four images."""
    return NewSet(
        set_id=set_id,
        requester_id=10,
        guild_id=20,
        channel_id=30,
        interaction_id=40,
        request=a_request(prompt),
    )


def png_of(image_id: str) -> bytes:
    """Bytes that only this image has. Nothing in storage looks inside."""
    return b"\x89PNG " + image_id.encode()


def four_images(set_id: str = "set-0", *, withheld: Sequence[int] = ()) -> list[NewImage]:
    """The images of a set: `<set>-1` to `<set>-4`; those in some slots are withheld."""
    return [
        NewImage(
            image_id=image_id,
            slot=slot,
            seed=slot,
            sha256=hashlib.sha256(png_of(image_id)).hexdigest(),
            png=b"" if slot in withheld else png_of(image_id),
            unsafe_score=0.123 * slot if withheld else None,
            withheld="classifier" if slot in withheld else None,
        )
        for slot in (1, 2, 3, 4)
        for image_id in [f"{set_id}-{slot}"]
    ]


def dataset(files: Mapping[str, bytes]) -> Dataset:
    """Read the files of a dataset by path."""
    problems = []
    ratings: dict[tuple[str, int], Rating] = {}
    paths: dict[str, str] = {}
    prompts = set()
    for path, content in files.items():
        if not fnmatch(path, "train/*.csv"):
            continue

        rows = read_csv(content)
        if not rows:
            problems.append(f"{path} has no rows")

        for row in rows:
            key = (row["image_id"], int(row["voter_id"]))
            if key in ratings:
                problems.append(f"{key} has two rows")

            ratings[key] = Rating(row["rating"])
            paths[row["image_id"]] = row["path"]
            prompts.add(unguarded(row["prompt"]))

    shown = [
        row["image_id"]
        for path, content in files.items()
        if fnmatch(path, "generations/*.csv")
        for row in read_csv(content)
    ]
    images = {Path(path).stem: path for path in files if path.startswith("images/")}

    if len(shown) != len(set(shown)):
        problems.append("an image is in generations twice")

    for image_id, path in paths.items():
        if files.get(path) != png_of(image_id):
            problems.append(f"{path} has a row, but not the bytes of the image")

    problems += [f"{images[image_id]} has no row" for image_id in images.keys() - paths.keys()]

    return Dataset(
        ratings=ratings,
        images=frozenset(images),
        shown=frozenset(shown),
        prompts=frozenset(prompts),
        problems=tuple(problems),
    )


def files_below(root: Path) -> dict[str, bytes]:
    """The working tree of a repository on disk, by path."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and ".oxen" not in path.parts
    }


def read_csv(content: bytes) -> list[dict[str, str]]:
    """The rows of one CSV file."""
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))
