"""Moderators mark gold: images with a known right answer."""

from pathlib import Path
from typing import Any

from storage.acts import ActKind
from storage.vote import Rating
from tests.support.discord.world import World, buttons, image_ids, seen, text_of, world


async def gold(w: World, moderator: Any, what: str, **options: str) -> str:
    """`/oxherd gold …`; what the moderator reads."""
    result = await moderator.slash(w.channel, f"oxherd gold {what}", **options)
    assert seen(result).ephemeral

    return text_of(seen(result).message)


async def test_an_image_is_marked_and_unmarked_and_every_vote_on_it_says_so(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        message = await w.imagine(w.alice, "a fox")
        first, second, *_ = image_ids(message)
        await w.vote(w.bob, message, 1, Rating.GOOD)
        await w.vote(w.bob, message, 2, Rating.BAD)
        mod = w.moderator()

        marked = await gold(w, mod, "mark", id=first, answer="bad", reason="six legs")
        await w.committed()
        as_gold = {row["image_id"]: row["gold"] for row in w.rows()}
        listed = await gold(w, mod, "list")
        unmarked = await gold(w, mod, "unmark", id=first)
        await w.committed()

        assert marked.startswith(f"Image `{first}` is gold: 👎 is right.")
        assert as_gold == {first: "bad", second: "no"}
        assert listed == f"`{first}` 👎: 0 of 1 votes are right"
        assert unmarked == f"Image `{first}` is gold no more. Its votes stay."
        assert [row["gold"] for row in w.rows()] == ["no", "no"]
        acts = await w.parts.store.moderation.untold(limit=9)
        assert [(act.kind, act.images) for act in acts] == [
            (ActKind.GOLD, 1),
            (ActKind.UNGOLD, 1),
        ]


async def test_gold_looks_like_any_other_image_and_is_shown_once(tmp_path: Path) -> None:
    async with world(tmp_path, gold_share=0.5, repeat_share=0, raters=1) as w:
        message = await w.imagine(w.alice, "a fox")
        first, *_ = image_ids(message)
        await gold(w, w.moderator(), "mark", id=first, answer="good")

        result = await w.bob.slash(w.channel, "rate")
        seen_by_bob: list[str] = []
        custom_ids: list[list[str]] = []
        while seen(result).message.attachments:
            panel = w.private(w.bob)[-1]
            seen_by_bob.append(panel.attachments[0].filename)
            custom_ids.append(buttons(panel))
            await w.bob.click(panel, custom_id=custom_ids[-1][0])

        assert len(seen_by_bob) == len(set(seen_by_bob))
        assert set(seen_by_bob) >= {f"{image}.png" for image in image_ids(message)[1:]}
        shapes = {tuple(id.rpartition(":")[2] for id in ids) for ids in custom_ids}
        assert shapes == {("good", "bad", "skip", "report")}


async def test_what_is_no_image_here_is_not_marked(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        mod = w.moderator()

        refused = await gold(w, mod, "mark", id="A" * 22, answer="good")
        listed = await gold(w, mod, "list")

        assert refused.startswith("There is no such image here that can be shown")
        assert listed.startswith("No image of this server is gold.")


async def test_a_repeat_stands_beside_the_vote_in_the_dataset(tmp_path: Path) -> None:
    async with world(tmp_path, gold_share=0, repeat_share=0.5, raters=1) as w:
        await w.any_pace()
        for _ in range(7):
            await w.imagine(w.alice, "a fox")

        await w.bob.slash(w.channel, "rate")
        shown = []
        while (panel := w.private(w.bob)[-1]).attachments:
            shown.append(panel.attachments[0].filename)
            good, bad, *_ = buttons(panel)
            again = shown.count(shown[-1]) > 1
            await w.bob.click(panel, custom_id=bad if again else good)

        await w.committed()

        repeated = {name.removesuffix(".png") for name in shown if shown.count(name) > 1}
        rows = {row["image_id"]: row for row in w.rows()}
        assert len(rows) == 28
        assert {row["rating"] for row in rows.values()} == {"good"}
        for image_id, row in rows.items():
            found = (row["repeat"], row["exposures"])
            assert found == (("bad", "2") if image_id in repeated else ("not repeated", "1"))
