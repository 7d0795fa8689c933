"""Takes the README's picture of a report: images of the model that ships, and simulated voters.

python -m tests.support.storage.report_picture docs/report.png
"""

import asyncio
import hashlib
import io
import os
import random
import sys
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import simcord
from PIL import Image
from playwright.async_api import async_playwright

from generation.emoji import GUIDANCE, MODEL, STEPS
from storage.dataset.oxen import OxenRepository, OxenSettings
from storage.folder import DataFolder
from storage.journal.file import JournalFile
from storage.journal.queries import Journal
from storage.report.report import make
from storage.vote import NewImage, Rating
from tests.support.discord.demo_page import CHROMIUM, FLAGS
from tests.support.storage.data import NOON, PROVENANCE, a_set
from tests.support.storage.desk import Desk

PROMPTS = ("fox", "strawberry", "rocket", "cactus", "owl", "pizza", "snowman", "tiger", "violin")
VOTERS = range(2**40, 2**40 + 14)
DAYS = 40


def loaded() -> Any:
    """The model that ships."""
    import torch
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(
        MODEL, safety_checker=None, torch_dtype=torch.float32
    )
    pipeline.set_progress_bar_config(disable=True)

    return pipeline


def draw(pipeline: Any, prompt: str, first_seed: int) -> list[bytes]:
    """Four images, as PNG."""
    import torch

    drawn = pipeline(
        [prompt] * 4,
        num_inference_steps=STEPS,
        guidance_scale=GUIDANCE,
        generator=[torch.Generator().manual_seed(first_seed + slot) for slot in range(4)],
    ).images
    files = []
    for image in drawn:
        file = io.BytesIO()
        image.save(file, "PNG")
        files.append(file.getvalue())

    return files


def collect(folder: DataFolder) -> None:
    """A dataset of a few weeks."""
    folder.root.mkdir(parents=True, exist_ok=True)
    with JournalFile.open(folder.journal) as file:
        (journal_id,) = file.connection.execute("SELECT journal_id FROM watermark").fetchone()

    def open_repository() -> OxenRepository:
        settings = OxenSettings(
            path=folder.dataset, config_dir=folder.oxen_config, journal_id=journal_id
        )
        return OxenRepository.open(settings)

    pipeline, chance = loaded(), random.Random(1)
    with Desk.open(folder, open_repository) as desk:
        for number, prompt in enumerate(PROMPTS):
            images = [
                NewImage(
                    image_id=f"{number:016d}picture{slot}",
                    slot=slot,
                    seed=number * 4 + slot,
                    sha256=hashlib.sha256(png).hexdigest(),
                    png=png,
                )
                for slot, png in enumerate(draw(pipeline, prompt, number * 4), start=1)
            ]
            desk.spool.put({image.image_id: image.png for image in images})

            def post(journal: Journal, images: list[NewImage] = images) -> None:
                journal.add_request(a_set(images[0].image_id, prompt=prompt), now=NOON)  # noqa: B023
                journal.add_images(images[0].image_id, images, provenance=PROVENANCE, now=NOON)
                journal.mark_posted(images[0].image_id, message_id=1, now=NOON)
                for image in images:
                    _vote(journal, image.image_id, chance)

            desk.note(post)
            desk.settle()


def _vote(journal: Journal, image_id: str, chance: random.Random) -> None:
    """Most say what the image is, some say the contrary."""
    good = chance.random() < 0.6
    for voter in chance.sample(VOTERS, chance.randint(2, 7)):
        is_right = chance.random() < (0.95 if voter % 5 else 0.55)
        journal.vote(
            image_id,
            voter,
            Rating.GOOD if good == is_right else Rating.BAD,
            seconds=round(chance.gammavariate(3, 1.2), 1),
            now=NOON + timedelta(days=chance.triangular(0, DAYS, DAYS * 0.7)),
        )


async def picture(report: Path, target: Path) -> None:
    """The first page, with the emoji's font that simcord has."""
    fonts = Path(simcord.__file__).parent / "preview" / "static" / "fonts"
    config = report / "fonts.conf"
    config.write_text(
        f"<fontconfig><dir>/usr/share/fonts</dir><dir>{fonts}</dir></fontconfig>", encoding="utf-8"
    )
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=FLAGS,
            env={**os.environ, "FONTCONFIG_FILE": str(config)},
        )
        page = await chromium.new_page(viewport={"width": 1200, "height": 940}, color_scheme="dark")
        await page.goto((report / "index.html").as_uri())
        image = Image.open(io.BytesIO(await page.screenshot())).convert("RGB")
        image.quantize(128).save(target, optimize=True)
        await chromium.close()


def take(target: Path) -> None:
    """Make the dataset and its report, and take the picture."""
    with tempfile.TemporaryDirectory() as root:
        collect(DataFolder(Path(root) / "data"))
        report = Path(root) / "report"
        make(
            report,
            dataset=Path(root) / "data" / "dataset",
            revision=None,
            goal=3,
            publish=True,
            tell=lambda *_: None,
        )
        asyncio.run(picture(report, target))


if __name__ == "__main__":
    take(Path(sys.argv[1]))
