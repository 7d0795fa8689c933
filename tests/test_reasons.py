"""Moderators choose the reasons that members of their server pick from."""

from pathlib import Path

import pytest

from bot.chat.custom_ids import ReasonsId
from bot.chat.moderation.reasons import UnusableReason, read
from storage.acts import ActKind
from storage.vote import REASONS, Rating
from tests.support.discord.world import (
    chosen_in,
    image_ids,
    offered_on,
    seen,
    text_of,
    world,
)

GOOD, BAD = Rating.GOOD, Rating.BAD


async def test_members_pick_from_the_reasons_of_their_server(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        mod = w.moderator()
        message = await w.imagine(w.alice, "a fox")
        form = await mod.slash(w.channel, "oxherd reasons")
        said = await mod.submit_modal(
            form,
            {"good": "", "bad": "wrong colours\n  too *dark* \n\nWrong colours\n", "why": "ours"},
        )
        await w.restart()

        ballot = await w.vote(w.bob, message, 1, BAD)
        why = str(ReasonsId(image_ids(message)[0], BAD))
        assert list(offered_on(ballot)) == ["wrong colours", "too *dark*"]
        await w.bob.select(ballot, ["too *dark*"], custom_id=why)
        good = await w.vote(w.bob, message, 2, GOOD)
        await w.committed()

        assert offered_on(good) == {}
        assert {row["slot"]: row["reasons"] for row in w.rows()} == {
            "1": "too *dark*",
            "2": "not given",
        }
        assert r"👎 wrong colours · too \*dark\*" in text_of(seen(said).message)
        assert "👍 nobody is asked why" in text_of(seen(said).message)
        [act] = await w.parts.store.moderation.untold(limit=10)
        assert (act.kind, act.moderator_id, act.reason) == (ActKind.REASONS, mod.id, "ours")


async def test_a_reason_that_is_offered_no_more_stays_and_may_be_taken_back(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        mod = w.moderator()
        message = await w.imagine(w.alice, "a fox")
        why = str(ReasonsId(image_ids(message)[0], BAD))
        old = await w.vote(w.bob, message, 1, BAD)
        await w.bob.select(old, ["ugly"], custom_id=why)
        form = await mod.slash(w.channel, "oxherd reasons")
        await mod.submit_modal(form, {"good": "\n".join(REASONS[GOOD]), "bad": "too dark"})

        ballot = await w.vote(w.bob, message, 1, BAD)
        await w.committed()
        assert offered_on(ballot) == {"too dark": False, "ugly": True}
        assert [row["reasons"] for row in w.rows()] == ["ugly"]

        await w.bob.select(ballot, ["too dark", "ugly"], custom_id=why)
        await w.committed()
        assert [row["reasons"] for row in w.rows()] == ["too dark;ugly"]

        await w.bob.select(ballot, ["too dark"], custom_id=why)
        stored = w.parts.store
        await stored.explain(image_ids(message)[0], w.bob.id, BAD, ["too dark", "a forged one"])
        await w.committed()
        assert [row["reasons"] for row in w.rows()] == ["too dark"]
        assert list(offered_on(w.private(w.bob)[-1])) == ["too dark"]


async def test_a_form_that_cannot_be_used_is_given_back(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        mod = w.moderator()
        form = await mod.slash(w.channel, "oxherd reasons")
        answer = seen(await mod.submit_modal(form, {"good": "one; two", "bad": "three"})).message
        [file] = answer.attachments
        form = await mod.slash(w.channel, "oxherd reasons")

        assert "Nothing changed" in answer.content
        assert await file.read() == b"one; two\n\nthree"
        assert chosen_in(form)["good"] == "\n".join(REASONS[GOOD])


@pytest.mark.parametrize(
    "text",
    ["a;b", "not given", "x" * 101, "\n".join(map(str, range(26)))],
    ids=["separator", "none", "long", "many"],
)
def test_what_discord_or_the_dataset_cannot_hold_is_refused(text: str) -> None:
    with pytest.raises(UnusableReason):
        read(text)
