"""The dataset as a stranger finds it: plain files, and Oxen's own word from a fresh process."""

import asyncio
import csv
import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

ASK_OXEN = """
import json, sys
from oxen import Repo

repository = Repo(sys.argv[1])
status = repository.status()
commits = repository.log()
print("\\nANSWER" + json.dumps({
    "clean": status.is_clean(),
    "status": str(status),
    "commits": [{"id": c.id, "parents": list(c.parent_ids), "message": c.message} for c in commits],
}))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptDataset:
    """What the files say."""

    ratings: Mapping[tuple[str, int], str]
    shown: Mapping[str, str]  # sha256 by image id
    problems: tuple[str, ...]


def read(root: Path) -> KeptDataset:
    """Read every row and every image."""
    problems: list[str] = []
    ratings: dict[tuple[str, int], str] = {}
    paths: dict[str, str] = {}
    for row in _rows(root, "train"):
        key = (row["image_id"], int(row["voter_id"]))
        if key in ratings:
            problems.append(f"{key} has two rows")

        ratings[key] = row["rating"]
        paths[row["image_id"]] = row["path"]

    shown: dict[str, str] = {}
    for row in _rows(root, "generations"):
        if row["image_id"] in shown:
            problems.append(f"{row['image_id']} is in generations twice")

        shown[row["image_id"]] = row["sha256"]

    for image_id, path in paths.items():
        file = root / path
        if not file.is_file():
            problems.append(f"{path} has a row and no file")
        elif hashlib.sha256(file.read_bytes()).hexdigest() != shown.get(image_id):
            problems.append(f"{path} is not what generations says it is")

    wanted = {root / path for path in paths.values()}
    problems += [
        f"{file.relative_to(root)} has no row"
        for file in (root / "images").rglob("*")
        if file.is_file() and file not in wanted
    ]

    return KeptDataset(ratings=ratings, shown=shown, problems=tuple(problems))


async def ask_oxen(root: Path) -> tuple[list[str], int]:
    """What Oxen, in a process of its own, finds wrong; and how many commits there are."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        ASK_OXEN,
        str(root),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    if process.returncode != 0:
        return [f"Oxen cannot open the repository: {errors.decode(errors='replace')[-500:]}"], 0

    answer: dict[str, Any] = json.loads(output.decode().rpartition("ANSWER")[2])
    commits = answer["commits"]
    problems = [] if answer["clean"] else [f"the working tree is not HEAD: {answer['status']}"]
    for commit, older in pairwise(commits):
        if commit["parents"] != [older["id"]]:
            problems.append(f"the history is not one line at {commit['id']}")

    if commits and commits[-1]["parents"]:
        problems.append("the history has no beginning")

    return problems, len(commits)


def _rows(root: Path, table: str) -> list[dict[str, str]]:
    rows = []
    for file in sorted((root / table).rglob("*.csv")):
        with file.open(encoding="utf-8", newline="") as stream:
            rows += list(csv.DictReader(stream))

    return rows
