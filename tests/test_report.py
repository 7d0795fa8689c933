"""`oxherd report`: pages that open from the disk, and say what people voted."""

import re
import shutil
import subprocess
import sys
import urllib.request
from collections import Counter
from pathlib import Path

import pytest
from playwright.async_api import Page, async_playwright, expect
from typer.testing import CliRunner, Result

from bot.commands import app
from storage.dataset.changes import ArenaRow
from storage.dataset.columns import ARENA_COLUMNS, arena_cells
from storage.dataset.layout import csv_file
from storage.report.report import make
from tests.support.discord.demo_page import CHROMIUM, FLAGS
from tests.support.storage.collected import Collected
from tests.support.storage.data import files_below
from tests.support.storage.page_time import loaded

ROOT = Path(__file__).parents[1]


def oxherd(*arguments: str | Path) -> Result:
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert isinstance(done.exception, SystemExit | None), done.exc_info

    return done


@pytest.fixture(scope="module", params=[False, True], ids=["private", "published"])
def report(
    request: pytest.FixtureRequest,
    collected: Collected,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, bool]:
    """A report, and whether it is to be published."""
    out = tmp_path_factory.mktemp("report") / "out"
    make(
        out,
        dataset=collected.dataset,
        revision=None,
        goal=3,
        publish=request.param,
        tell=lambda *_: None,
    )

    return out, request.param


def test_every_image_with_votes_is_in_the_gallery(
    report: tuple[Path, bool], collected: Collected
) -> None:
    out, _ = report

    shown = re.findall(r'"(thumbnails/[^"]+)"', (out / "images.js").read_text())
    assert Counter(Path(name).stem for name in shown) == Counter(
        {vote.image_id for vote in collected.votes}
    )
    assert all((out / name).is_file() for name in shown)


def test_a_prompts_page_has_all_its_candidates(
    report: tuple[Path, bool], collected: Collected
) -> None:
    out, _ = report

    (page,) = [
        text
        for path in (out / "prompts").iterdir()
        for text in [path.read_text()]
        if "<h1>a fox number 5</h1>" in text
    ]
    assert page.count("<figure") == 4
    said = re.sub(r"<[^>]+>", "", page)
    good = Counter(vote.image_id for vote in collected.votes if vote.good)
    bad = Counter(vote.image_id for vote in collected.votes if not vote.good)
    for image_id in {vote.image_id for vote in collected.votes if vote.prompt == "a fox number 5"}:
        assert f"👍 {good[image_id]} 👎 {bad[image_id]}" in said


def test_nothing_comes_from_a_network_and_text_is_text(report: tuple[Path, bool]) -> None:
    out, _ = report

    for path in out.rglob("*.html"):
        text = path.read_text()
        assert not re.search(r'(src|href)="(https?:)?//', text)
        for link in re.findall(r'(?:src|href)="([^"#]+)', text):
            assert (path.parent / link).is_file(), f"{path}: {link}"

    assert "say &#34;fox&#34;, twice" in (out / "prompts.html").read_text()


def test_only_a_private_report_names_voters(
    report: tuple[Path, bool], collected: Collected
) -> None:
    out, published = report

    content = b"".join(files_below(out).values())
    named = [vote.voter for vote in collected.votes if str(vote.voter).encode() in content]
    assert bool(named) is not published
    assert (
        b"2026-05-04 12:00" in b"".join(path.read_bytes() for path in (out / "prompts").iterdir())
    ) is not published


def test_the_history_shows_the_images_of_each_commit(
    report: tuple[Path, bool], collected: Collected
) -> None:
    out, _ = report

    text = (out / "history.html").read_text()
    assert collected.first_commit[:12] in text
    assert "thumbnails/" in text


def test_a_folder_in_use_is_left_alone(collected: Collected, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")

    done = oxherd("report", tmp_path, "--dataset", collected.dataset)

    assert done.exit_code == 1
    assert "is not empty" in done.stderr
    assert files_below(tmp_path) == {"mine.txt": b"mine"}


def test_serve_shows_a_report_on_this_machine(report: tuple[Path, bool]) -> None:
    out, _ = report
    command = [sys.executable, "-u", "-m", "bot", "report", str(out), "--serve", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            address = server.stdout.readline().split()[0]
            with urllib.request.urlopen(f"{address}/index.html") as answer:
                served = answer.read()
        finally:
            server.terminate()

    assert address.startswith("http://127.0.0.1:")
    assert served == (out / "index.html").read_bytes()


@pytest.mark.browser
@pytest.mark.stalls("starts a browser")
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
async def test_it_opens_from_the_disk_in_a_browser(
    report: tuple[Path, bool], collected: Collected
) -> None:
    out, _ = report
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for width in (1280, 390):
            page = await browser.new_page(viewport={"width": width, "height": 900})
            await opens(page, out, collected, width_px=width)
            await page.close()

        await browser.close()


async def opens(page: Page, out: Path, collected: Collected, *, width_px: int) -> None:
    """All pages fit into the width, and their searches and filters find what is there."""
    images = {vote.image_id for vote in collected.votes}
    oldest = {vote.image_id for vote in collected.votes if vote.prompt == "a fox number 0"}
    for name in ("index", "images", "prompts", "history"):
        address = (out / f"{name}.html").as_uri()
        assert (await loaded(page, address)).processor_s <= 1
        assert await page.evaluate("document.documentElement.scrollWidth") <= width_px
        broken = "[...document.images].filter((i) => i.complete && !i.naturalWidth).length"
        assert await page.evaluate(broken) == 0

    await page.goto((out / "prompts.html").as_uri())
    await page.fill("#words", "Fox  number")
    await expect(page.locator(".prompts li:visible")).to_have_text(re.compile("A Fox  Number"))

    # The filters search all images, not only those that are drawn.
    await page.goto((out / "images.html").as_uri())
    figures = page.locator("#gallery figure")
    assert await figures.count() == 120 < len(images)
    assert await page.inner_text("#found") == f"{len(images)} of {len(images)} images"
    await page.fill("#words", "Fox number 0")
    addresses = [await each.get_attribute("href") for each in await figures.locator("a").all()]
    assert {address.partition("#")[2] for address in addresses if address} == oldest
    await page.fill("#words", "")
    await page.locator("#more").scroll_into_view_if_needed()
    await expect(figures).to_have_count(len(images))


def test_arenas_are_there_with_their_win_rates(collected: Collected, tmp_path: Path) -> None:
    dataset = tmp_path / "dataset"
    shutil.copytree(collected.dataset, dataset, ignore=shutil.ignore_patterns(".oxen"))
    rows = [
        arena_cells(
            ArenaRow(
                seq=1,
                arena_id=arena_id,
                pair_id=f"{arena_id}-{number // 2}",
                request={"prompt": "a fox"},
                left_image="left",
                left_shard=0,
                right_image="right",
                right_shard=0,
                choice="left" if number % 4 else "right",
                voter_id=number % 2,
                voted_at="2026-05-04T12:00:00.000+00:00",
                server=None,
                shown_in="post",
                seconds=None,
                consent=None,
                left_model="<kestrel>",
                right_model="heron",
                pairs=4,
                votes=2,
                closed_at=closed_at,
                stopped=0,
            )
        )
        for arena_id, closed_at in (("done", "2026-05-04T12:00:00.000+00:00"), ("open", None))
        for number in range(8)
    ]
    table = dataset / "arena" / "000" / "00000.csv"
    table.parent.mkdir(parents=True)
    table.write_bytes(csv_file(ARENA_COLUMNS, rows))
    out = tmp_path / "out"
    make(out, dataset=dataset, revision=None, goal=3, publish=True, tell=lambda *_: None)
    page = (out / "index.html").read_text()

    assert page.count("<h3>Closed 2026-05-04: 4 pairs with 2 votes each</h3>") == 1
    assert "<td>&lt;kestrel&gt;</td><td>75 %</td>" in page
    assert "<td>heron</td><td>25 %</td>" in page
    assert "8 votes of 2 members on 4 pairs, 0 of them ties." in page
