"""A small dataset as members make one: a real Oxen repository, real PNG files, several voters."""

import hashlib
import io
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PIL import Image

from storage.dataset.card import CardFacts
from storage.dataset.oxen import OxenRepository, OxenSettings
from storage.folder import DataFolder
from storage.journal.queries import Journal
from storage.journal.shards import ShardSizes
from storage.vote import NewImage, Rating
from tests.support.storage.data import NOON, PROVENANCE, a_set
from tests.support.storage.desk import Desk

# Some that a CSV guards, some that pandas takes for missing, some that are the same but for case.
PROMPTS = [
    *(f"a fox number {number}" for number in range(24)),
    *("A Fox  Number 1", "=1+1", "'quoted'", "007", "null", "NaN", "N/A", "None"),
    *('say "fox", twice', "🦊 ünï", "true", "-fox"),
]
MISSING = ("null", "NaN", "N/A", "None")
VOTERS = [10**17 + number for number in range(5)]
OTHER_MODEL = "other/model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """A vote, as it was cast."""

    set_id: str
    image_id: str
    prompt: str
    voter: int
    good: bool
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """A dataset and what is in it. pngs: by image. first_commit: after half of the sets."""

    folder: DataFolder
    votes: list[Cast]
    pngs: Mapping[str, bytes]
    first_commit: str

    @property
    def dataset(self) -> Path:
        return self.folder.dataset

    def sha256(self, image_id: str) -> str:
        return hashlib.sha256(self.pngs[image_id]).hexdigest()

    def pairs(self) -> list[tuple[str, str, str]]:
        """Prompt, better image, worse image: each voter's good times bad of each set."""
        return [
            (good.prompt, good.image_id, bad.image_id)
            for good in self.votes
            for bad in self.votes
            if good.good and not bad.good
            if (good.set_id, good.voter) == (bad.set_id, bad.voter)
        ]


@contextmanager
def collecting(root: Path) -> Iterator[Collected]:
    """Make the dataset; the bot's side of it stays open, as while a bot runs."""
    folder = DataFolder(root)
    chance = random.Random(7)
    votes: list[Cast] = []
    pngs: dict[str, bytes] = {}

    def open_repository() -> OxenRepository:
        return OxenRepository.open(
            OxenSettings(
                path=folder.dataset,
                config_dir=folder.oxen_config,
                journal_id=journal_id,
                card=CardFacts(title="Foxes", licence="CC0-1.0"),
            )
        )

    journal_id = _journal_id(folder)
    sizes = ShardSizes(train_rows=64, shown_rows=64, images=64)
    with Desk.open(folder, open_repository, shard_sizes=sizes) as desk:
        first_commit = ""
        for number, prompt in enumerate(PROMPTS):
            if number == len(PROMPTS) // 2:
                desk.settle()
                first_commit = desk.writer().log(1)[0].id

            set_id = f"set-{number:03d}"
            model = OTHER_MODEL if number % 3 == 0 else PROVENANCE["model"]
            images = _four(set_id, chance)
            pngs |= {image.image_id: image.png for image in images}
            desk.spool.put({image.image_id: image.png for image in images})
            cast = [
                Cast(
                    set_id=set_id,
                    image_id=image.image_id,
                    prompt=prompt,
                    voter=voter,
                    good=one_sided or chance.random() < 0.5,
                    model=model,
                )
                for voter in chance.sample(VOTERS, 3)
                for one_sided in [chance.random() < 0.2]
                for image in images[: chance.randint(2, 4)]
            ]
            desk.note(partial(_post, prompt=prompt, images=images, model=model, votes=cast))
            votes += cast

        desk.settle()
        yield Collected(folder=folder, votes=votes, pngs=pngs, first_commit=first_commit)


def _post(
    journal: Journal, *, prompt: str, images: list[NewImage], model: str, votes: list[Cast]
) -> None:
    """Post a set and vote on it."""
    set_id = votes[0].set_id
    journal.add_request(a_set(set_id, prompt=prompt), now=NOON)
    journal.add_images(set_id, images, provenance={**PROVENANCE, "model": model}, now=NOON)
    journal.mark_posted(set_id, message_id=1, now=NOON)
    for number, vote in enumerate(votes):
        rating = Rating.GOOD if vote.good else Rating.BAD
        journal.vote(vote.image_id, vote.voter, rating, seconds=number / 7, now=NOON)


def _journal_id(folder: DataFolder) -> str:
    """The journal's own id, as the dataset's card has to name it."""
    from storage.journal.file import JournalFile

    folder.root.mkdir(parents=True, exist_ok=True)
    with JournalFile.open(folder.journal) as file:
        (found,) = file.connection.execute("SELECT journal_id FROM watermark").fetchone()

    return str(found)


def _four(set_id: str, chance: random.Random) -> list[NewImage]:
    return [
        NewImage(
            image_id=f"{set_id}-{slot}",
            slot=slot,
            seed=slot,
            sha256=hashlib.sha256(png).hexdigest(),
            png=png,
        )
        for slot in (1, 2, 3, 4)
        for png in [_png(chance)]
    ]


def _png(chance: random.Random) -> bytes:
    out = io.BytesIO()
    Image.frombytes("RGB", (16, 16), chance.randbytes(16 * 16 * 3)).save(out, "PNG")

    return out.getvalue()
