"""Members compare images of two models, and nobody knows which made which before the end."""

from itertools import combinations
from pathlib import Path

import discord

from bot.chat.custom_ids import RatedPairId
from generation.queue.status import WorkerState
from storage.acts import ActKind, Order
from storage.vote import Choice
from tests.support.discord.arena import MODELS, arena
from tests.support.discord.world import buttons, image_ids, seen, text_of

PROMPTS = ("a fox in snow", "an owl at dusk")


async def test_pairs_are_posted_one_after_the_other_and_the_result_at_the_end(
    tmp_path: Path,
) -> None:
    async with arena(tmp_path) as (w, a):
        told = await a.start(*PROMPTS, votes=2)
        first = await a.posted(1)
        read = [
            await a.prefer(w.alice, first, Choice.RIGHT),
            await a.prefer(w.alice, first, Choice.LEFT),
            await a.prefer(w.bob, first, Choice.LEFT),
        ]
        second = await a.posted(2)
        await w.committed()
        before = w.judgements()
        status = await a.order("status")
        await a.prefer(w.alice, second, Choice.TIE)
        await a.prefer(w.bob, second, Choice.LEFT)
        result = await a.result()
        await w.committed()
        after = w.judgements()

        assert told.startswith("The arena is open.")
        assert read[1] == "Recorded: **Left**. You can change it until the arena is over."
        assert {p for p in PROMPTS if p in text_of(first) + text_of(second)} == {*PROMPTS}
        assert status.startswith("Pairs made: 2 of 2. With all their votes, 2 each: 1.")
        assert [row["choice"] for row in before] == ["left", "left"]
        assert {row["model_left"] for row in before} == {"hidden"}
        assert [row["choice"] for row in after] == ["left", "left", "tie", "left"]
        assert all({row["model_left"], row["model_right"]} == {*MODELS[:2]} for row in after)
        assert {row["rule"] for row in after} == {"2 pairs with 2 votes each"}
        assert "4 votes of 2 members." in result
        assert "Ties: 1, which are 25 % of all votes." in result
        assert "The left image wins 100 %" in result


async def test_images_are_in_the_dataset_and_can_be_made_again(tmp_path: Path) -> None:
    async with arena(tmp_path) as (w, a):
        await a.start(PROMPTS[0], votes=1)
        post = await a.posted(1)
        shown = [await file.read() for file in post.attachments]
        await a.prefer(w.alice, post, Choice.LEFT)
        await a.result()
        await w.committed()
        [row] = w.judgements()
        made = {f"{image['image_id']}.png": image for image in w.generations()}

        assert [w.pictures()[row[side]] for side in ("left", "right")] == shown
        assert {Path(row[side]).name for side in ("left", "right")} == made.keys()
        assert len({image["seed"] for image in made.values()}) == 2
        assert {image["prompt"] for image in made.values()} == {PROMPTS[0]}


async def test_moderators_end_it_before_and_are_told_what_happened(tmp_path: Path) -> None:
    async with arena(tmp_path) as (w, a):
        await a.start(PROMPTS[0])
        twice = await a.start(PROMPTS[0])
        await a.prefer(w.alice, await a.posted(1), Choice.LEFT)
        await a.order("stop", reason="enough")
        result = await a.result()
        late = await a.prefer(w.bob, await a.posted(1), Choice.LEFT)
        acts = await w.parts.store.moderation.untold(limit=9)

        assert twice.startswith("This server has an open arena already.")
        assert "Moderators ended it before it was complete (pairs: 1, votes on each: 3)" in result
        assert late == (
            "This arena is over, so nothing was recorded. You have no vote on it that counts."
        )
        assert [(act.kind, act.moderator_id) for act in acts] == [
            (ActKind.ARENA, a.moderator.id),
            (ActKind.RESULT, a.moderator.id),
        ]
        assert acts[-1].reason == "enough"


async def test_without_a_file_the_prompts_are_those_of_the_channel(tmp_path: Path) -> None:
    async with arena(tmp_path) as (w, a):
        await a.start(pairs=2, votes=1)
        await w.imagine(w.alice, PROMPTS[0])
        post = await a.posted(1)
        await a.prefer(w.bob, post, Choice.LEFT)
        status = await a.order("status")

        assert PROMPTS[0] in text_of(post)
        assert status.startswith("Pairs made: 1 of 2.")


async def test_what_cannot_be_compared_is_refused_with_a_sentence(tmp_path: Path) -> None:
    async with arena(tmp_path) as (_w, a):
        same = await a.start(*PROMPTS, models=("heron", "heron"))
        long = await a.start("a fox", "x" * 5_000)
        empty = await a.start(" ")
        status = await a.order("status")

        assert same.startswith("An arena compares different models")
        assert long.startswith("Line 2 of the file, so nothing was started: ")
        assert empty.startswith("The file is not a list of prompts")
        assert status.startswith("This server has no open arena.")


async def test_under_rate_pairs_come_among_the_images(tmp_path: Path) -> None:
    async with arena(tmp_path, gold_share=0, repeat_share=0) as (w, a):
        await w.any_pace()
        await a.start(*PROMPTS, votes=2)
        await a.posted(1)
        await w.until(lambda: w.worker_state() is WorkerState.IDLE)
        await w.bob.slash(w.channel, "rate")
        panel = w.private(w.bob)[-1]
        sizes = [len(panel.attachments)]
        for action in ("right", "back", "left", "skip"):
            await w.bob.click(panel, custom_id=rated_ids(panel)[action])
            panel = w.private(w.bob)[-1]
            sizes.append(len(panel.attachments))

        await w.committed()

        assert sizes == [2, 2, 2, 2, 0]
        assert "No image of this server needs your vote now." in panel.content
        assert [(row["choice"], row["shown_in"]) for row in w.judgements()] == [("left", "rate")]
        assert float(w.judgements()[0]["seconds"]) >= 0


async def test_a_member_reports_a_pair_and_moderators_remove_it(tmp_path: Path) -> None:
    async with arena(tmp_path) as (w, a):
        channel = w.guild.create_text_channel("moderators")
        await a.moderator.slash(w.channel, "oxherd channel", channel=channel)
        await a.start(PROMPTS[0], votes=2)
        post = await a.posted(1)
        await a.prefer(w.alice, post, Choice.LEFT)

        await w.bob.context_menu(w.channel, "Report", post)
        report = channel.last_message
        assert report is not None
        await a.moderator.click(report, custom_id=buttons(report)[1])
        await w.committed()

        assert f"reports {post.jump_url} of an arena: {PROMPTS[0]}" in report.content
        assert text_of(w.channel.history()[-1]) == "Moderators have removed this pair."
        assert w.judgements() == []
        assert w.pictures() == {}


async def test_a_model_is_promoted_and_there_is_one_step_back(tmp_path: Path) -> None:
    async with arena(tmp_path) as (w, a):

        async def model(what: str, **options: str) -> str:
            result = await a.moderator.slash(w.channel, f"oxherd model {what}", **options)

            return text_of(seen(result).message)

        async def made_by() -> str:
            message = await w.imagine(w.alice, "a fox")
            stored = await w.parts.store.find_set(image_ids(message)[0])
            assert stored is not None

            return str(stored.request["model"])

        nothing = await model("back")
        promoted = await model("promote", name=MODELS[1])
        after = await made_by()
        asked = await w.imagine(w.alice, "a fox", model=MODELS[2])
        back = await model("back")
        again = await made_by()
        acts = await w.parts.store.moderation.untold(limit=9)

        assert nothing.startswith("There was no promotion to go back from")
        assert promoted.startswith(f"**{MODELS[1]}** makes the images of members here")
        assert back.startswith(f"**{MODELS[0]}** makes")
        assert (after, again) == (MODELS[1], MODELS[0])
        assert image_ids(asked)
        assert [act.kind for act in acts] == [ActKind.DEFAULT] * 2


async def test_who_has_to_agree_is_asked_first_and_the_vote_says_so(tmp_path: Path) -> None:
    async with arena(tmp_path) as (w, a):
        await a.start(PROMPTS[0], votes=2)
        post = await a.posted(1)
        await w.parts.store.moderation.set_consent_text(
            "Votes are published.", Order(guild_id=w.guild.id, moderator_id=None)
        )

        asked = await a.prefer(w.bob, post, Choice.LEFT)
        notice = w.private(w.bob)[-1]
        await w.bob.click(notice, custom_id=buttons(notice)[-1])
        await w.committed()

        assert "Votes are published." in asked
        assert [(row["choice"], row["consent"]) for row in w.judgements()] == [
            ("left", "version 1")
        ]


async def test_three_models_get_a_win_rate_each(tmp_path: Path) -> None:
    async with arena(tmp_path) as (w, a):
        await a.start(*PROMPTS, "a boat", models=MODELS, votes=1)
        for number in (1, 2, 3):
            await a.prefer(w.alice, await a.posted(number), Choice.LEFT)

        result = await a.result()
        await w.committed()

        met = {frozenset((row["model_left"], row["model_right"])) for row in w.judgements()}
        assert met == {frozenset(pair) for pair in combinations(MODELS, 2)}
        assert all(f"**{model}** wins " in result for model in MODELS)
        assert result.count("95 % interval: ") == 3


async def test_after_a_restart_it_goes_on_with_what_can_still_be_made(tmp_path: Path) -> None:
    async with arena(tmp_path, placeholder_step_seconds=10) as (w, a):
        await a.start(*PROMPTS, votes=1)
        w.settings = w.settings.model_copy(
            update={"placeholder_step_seconds": 0, "more_models": ()}
        )
        await w.restart()
        absent = await a.order("status")
        words = tmp_path / "words.txt"
        words.write_text("owl")
        w.settings = w.settings.model_copy(
            update={"more_models": ("/m/heron",), "blocked_words": words}
        )
        await w.restart()
        post = await a.posted(1)
        await a.prefer(w.alice, post, Choice.LEFT)
        result = await a.result()

        assert f"There is no model **{MODELS[1]}** now, so its images wait." in absent
        assert PROMPTS[0] in text_of(post)
        assert "1 pair was left out: an image could not be made or shown." in result


def rated_ids(panel: discord.Message) -> dict[str, str]:
    """The buttons under a pair that /rate shows, by what they do."""
    ids = [id for id in buttons(panel) if RatedPairId.PATTERN.fullmatch(id)]

    return {RatedPairId.parse(id).action: id for id in ids}
