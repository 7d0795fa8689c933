"""Many raters at once: `/rate` from a press to the next image.

    python -m benchmarks.rate --check
    python -m benchmarks.rate --images 100000 --presses 3000 --check
    python -m benchmarks.rate --control --check

The whole program runs against a stand-in for Discord on the loopback. Each rater looks at an image
for 1.5 s on average and presses, until every image has its votes, or for so many presses. Then the
journal and the dataset are held against what the raters were told. With --check, exit status 1 if a
figure misses its bar. --control does not count the images that are being shown: its check must
fail. Prints JSON.
"""

import argparse
import asyncio
import hashlib
import itertools
import json
import random
import sqlite3
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import shortuuid

from benchmarks.support.facts import processor_s, run, spread_ms
from benchmarks.support.noise import noise_png
from benchmarks.support.stock import PROVENANCE, SLOTS
from bot.chat.custom_ids import ShownId
from generation.request import ImageRequest
from storage.clock import timestamp
from storage.folder import DataFolder
from storage.journal.file import JournalFile
from storage.journal.queries import SHARD_SIZES
from storage.vote import Rating, SetState, ShownIn, ShownKind
from tests.support.discord.payloads import GUILD_ID
from tests.support.discord.stub import DiscordStub
from tests.support.discord.whole_program import QUICK, WholeProgram
from tests.support.storage import kept_dataset

FIRST_RATER = 5_000_000_000_000_000_000
VOTES_EACH = 3
VOTES_OF_DECIDED = 10
PATIENCE_S = 60

# What a rater presses, and how often.
HABITS = {"good": 0.6, "bad": 0.35, "skip": 0.05}


@dataclass(slots=True, eq=False)
class Tally:
    """What the raters pressed, and how long they waited for the next image."""

    wanted: frozenset[str]
    presses: int
    seconds: list[float] = field(default_factory=list)
    votes: dict[tuple[str, int], str] = field(default_factory=dict)
    given: Counter[str] = field(default_factory=Counter)
    complete: int = 0
    failed: int = 0
    refused: list[str] = field(default_factory=list)

    def is_over(self) -> bool:
        """Whether every image has its votes, or enough was pressed."""
        return self.complete == len(self.wanted) or len(self.seconds) >= self.presses > 0

    def note(self, image_id: str, rater: int, action: str) -> None:
        """A repeat changes nothing: what counts is the first vote."""
        if action == "skip" or (image_id, rater) in self.votes:
            return

        self.votes[image_id, rater] = action
        if image_id in self.wanted:
            self.given[image_id] += 1
            self.complete += self.given[image_id] == VOTES_EACH


async def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Fill a journal, let the raters at it, and look at what is left."""
    data = DataFolder(folder / "data")
    gold = await asyncio.to_thread(_fill, data, options)
    wanted = frozenset(_image_id(number) for number in range(options.images)) - gold
    tally = Tally(wanted=wanted, presses=options.presses)
    settings = QUICK | {"OXHERD_GUILDS": str(GUILD_ID)}
    async with (
        DiscordStub.open() as stub,
        WholeProgram.running(stub, data.root, settings=settings) as program,
    ):
        bot = psutil.Process(program.process.pid)
        used_before_s = processor_s(bot)
        began = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as raters:
            for number in range(options.raters):
                chance = random.Random(f"{options.seed} {number}")
                rater = FIRST_RATER + number
                raters.create_task(_rate(stub, rater, tally, chance, look_s=options.look_s))

        took_s = asyncio.get_running_loop().time() - began
        used_s = processor_s(bot) - used_before_s
        await program.settled(within_s=600)
        await program.stop()

    kept = kept_dataset.read(data.dataset)
    found = await asyncio.to_thread(_look, data, gold)
    figures = {
        "presses": len(tally.seconds),
        "presses_per_s": round(len(tally.seconds) / took_s, 1),
        "press_to_next_image_ms": spread_ms(tally.seconds),
        "processor_ms_a_press": round(1000 * used_s / max(1, len(tally.seconds)), 2),
        "failed": tally.failed,
        "refused": sorted(set(tally.refused)),
        "images_with_enough_votes": tally.complete,
        **found,
        "lost": sum(kept.ratings.get(key) != rating for key, rating in tally.votes.items()),
    }

    return {**figures, "missed": _missed(figures, whole=not options.presses, wanted=len(wanted))}


async def _rate(
    stub: DiscordStub, rater: int, tally: Tally, chance: random.Random, *, look_s: float
) -> None:
    """One member, from /rate on."""
    async with asyncio.timeout(PATIENCE_S):
        message = await (await stub.command(rater, "rate")).answered

    if not message.attachments:
        tally.refused.append(message.content)

    while message.attachments and not tally.is_over():
        image_id = message.attachments[0]["filename"].removesuffix(".png")
        buttons = {ShownId.parse(id).action: id for id in message.buttons}
        await asyncio.sleep(chance.uniform(0.5, 1.5) * look_s)
        (action,) = chance.choices(list(HABITS), list(HABITS.values()))
        press = await stub.press(rater, message, buttons[action])
        try:
            async with asyncio.timeout(PATIENCE_S):
                message = await press.answered
        except TimeoutError:
            tally.failed += 1
            return

        tally.seconds.append(press.seconds)
        tally.note(image_id, rater, action)


def _look(data: DataFolder, gold: frozenset[str]) -> dict[str, Any]:
    """What the journal says of what was shown, and when which vote came."""
    with closing(sqlite3.connect(data.journal)) as journal:
        shown = journal.execute("SELECT image_id, rater_id, kind, answer FROM exposures").fetchall()
        votes = journal.execute(
            "SELECT image_id FROM votes WHERE counted IS NOT NULL AND shown_in = 'rate'"
            " ORDER BY train_row"
        ).fetchall()
        (estimated,) = journal.execute(
            "SELECT count(*) FROM images WHERE certain IS NOT NULL"
        ).fetchone()

    kinds = Counter(kind for _, _, kind, _ in shown)
    once = Counter(
        (image_id, rater) for image_id, rater, kind, _ in shown if kind != ShownKind.REPEAT
    )
    firsts = {(image, rater): answer for image, rater, kind, answer in shown if kind == "normal"}
    again = [
        (firsts[image, rater], answer)
        for image, rater, kind, answer in shown
        if kind == ShownKind.REPEAT and answer in list(Rating)
    ]

    return {
        "shown": len(shown),
        "images_with_an_estimate": estimated,
        "gold_share": round(kinds[ShownKind.GOLD] / len(shown), 4),
        "repeat_share": round(kinds[ShownKind.REPEAT] / len(shown), 4),
        "self_agreement": round(sum(a == b for a, b in again) / max(1, len(again)), 2),
        "shown_twice_to_one_rater": sum(number > 1 for number in once.values()),
        "most_votes_while_another_lacks_one": _most_while_lacking(
            [image_id for (image_id,) in votes if image_id not in gold]
        ),
    }


def _most_while_lacking(votes: Sequence[str]) -> int:
    """The most votes that an image had when the last image got its third."""
    given: defaultdict[str, int] = defaultdict(int)
    most = most_then = 0
    for image_id in votes:
        given[image_id] += 1
        most = max(most, given[image_id])
        if given[image_id] == VOTES_EACH:
            most_then = most

    return most_then or most


def _missed(figures: Mapping[str, Any], *, whole: bool, wanted: int) -> list[str]:
    """The figures that miss their bars."""
    is_met = {
        "press_to_next_image_ms": figures["press_to_next_image_ms"].get("p99", 1e9) <= 300,
        "failed": figures["failed"] == 0,
        "refused": not figures["refused"],
        "images_with_enough_votes": not whole or figures["images_with_enough_votes"] == wanted,
        "gold_share": abs(figures["gold_share"] - 0.1) <= 0.02,
        "shown_twice_to_one_rater": figures["shown_twice_to_one_rater"] == 0,
        "most_votes_while_another_lacks_one": figures["most_votes_while_another_lacks_one"]
        <= VOTES_EACH + 1,
        "lost": figures["lost"] == 0,
    }

    return [name for name, met in is_met.items() if not met]


def _image_id(number: int) -> str:
    """As those that the bot makes."""
    image_id: str = shortuuid.encode(uuid.UUID(int=number + 1))

    return image_id


def _png(png: bytes, number: int) -> bytes:
    """Bytes of its own for each image: readers ignore what follows a PNG's end."""
    return png + number.to_bytes(4)


def _fill(data: DataFolder, options: argparse.Namespace) -> frozenset[str]:
    """Posted images without votes, and others that have enough; the ids of those that are gold."""
    png = noise_png(kilobytes=options.kilobytes, randomness=random.Random(options.seed))
    data.spool.mkdir(parents=True)
    for number in range(options.images):
        (data.spool / f"{_image_id(number)}.png").write_bytes(_png(png, number))

    everything = options.images + options.decided
    with JournalFile.open(data.journal) as file, file.transaction():
        connection = file.connection
        connection.executemany(
            "INSERT INTO sets (set_id, state, requester_id, guild_id, channel_id, message_id,"
            " interaction_id, request, provenance, created_at, posted_at)"
            " VALUES (?, ?, 1, ?, 1, 1, 1, ?, ?, ?, ?)",
            _sets(-(-everything // SLOTS)),
        )
        connection.executemany(
            "INSERT INTO images (image_id, set_id, slot, seed, sha256, made_at, image_shard,"
            " shown_row, shown_shard, seq, guild) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            _images(everything, png),
        )
        connection.executemany(
            "INSERT INTO votes (image_id, voter_id, rating, voted_at, train_row, train_shard, seq,"
            " shown_in) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            _votes_on_decided(options),
        )
        gold = range(0, options.images, options.one_gold_in)
        connection.executemany(
            "UPDATE images SET gold = ? WHERE image_id = ?",
            [(Rating.GOOD, _image_id(number)) for number in gold],
        )
        # Nobody looks at the images, so any pace is fast enough.
        connection.execute(
            "INSERT INTO rules VALUES (?, ?)",
            (GUILD_ID, json.dumps({"rate_seconds": 0})),
        )
        given = options.decided * VOTES_OF_DECIDED
        for name, value in {"seq": everything + given, "train_row": given}.items():
            connection.execute("UPDATE counters SET value = ? WHERE name = ?", (value, name))

        connection.execute("UPDATE watermark SET committed_seq = ?", (everything + given,))
        if options.control:
            connection.execute("DROP TRIGGER offered_added")
            connection.execute("DROP TRIGGER offered_lost")

    return frozenset(_image_id(number) for number in gold)


def _sets(number: int) -> Iterator[tuple[object, ...]]:
    request = json.dumps(
        ImageRequest(prompt="a fox in the snow", seeds=(1, 2, 3, 4), model="model").to_json()
    )
    at = timestamp(datetime.now(UTC))
    for n in range(number):
        yield f"set-{n}", SetState.POSTED, GUILD_ID, request, json.dumps(PROVENANCE), at, at


def _images(number: int, png: bytes) -> Iterator[tuple[object, ...]]:
    at = timestamp(datetime.now(UTC))
    for n in range(number):
        sha256 = hashlib.sha256(_png(png, n)).hexdigest()
        yield (
            *(_image_id(n), f"set-{n // SLOTS}", n % SLOTS + 1, n, sha256, at),
            *(n // SHARD_SIZES.images, n, n // SHARD_SIZES.shown_rows, n + 1, GUILD_ID),
        )


def _votes_on_decided(options: argparse.Namespace) -> Iterator[tuple[object, ...]]:
    at = timestamp(datetime.now(UTC))
    first_seq = options.images + options.decided + 1
    decided = range(options.images, options.images + options.decided)
    pairs = itertools.product(decided, range(1, VOTES_OF_DECIDED + 1))
    for row, (n, voter) in enumerate(pairs):
        yield (
            *(_image_id(n), voter, Rating.GOOD, at, row, row // SHARD_SIZES.train_rows),
            *(first_seq + row, ShownIn.POST),
        )


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.rate")
    parser.add_argument("--images", type=int, default=1_000)
    parser.add_argument("--raters", type=int, default=40)
    parser.add_argument("--presses", type=int, default=0, help="0: until each image has its votes")
    parser.add_argument("--decided", type=int, default=0, help="more images, with ten votes each")
    parser.add_argument("--one-gold-in", type=int, default=20)
    parser.add_argument("--kilobytes", type=int, default=300, help="size of an image")
    parser.add_argument("--look-s", type=float, default=1.5, help="0: as fast as it goes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--control", action="store_true", help="must fail the check")
    parser.add_argument("--check", action="store_true", help="exit status 1 if a bar is missed")

    return parser.parse_args(arguments)


def main() -> None:
    """Measure and print."""
    run("rate", parsed(), measure)


if __name__ == "__main__":
    main()
