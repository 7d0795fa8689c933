"""Where a server has a text, nothing of a person is recorded before they agree to it."""

from pathlib import Path
from typing import Any

from bot.chat.custom_ids import ReasonsId
from bot.chat.privacy import sentences
from bot.cli import control
from bot.cli.control_server import served
from storage.acts import Order
from storage.dataset.card import CardFacts, render
from storage.people import ConsentVersion
from storage.vote import Rating
from tests.support.discord.world import World, buttons, image_ids, seen, set_button, text_of, world

TEXT = "Votes are published under CC0."


async def set_text(w: World, text: str = TEXT) -> None:
    order = Order(guild_id=w.guild.id, moderator_id=None)
    await w.parts.store.moderation.set_consent_text(text, order)


async def agree(member: Any, panel: Any) -> Any:
    """Press the only button under the text."""
    [custom_id] = buttons(panel)

    return await member.click(panel, custom_id=custom_id)


async def kept_of(w: World, member: Any) -> list[Any]:
    data = await w.parts.store.data_of(member.id)

    return [data["requests"], data["votes"], data["consents"]]


async def test_a_first_vote_shows_the_text_and_goes_on_by_itself(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        message = await w.imagine(w.alice, "a fox")
        await set_text(w)

        panel = await w.vote(w.bob, message, 2, Rating.GOOD)
        assert panel.flags.ephemeral
        assert TEXT in text_of(panel)
        assert await kept_of(w, w.bob) == [[], [], []]

        await agree(w.bob, panel)
        await w.committed()
        assert text_of(w.private(w.bob)[0]) == sentences.thank_you()
        [row] = w.rows()
        assert (row["voter_id"], row["rating"], row["consent"]) == (
            str(w.bob.id),
            "good",
            "version 1",
        )

        answer = await w.vote(w.bob, message, 1, Rating.BAD)
        assert TEXT not in text_of(answer)
        await w.committed()
        assert len(w.rows()) == 2


async def test_reasons_are_not_recorded_before_either(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        message = await w.imagine(w.alice, "a fox")
        ballot = await w.vote(w.bob, message, 1, Rating.GOOD)
        why = str(ReasonsId(image_ids(message)[0], Rating.GOOD))
        await set_text(w)

        await w.bob.select(ballot, ["beautiful"], custom_id=why)
        await w.committed()
        [row] = w.rows()
        assert row["reasons"] == "not given"

        assert TEXT in text_of(w.private(w.bob)[-1])
        await agree(w.bob, w.private(w.bob)[-1])
        assert w.private(w.bob)[-1].content == sentences.pick_again()
        await w.bob.select(ballot, ["beautiful"], custom_id=why)
        await w.committed()
        [row] = w.rows()
        assert row["reasons"] == "beautiful"


async def test_a_changed_text_asks_again_and_none_asks_nobody(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        message = await w.imagine(w.alice, "a fox")
        await set_text(w)
        await agree(w.bob, await w.vote(w.bob, message, 1, Rating.GOOD))

        await set_text(w, "Votes are sold.")
        panel = await w.vote(w.bob, message, 2, Rating.GOOD)
        assert "Votes are sold." in text_of(panel)
        await agree(w.bob, panel)

        await set_text(w, "")
        await w.vote(w.alice, message, 1, Rating.GOOD)
        await w.committed()

        consents = {(row["voter_id"], row["slot"]): row["consent"] for row in w.rows()}
        assert consents == {
            (str(w.bob.id), "1"): "version 1",
            (str(w.bob.id), "2"): "version 2",
            (str(w.alice.id), "1"): "not asked",
        }


async def test_a_first_request_is_made_once_its_member_agreed(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await set_text(w)

        panel = seen(await w.ask(w.alice, "a fox", seed=7)).message
        assert panel.flags.ephemeral
        assert await kept_of(w, w.alice) == [[], [], []]
        assert w.channel.last_message is None

        await agree(w.alice, panel)
        await w.posted()
        message = w.last_message()
        assert "a fox" in text_of(message)

        panel = seen(await w.bob.click(message, custom_id=set_button(message, "again"))).message
        assert TEXT in text_of(panel)
        await agree(w.bob, panel)
        await w.posted()
        assert w.last_message().id != message.id


async def test_after_a_restart_a_press_goes_on_and_a_request_is_asked_for_again(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        message = await w.imagine(w.alice, "a fox")
        await set_text(w)
        vote = await w.vote(w.bob, message, 1, Rating.GOOD)
        request = seen(await w.ask(w.bob, "an owl")).message

        await w.restart()
        answer = seen(await agree(w.bob, request))
        assert "ask again" in answer.content
        await agree(w.bob, vote)
        await w.committed()

        assert len(w.rows()) == 1


async def test_the_operator_sets_the_text(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        async with served(w.settings, w.parts.store, w.parts.executor, w.client):
            assert await control.set_consent_text(tmp_path, w.guild.id, TEXT) == 1
            assert await control.set_consent_text(tmp_path, w.guild.id, "Other words.") == 2

        panel = seen(await w.ask(w.alice, "a fox")).message
        assert "Other words." in text_of(panel)


def test_the_card_names_the_texts() -> None:
    texts = [
        ConsentVersion(server="abcdefghijkm", version=number, since="2026-05-04T12:00:00.000000Z")
        for number in (1, 2)
    ]

    card = render(CardFacts(), journal_id="abcd", consents=texts)

    assert "version 1 of server `abcdefghijkm`, set on 2026-05-04; version 2 of" in card
    assert "had to agree to: none" in render(CardFacts(), journal_id="abcd")
