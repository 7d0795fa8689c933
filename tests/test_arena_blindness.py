"""Until an arena is over, nothing that a member's client gets says which model made which image."""

import json
import sqlite3
from pathlib import Path
from typing import Any

from bot.chat.custom_ids import SetId, VoteId
from storage.vote import Choice, Rating
from tests.support.discord.arena import MODELS, arena
from tests.support.discord.world import World, buttons, seen, text_of

PROMPTS = ("a fox in snow", "an owl at dusk", "a boat in a storm")


def secrets(data: Path) -> dict[str, str]:
    """What tells the sides of the journal's pairs apart, and what each would give away."""
    with sqlite3.connect(f"file:{data / 'journal.sqlite3'}?mode=ro", uri=True) as journal:
        journal.row_factory = sqlite3.Row
        pairs = journal.execute("SELECT * FROM arena_pairs").fetchall()
        sides = {
            row["set_id"]: json.loads(row["request"])
            for row in journal.execute("SELECT set_id, request FROM sets WHERE state = 'arena'")
        }
        (plan,) = journal.execute("SELECT plan FROM arenas").fetchone()

    found = dict.fromkeys(MODELS, "a model's name")
    found |= {str(json.loads(plan)["seed"]): "the seed of the order"}
    for pair in pairs:
        for side in ("left_set", "right_set"):
            found[pair[side]] = "the id of a side"
            found[str(sides[pair[side]]["seeds"][0])] = "the seed of an image"

    return found


async def seen_since(w: World, requests: int) -> str:
    """All that the bot sent after so many requests, and everything that members' clients show, as
    text: files as their names and their bytes."""
    parts: list[Any] = [
        (request.method, request.path, request.json) for request in w.env.http_requests[requests:]
    ]
    for member in (w.alice, w.bob):
        for message in w.channel.history(viewer=member):
            parts += [text_of(message), buttons(message)]
            for file in message.attachments:
                parts += [file.filename, file.description, (await file.read()).decode("latin-1")]

    return repr(parts)


async def test_neither_bodies_nor_files_nor_ids_nor_names_tell(tmp_path: Path) -> None:
    async with arena(tmp_path, gold_share=0, repeat_share=0) as (w, a):
        await w.any_pace()
        registered = len(w.env.http_requests)  # commands have the models' names as choices
        await a.start(*PROMPTS, votes=2)
        post = await a.posted(1)
        await a.prefer(w.alice, post, Choice.LEFT)
        images = [file.filename.removesuffix(".png") for file in post.attachments]

        # What members may try with what they see, as commands and as forged presses.
        await w.bob.slash(w.channel, "rate")
        panel = w.private(w.bob)[-1]
        await w.bob.click(panel, custom_id=buttons(panel)[0])
        for image in images:
            shown = await w.alice.slash(w.channel, "show", id=image)
            assert "no images with this ID" in text_of(seen(shown).message)
            await w.press(w.alice, post, str(VoteId(image, Rating.GOOD)))

        for secret in [id for id, what in secrets(tmp_path).items() if what == "the id of a side"]:
            for action in ("details", "again", "edit", "vary", "cancel"):
                await w.press(w.alice, post, str(SetId(action, secret)))

        for command in ("me", "top", "leaderboard"):
            await w.alice.slash(w.channel, command)

        await a.order("status")
        await w.moderator().slash(w.channel, "oxherd queue show")
        await w.moderator().slash(w.channel, "oxherd stats")
        await w.committed()
        places = {
            "messages": await seen_since(w, registered),
            "/privacy": json.dumps([await w.parts.store.data_of(m.id) for m in (w.alice, w.bob)]),
            "the dataset": repr(w.judgements() + w.generations()),
            "its history": repr([commit.message for commit in await w.parts.store.log(99)]),
        }

        assert len(w.judgements()) == 2
        for secret, what in secrets(tmp_path).items():
            for place, text in places.items():
                assert secret not in text, f"{what} is in {place}"


async def test_a_prompt_of_a_member_gives_nothing_away_either(tmp_path: Path) -> None:
    async with arena(tmp_path) as (w, a):
        await a.start(votes=1)
        await w.imagine(w.alice, PROMPTS[0], model=MODELS[2])
        await a.posted(1)

        kept = json.dumps(await w.parts.store.data_of(w.alice.id))

        assert '"arena_prompts": ["a fox in snow"]' in kept
        for secret in secrets(tmp_path).keys() - {MODELS[2]}:
            assert secret not in kept


async def test_models_are_left_and_right_by_chance_and_have_seeds_of_their_own(
    tmp_path: Path,
) -> None:
    async with arena(tmp_path) as (_w, a):
        await a.start(*(f"a fox number {number}" for number in range(40)))
        with sqlite3.connect(tmp_path / "journal.sqlite3") as journal:
            lefts = [model for (model,) in journal.execute("SELECT left_model FROM arena_pairs")]
            seeds = journal.execute(
                "SELECT request ->> '$.seeds[0]' FROM sets WHERE state = 'arena'"
            ).fetchall()

        assert 8 <= lefts.count(MODELS[0]) <= 32  # fails once in 10,000 times
        assert len(set(seeds)) == 80
