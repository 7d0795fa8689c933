"""Members use the demo in a real browser, and the dataset on disk is what they said."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from generation.emoji import MODEL
from tests.support.discord.demo_page import CHROMIUM, Member, browser, running_demo
from tests.support.discord.world import dataset_rows

QUICK = "tests.support.discord.quick_demo"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(2000),
    pytest.mark.stalls("starts processes; the bot is in another one"),
    pytest.mark.asyncio(loop_scope="module"),  # the browser's
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def started_browser() -> AsyncIterator[Browser]:
    assert CHROMIUM, "chromium is not installed; `make test` installs it on Debian"
    async with browser() as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def chromium(started_browser: Browser) -> AsyncIterator[Browser]:
    """The tests share a browser, and no page of it."""
    yield started_browser
    for context in started_browser.contexts:
        await context.close()


async def test_two_members_vote_change_undo_and_vote_after_a_restart(
    tmp_path: Path, chromium: Browser
) -> None:
    data = tmp_path / "demo"

    async with running_demo(data, "--placeholder") as demo:
        alice = await Member.open(chromium, demo.url, "alice")
        bob = await Member.open(chromium, demo.url, "bob")

        async with alice.glimpses("of 20"):  # steps
            await alice.imagine("a fox in the snow")

        for member in (alice, bob):
            await member.sees_images(member.images("a fox in the snow"))

        await alice.press(alice.button(alice.images("a fox in the snow"), "👍", 1))
        await alice.sees("👍 recorded for image 1.")
        await bob.press(bob.button(bob.images("a fox in the snow"), "👍", 1))
        await bob.sees("👍 recorded for image 1.")
        await bob.press(bob.button(bob.images("a fox in the snow"), "👎", 1))
        await bob.sees("👎 recorded for image 1, instead of your 👍.")
        await bob.press(bob.button(bob.images("a fox in the snow"), "👍", 4))
        await bob.sees("👍 recorded for image 4.")
        ballot = bob.message("👍 recorded for image 4.")
        await expect(ballot).to_contain_text("1 👎 · 2 – · 3 – · 4 👍")
        await bob.press(ballot.get_by_role("button", name="Undo 4"))
        await bob.sees("for image 4 is removed")
        await bob.press(bob.message("for image 4 is removed").get_by_role("button", name="Undo 1"))
        await bob.sees("Your 👎 for image 1 is taken back; your 👍 counts again.")
        await expect(bob.page.get_by_text("Only you can see this")).to_have_count(1)

        await demo.restart_bot()
        await bob.press(bob.button(bob.images("a fox in the snow"), "👎", 2))
        await bob.sees("👎 recorded for image 2.")

    rows = dataset_rows(data, "train")
    images = [row["image_id"] for row in dataset_rows(data, "generations")]
    votes = sorted((images.index(row["image_id"]) + 1, row["rating"]) for row in rows)
    assert votes == [(1, "good"), (1, "good"), (2, "bad")]
    assert len({row["voter_id"] for row in rows}) == 2
    assert {row["prompt"] for row in rows} == {"a fox in the snow"}
    for row in rows:
        assert (data / "dataset" / row["path"]).read_bytes().startswith(b"\x89PNG")


async def test_a_moderator_pauses_requests_and_writes_guidelines(
    tmp_path: Path, chromium: Browser
) -> None:
    quick = running_demo(tmp_path / "demo", "--placeholder", module=QUICK)

    async with quick as demo:
        alice = await Member.open(chromium, demo.url, "alice")
        moderator = await Member.open(chromium, demo.url, "moderator")
        await alice.imagine("a fox in the snow")
        await alice.sees_images(alice.images("a fox in the snow"))

        await moderator.command("oxherd pause")
        await moderator.sees("New requests are paused.")
        await alice.imagine("a crow")
        await alice.sees("Moderators have paused new requests in this server.")

        await moderator.command("oxherd guidelines")
        form = moderator.page.get_by_role("dialog")
        await form.locator("textarea").first.fill("Good is what was asked for.")
        await form.get_by_role("button", name="Submit").click()
        await moderator.sees("Good is what was asked for.")
        await alice.press(alice.button(alice.images("a fox in the snow"), "👍", 1))
        await alice.sees("Good is what was asked for.")
        await alice.press(alice.page.get_by_role("button", name="Go on"))
        await alice.sees("👍 recorded for image 1.")


async def test_four_images_of_512_px_and_all_their_buttons_are_on_one_screen(
    tmp_path: Path, chromium: Browser
) -> None:
    large = running_demo(tmp_path / "demo", "--placeholder", module=QUICK, SIDE_PX="512")

    async with large as demo:
        alice = await Member.open(chromium, demo.url, "alice")
        await alice.imagine("a fox in the snow")
        message = alice.images("a fox in the snow")
        await alice.sees_images(message)
        natural = await message.locator("img").first.evaluate("image => image.naturalWidth")
        desktop = await alice.on_one_screen(message, width=1280, height=900)
        phone = await alice.on_one_screen(message, width=390, height=844)

    assert natural == 512
    for screen in (desktop, phone):
        assert len(screen) == 4 + 8 + 4  # Again, Edit, Vary and Details too
        assert all(screen.values()), screen


async def test_the_shipped_model_draws_and_the_dataset_says_so(
    tmp_path: Path, chromium: Browser
) -> None:
    data = tmp_path / "demo"

    async with running_demo(data, module=QUICK) as demo:
        alice = await Member.open(chromium, demo.url, "alice")
        await alice.imagine("a happy dog in the rain")
        message = alice.images("a happy dog in the rain")
        await alice.sees_images(message)
        await alice.press(alice.button(message, "👍", 1))
        await alice.sees("👍 recorded for image 1.")

    [vote] = dataset_rows(data, "train")
    images = dataset_rows(data, "generations")
    assert vote["image_id"] == images[0]["image_id"]
    assert {image["backend"] for image in images} == {"diffusers"}
    assert {image["model"] for image in images} == {MODEL.name}
    assert len({image["sha256"] for image in images}) == 4


@pytest.mark.long
async def test_the_story_ends_with_a_tuned_model_that_was_compared_blind(
    tmp_path: Path, chromium: Browser
) -> None:
    data = tmp_path / "demo"
    short = running_demo(data, "--story", module="tests.support.discord.short_story")

    async with short as demo:
        # It has learned then; a page would cost time until then.
        await demo.line("The bot was restarted")
        alice = await Member.open(chromium, demo.url, "alice")
        await alice.sees("The arena is over.")
        await alice.sees("Before and after")

    votes = dataset_rows(data, "train")
    compared = dataset_rows(data, "arena")
    assert len(votes) == 4 * 55
    assert len({row["voter_id"] for row in votes}) == 3
    assert len(compared) == 3
    assert {compared[0]["model_left"], compared[0]["model_right"]} == {MODEL.name, "warmer"}
