"""What /privacy tells and does, as the member sees it."""

import json
from pathlib import Path
from typing import Any

from bot.chat.custom_ids import PrivacyId
from storage.vote import Rating
from tests.support.discord.world import World, seen, world


async def privacy(w: World, member: Any) -> Any:
    """/privacy, and the private answer."""
    return seen(await member.slash(w.channel, "privacy"))


async def press(w: World, member: Any, message: Any, action: str) -> Any:
    return await member.click(message, custom_id=str(PrivacyId(action)))


async def test_a_member_reads_what_is_kept_and_gets_it_as_a_file(tmp_path: Path) -> None:
    async with world(tmp_path, keep_unvoted_days=12) as w:
        message = await w.imagine(w.alice, "a fox")
        await w.vote(w.bob, message, 2, Rating.GOOD)

        told = await privacy(w, w.bob)
        assert told.ephemeral
        assert "12 days" in told.content
        assert "your Discord id" in told.content

        answer = await press(w, w.bob, told, "data")
        [file] = seen(answer).attachments
        data = json.loads(await file.read())
        assert (data["user_id"], len(data["votes"]), data["requests"]) == (w.bob.id, 1, [])


async def test_the_file_says_what_moderators_did_about_a_member(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        message = await w.imagine(w.alice, "a fox")
        await w.vote(w.bob, message, 2, Rating.GOOD)
        mod = w.moderator()
        await mod.slash(w.channel, "oxherd ban", member=w.bob, reason="too many votes")

        theirs = await w.parts.store.data_of(w.bob.id)
        moderators = await w.parts.store.data_of(mod.id)

        assert [vote["set_aside"] for vote in theirs["votes"]] == ["banned"]
        [act] = theirs["acts"]
        assert (act["kind"], act["reason"], act["by_you"]) == ("ban", "too many votes", 0)
        assert str(mod.id) not in json.dumps(theirs)
        assert [act["by_you"] for act in moderators["acts"]] == [1]


async def test_a_member_is_forgotten_only_after_having_said_what(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        message = await w.imagine(w.alice, "a fox")
        for member in (w.alice, w.bob):
            await w.vote(member, message, 1, Rating.GOOD)

        told = await privacy(w, w.alice)
        await press(w, w.alice, told, "forget")
        await w.committed()
        assert len(w.rows()) == 2

        answer = await press(w, w.alice, told, "votes")
        await w.committed()
        assert seen(answer).content.startswith("Forgotten: 1 vote.")
        assert [row["voter_id"] for row in w.rows()] == [str(w.bob.id)]


async def test_everything_takes_the_requests_and_their_images_too(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        message = await w.imagine(w.alice, "a fox")
        await w.vote(w.bob, message, 1, Rating.GOOD)

        told = await privacy(w, w.alice)
        await press(w, w.alice, told, "forget")
        answer = await press(w, w.alice, told, "everything")
        await w.committed()

        assert seen(answer).content.startswith("Forgotten: 1 vote and 1 request with 4 images.")
        assert (w.rows(), w.generations(), w.pictures()) == ([], [], {})
        pressed = await w.vote(w.bob, message, 1, Rating.BAD)
        assert "removed" in pressed.content


async def test_with_pseudonyms_it_says_so(tmp_path: Path) -> None:
    async with world(tmp_path, voter_ids="pseudonym") as w:
        told = await privacy(w, w.alice)

    assert "a random number in your place" in told.content
