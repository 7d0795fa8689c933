"""What the image classifier withholds is seen by nobody, and its requester is told alone.

The pictures are the placeholder's, and the classifier is open_nsfw with its real weights; the
threshold stands between the scores of the second and the third of them.
"""

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import discord
import pytest

from bot.chat import messages, texts
from bot.cli.replay import replay
from bot.configuration import model_specs
from generation.errors import NotChecked
from generation.placeholder import PlaceholderBackend
from generation.queue.executor import Executor
from generation.safety.open_nsfw import OpenNsfw
from generation.safety.screen import PACKAGED, SafetySpec
from generation.worker.specs import DiffusersSpec, PlaceholderSpec
from storage.vote import Rating, VoteKind
from tests.support.discord.world import (
    Real,
    World,
    buttons,
    image_ids,
    quick_settings,
    seen,
    set_button,
    text_of,
    vote_ids,
    world,
)
from tests.support.generation.requests import MODEL, Onlooker, a_request
from tests.support.generation.scripted_backend import scripted
from tests.support.generation.tiny_model import SIDE_PX, save_tiny_model

PROMPT, SEED = "a fox in the snow", 7
LOOKS_AT_NONE = 1.0
WITHHOLDS_ALL = 1e-9


@pytest.fixture(scope="module")
def scores() -> list[float]:
    """What the classifier makes of the four pictures of the prompt, in slot order."""
    request = a_request(PROMPT, seeds=tuple(range(SEED, SEED + 4)), side_px=64)
    made = PlaceholderBackend(PlaceholderSpec(seconds_per_step=0), device="cpu").generate(
        request, Onlooker()
    )
    classifier = OpenNsfw(SafetySpec(model=PACKAGED), device="cpu")
    classifier.load()

    return list(classifier.scores([image.png for image in made.images]))


@pytest.fixture(scope="module")
def threshold(scores: list[float]) -> float:
    _, second, third, _ = sorted(scores)

    return (second + third) / 2


@pytest.fixture(scope="module")
def withheld_slots(scores: list[float], threshold: float) -> list[int]:
    return [slot for slot, score in enumerate(scores, start=1) if score >= threshold]


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a safety checker of its own, whom no picture pleases."""
    return save_tiny_model(tmp_path_factory.mktemp("strict"), flags_everything=True)


def guarded(threshold: float) -> dict[str, Any]:
    return {"safety_model": PACKAGED, "safety_threshold": threshold}


def pictures_below(folder: Path) -> set[str]:
    """The ids of all images whose bytes are anywhere there."""
    return {path.stem for path in folder.rglob("*.png")}


def labels(message: discord.Message) -> list[str]:
    """The numbers on the vote buttons, once each."""
    [box] = message.components
    assert isinstance(box, discord.Container)
    rows = [child for child in box.children if isinstance(child, discord.ActionRow)]
    found = [getattr(button, "label", None) for row in rows for button in row.children]

    return list(dict.fromkeys(label for label in found if label is not None and label.isdigit()))


async def test_the_rest_is_shown_and_only_the_requester_is_told(
    tmp_path: Path, threshold: float, withheld_slots: list[int]
) -> None:
    async with world(tmp_path, **guarded(threshold)) as w:
        asked = await w.ask(w.alice, PROMPT, seed=SEED)
        await w.posted()
        message = w.last_message()

        shown = [slot for slot in (1, 2, 3, 4) if slot not in withheld_slots]
        assert labels(message) == [str(slot) for slot in shown]
        assert len(message.attachments) == 2
        assert len([button for button in buttons(message) if ":vote:" in button]) == 2 * 2
        assert "withheld" not in text_of(message)
        [note] = asked.followups
        assert note.ephemeral
        one, other = withheld_slots
        assert note.content.startswith(f"Images {one} and {other} of 4 were withheld: this server")
        details = await w.bob.click(message, custom_id=set_button(message, "details"))
        assert text_of(seen(details).message).count("image ") == 2


async def test_the_dataset_has_a_row_with_score_and_no_bytes(
    tmp_path: Path, scores: list[float], threshold: float, withheld_slots: list[int]
) -> None:
    async with world(tmp_path, Real.OXEN, **guarded(threshold)) as w:
        message = await w.imagine(w.alice, PROMPT, seed=SEED)
        await w.vote(w.bob, message, 1, Rating.GOOD)
        await w.vote(w.bob, message, 2, Rating.BAD)
        await w.committed()

        rows = w.generations()
        assert [int(row["slot"]) for row in rows if row["withheld"] == "classifier"] == (
            withheld_slots
        )
        assert [row["withheld"] for row in rows].count("no") == 2
        for row, score in zip(rows, scores, strict=True):
            assert float(row["unsafe_score"]) == pytest.approx(score, abs=1e-6)
            assert f'"safety_threshold": "{threshold:g}"' in row["versions"]

        assert {row["image_id"] for row in w.rows()} == set(image_ids(message))
        withheld = {row["image_id"] for row in rows} - set(image_ids(message))
        kept = pictures_below(tmp_path)
        assert not withheld & kept
        assert set(image_ids(message)) <= kept


async def test_nobody_votes_on_what_is_withheld(tmp_path: Path, threshold: float) -> None:
    async with world(tmp_path, **guarded(threshold)) as w:
        message = await w.imagine(w.alice, PROMPT, seed=SEED)
        await w.committed()
        [withheld, _] = {row["image_id"] for row in w.generations()} - set(image_ids(message))

        outcome = await w.parts.store.vote(withheld, w.bob.id, Rating.GOOD)

        assert outcome.kind is VoteKind.WITHHELD_IMAGE
        assert "withheld" in texts.outcome_sentence(outcome)
        await w.committed()
        assert w.rows() == []


async def test_when_all_are_withheld_the_message_says_so(tmp_path: Path) -> None:
    async with world(tmp_path, **guarded(WITHHOLDS_ALL)) as w:
        asked = await w.ask(w.alice, PROMPT)
        await w.posted()
        await w.committed()

        message = w.last_message()
        assert message.id == seen(asked).id
        assert texts.all_withheld() in text_of(message)
        assert message.attachments == []
        assert vote_ids(message) == {}
        assert set_button(message, "again")
        [note] = asked.followups
        assert note.content.startswith("Images 1, 2, 3 and 4 of 4 were withheld")
        assert [row["withheld"] for row in w.generations()] == ["classifier"] * 4


async def test_where_nobody_can_be_told_alone_the_message_says_how_many(
    tmp_path: Path, threshold: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "TOKEN_LIFE", timedelta(seconds=-1))
    async with world(tmp_path, **guarded(threshold)) as w:
        asked = await w.ask(w.alice, PROMPT, seed=SEED)
        await w.posted()

        assert "2 images of this request were withheld." in text_of(w.last_message())
        assert len(w.last_message().attachments) == 2
        assert asked.followups == []


async def test_a_restart_in_the_middle_shows_nothing_that_is_withheld(
    tmp_path: Path, threshold: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path, **guarded(threshold)) as w:
        await _stopped_while_posting(w, monkeypatch, "post")

        await w.until(lambda: len(w.last_message().attachments) == 2)
        assert len(image_ids(w.last_message())) == 2
        assert "2 images of this request were withheld." in text_of(w.last_message())
        await w.committed()
        assert [row["withheld"] for row in w.generations()].count("classifier") == 2


async def test_a_restart_after_all_were_withheld_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path, **guarded(WITHHOLDS_ALL)) as w:
        await _stopped_while_posting(w, monkeypatch, "settle")

        await w.until(lambda: texts.all_withheld() in text_of(w.last_message()))
        await w.committed()
        assert [row["withheld"] for row in w.generations()] == ["classifier"] * 4


async def _stopped_while_posting(w: World, patch: pytest.MonkeyPatch, method: str) -> None:
    posting = asyncio.Event()

    async def never(*_: object, **__: object) -> None:
        posting.set()
        await asyncio.Event().wait()

    with patch.context() as patched:
        patched.setattr(messages.Place, method, never)
        await w.ask(w.alice, PROMPT, seed=SEED)
        await posting.wait()
        await w.end()

    await w.begin()


async def test_what_looks_at_the_pictures_may_find_nothing(tmp_path: Path) -> None:
    async with world(tmp_path, **guarded(LOOKS_AT_NONE)) as w:
        asked = await w.ask(w.alice, PROMPT)
        await w.posted()
        await w.committed()

        assert len(w.last_message().attachments) == 4
        assert asked.followups == []
        assert all(0 < float(row["unsafe_score"]) < 1 for row in w.generations())


async def test_pictures_that_could_not_be_checked_are_shown_to_nobody(tmp_path: Path) -> None:
    what_makes_no_pictures = replace(scripted(tmp_path), safety=SafetySpec(model=PACKAGED))
    async with Executor.open({MODEL: what_makes_no_pictures}) as executor:
        with pytest.raises(NotChecked, match="ImageDecodeError") as caught:
            await executor.submit(a_request(), owner=1).result()

        assert executor.status().workers[0].restarts == 0

    said = texts.refusal(caught.value, reference="1")
    assert "they could not be checked, so nobody is shown them" in said


async def test_what_the_models_own_checker_blackens_is_withheld_in_the_same_way(
    tmp_path: Path, strict: Path
) -> None:
    own = {"backend": "diffusers", "model": str(strict), "sizes": f"{SIDE_PX}x{SIDE_PX}"}
    async with world(tmp_path, Real.OXEN, **own) as w:
        asked = await w.ask(w.alice, PROMPT)
        await w.posted()
        await w.committed()

        assert texts.all_withheld() in text_of(w.last_message())
        [note] = asked.followups
        assert "the model's own safety checker took them for unsafe" in note.content
        assert {row["withheld"] for row in w.generations()} == {"checker"}
        assert {row["unsafe_score"] for row in w.generations()} == {""}
        assert not pictures_below(tmp_path)


async def test_a_moderator_can_make_a_withheld_picture_again(tmp_path: Path) -> None:
    async with world(tmp_path, Real.OXEN, **guarded(WITHHOLDS_ALL)) as w:
        await w.ask(w.alice, PROMPT)
        await w.posted()
        await w.committed()
        row = w.generations()[0]

        again = await replay(
            w.settings, row["image_id"], dataset=None, device="cpu", tell=lambda progress: None
        )

        assert again.same_bytes
        assert again.png
        assert again.differences == []


@pytest.mark.parametrize(
    ("settings", "previews"),
    [
        ({}, "auto"),
        (guarded(0.5), "never"),
        ({**guarded(0.5), "preview": "always"}, "always"),
    ],
    ids=["no classifier", "a classifier", "as the operator says"],
)
def test_what_may_be_withheld_has_no_preview(
    tmp_path: Path, settings: dict[str, Any], previews: str
) -> None:
    (spec,) = model_specs(quick_settings(tmp_path, backend="diffusers", **settings)).values()

    assert isinstance(spec, DiffusersSpec)
    assert spec.preview == previews


def spoilers(message: discord.Message) -> list[bool]:
    """Which images of the message are covered until somebody presses them."""
    [box] = message.components
    assert isinstance(box, discord.Container)
    [gallery] = [part for part in box.children if isinstance(part, discord.MediaGalleryComponent)]

    return [item.spoiler for item in gallery.items]


def doubted(threshold: float, **more: str) -> dict[str, Any]:
    """The images that `guarded` withholds are doubtful, and none is withheld."""
    return {"safety_model": PACKAGED, "safety_threshold": 1.0, "safety_doubtful": threshold, **more}


async def test_what_the_classifier_finds_doubtful_is_a_spoiler(
    tmp_path: Path, threshold: float, withheld_slots: list[int]
) -> None:
    async with world(tmp_path, **doubted(threshold)) as w:
        message = await w.imagine(w.alice, PROMPT, seed=SEED)
        covered = [slot in withheld_slots for slot in (1, 2, 3, 4)]
        assert spoilers(message) == covered

        await w.restart()
        mod = w.moderator()
        first, *rest = image_ids(message)
        await mod.slash(w.channel, "oxherd remove", id=first, reason="a test")
        assert spoilers(w.last_message()) == covered[1:]
        await w.vote(w.bob, message, 2, Rating.GOOD)
        await w.committed()
        assert {row["withheld"] for row in w.generations()} == {"no"}
        assert [row["image_id"] for row in w.rows()] == rest[:1]


async def test_doubtful_images_may_be_kept_for_channels_with_an_age_restriction(
    tmp_path: Path, threshold: float, withheld_slots: list[int]
) -> None:
    async with world(tmp_path, **doubted(threshold, doubtful_images="age_restricted")) as w:
        asked = await w.ask(w.alice, PROMPT, seed=SEED)
        await w.posted()
        open_to_all = w.last_message()
        await w.restrict_age()
        restricted = await w.imagine(w.alice, PROMPT, seed=SEED)
        await w.committed()

        shown = [slot for slot in (1, 2, 3, 4) if slot not in withheld_slots]
        assert labels(open_to_all) == [str(slot) for slot in shown]
        assert spoilers(open_to_all) == [False, False]
        [note] = asked.followups
        assert "only in channels with an age restriction" in note.content
        assert spoilers(restricted) == [slot in withheld_slots for slot in (1, 2, 3, 4)]
        assert [row["withheld"] for row in w.generations()].count("doubtful") == 2
        assert pictures_below(tmp_path) == {*image_ids(open_to_all), *image_ids(restricted)}


async def test_after_a_restart_the_channel_is_asked_for_its_age_restriction_too(
    tmp_path: Path, threshold: float
) -> None:
    slow = {"placeholder_step_seconds": 0.2, "default_steps": 10}
    settings = {**doubted(threshold, doubtful_images="age_restricted"), **slow}
    async with world(tmp_path, **settings) as w:
        await w.ask(w.alice, PROMPT, seed=SEED)
        await w.restart()
        await w.restrict_age()
        await w.posted()

        assert spoilers(w.last_message()).count(True) == 2


async def test_rate_shows_doubtful_images_as_spoilers_and_only_where_they_may_be(
    tmp_path: Path, threshold: float, withheld_slots: list[int]
) -> None:
    async with world(tmp_path, **doubted(threshold, doubtful_images="age_restricted")) as w:
        await w.restrict_age()
        ids = image_ids(await w.imagine(w.alice, PROMPT, seed=SEED))
        doubtful = {ids[slot - 1] for slot in withheld_slots}
        shown = {}
        for rater in (w.bob, w.member("second")):
            await rater.slash(w.channel, "rate")
            found = set()
            while w.private(rater)[-1].attachments:
                [file] = w.private(rater)[-1].attachments
                found.add(file.filename)
                skip = next(each for each in buttons(w.private(rater)[-1]) if "skip" in each)
                await rater.click(w.private(rater)[-1], custom_id=skip)

            shown[rater.id] = found
            await w.restart()  # now the channel is not restricted

        in_restricted, in_open = shown.values()
        assert in_restricted == {
            f"SPOILER_{image_id}.png" if image_id in doubtful else f"{image_id}.png"
            for image_id in ids
        }
        assert in_open == {f"{image_id}.png" for image_id in ids if image_id not in doubtful}
