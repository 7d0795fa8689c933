"""Makes a report: a folder of pages that opens from the disk, without a network."""

import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from itertools import islice
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from storage.dataset.repository import CommitInfo
from storage.errors import ReportError
from storage.quality.evidence import set_aside_beside
from storage.quality.labels import label
from storage.quality.summary import summarise
from storage.reading.collection import Collection, Tell, collected
from storage.reading.oxen import checked_out
from storage.report import gallery, plots, thumbnails
from storage.report.arenas import arenas
from storage.report.gallery import Shown

INDEX = "index.html"

_IN_A_ROW = 24
_COMMITS = 200
_IMAGES_OF_A_COMMIT = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was made. unreadable: images that Pillow could not read, which have no picture."""

    images: int
    prompts: int
    pages: int
    unreadable: int


def make(
    out: Path,
    *,
    dataset: Path,
    revision: str | None,
    goal: int,
    publish: bool,
    tell: Tell,
) -> Report:
    """Write the report. publish: without anything personal. goal: raters an image is to have.

    Raises a ReportError for a folder with something in it, and a ReadingError.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ReportError.not_empty(out)

    part = out.with_name(f"{out.name}.part")
    try:
        try:
            part.mkdir(parents=True)
        except FileExistsError:
            raise ReportError.interrupted(part) from None

        try:
            with (
                checked_out(dataset, revision) as checkout,
                collected(checkout, tell) as collection,
            ):
                made = _Pages(part, collection, publish=publish, tell=tell).write(
                    set_aside_beside(dataset), goal=goal, history=checkout.history(_COMMITS)
                )

            part.replace(out)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
    except OSError as exc:
        raise ReportError.failed(out, reason=exc.strerror or str(exc)) from exc

    return made


class _Pages:
    def __init__(self, out: Path, collection: Collection, *, publish: bool, tell: Tell) -> None:
        self._out = out
        self._collection = collection
        self._tell = tell
        self._written = 0
        self._templates = Environment(
            loader=PackageLoader("storage.report"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals.update(publish=publish, commit=collection.checkout.commit)

    def write(
        self, set_aside: Mapping[str, int], *, goal: int, history: Sequence[CommitInfo]
    ) -> Report:
        collection = self._collection
        label(collection)
        gallery.prepare(collection)
        quality = summarise(collection, set_aside, goal=goal)
        for name in ("style.css", "gallery.js"):
            shutil.copyfile(Path(__file__).parent / "templates" / name, self._out / name)

        drawn = plots.draw(collection, quality, self._out / "plots")
        images = list(gallery.newest(collection))
        unreadable = self._thumbnails(images)
        self._gallery(images)
        prompts = gallery.prompts(collection)
        self._page("prompts.html", "prompts.html", prompts=prompts)
        for text, candidates in gallery.by_prompt(collection):
            self._page(
                "prompt.html",
                f"prompts/{candidates[0].page}.html",
                text=text,
                images=candidates,
                votes=self._votes(candidates[0].page),
                root="../",
            )

        self._page("history.html", "history.html", commits=list(self._commits(history)))
        self._page(
            "index.html",
            INDEX,
            quality=quality,
            plots=drawn,
            best=gallery.best(collection, limit=_IN_A_ROW),
            disputed=gallery.disputed(collection, limit=_IN_A_ROW),
            voters=self._voters(),
            arenas=arenas(collection.checkout.tables),
        )

        return Report(
            images=len(images), prompts=len(prompts), pages=self._written, unreadable=unreadable
        )

    def _page(self, template: str, name: str, *, root: str = "", **values: Any) -> None:
        path = self._out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = self._templates.get_template(template).render(root=root, **values)
        path.write_text(text, encoding="utf-8")
        self._written += 1

    def _thumbnails(self, images: Sequence[Shown]) -> int:
        unreadable = 0
        for done, readable in enumerate(thumbnails.make(images, self._out)):
            unreadable += not readable
            if done % 100 == 0:
                self._tell("drawing thumbnails", done, len(images))

        return unreadable

    def _gallery(self, images: Sequence[Shown]) -> None:
        """The page, and the list that it draws from: a page from the disk may load a script, and
        nothing else."""
        prompts = {shown.page: shown.prompt for shown in images}
        listed = f"const prompts = {json.dumps(prompts)};\nconst rows = {_listed(images)};\n"
        (self._out / "images.js").write_text(listed, encoding="utf-8")
        self._page("images.html", "images.html", any=images[0] if images else None)

    def _votes(self, prompt: int) -> list[Any]:
        return self._collection.database.execute(
            "SELECT image_id, voter_id, votes.good, voted_at, reasons"
            " FROM votes JOIN images USING (image) JOIN voters USING (voter)"
            " WHERE prompt = ? ORDER BY vote",
            (prompt,),
        ).fetchall()

    def _voters(self) -> list[Any]:
        return self._collection.database.execute(
            "SELECT voter_id, count(*) AS votes, good_as_good, bad_as_bad, of_no_use"
            " FROM voters JOIN votes USING (voter) GROUP BY voter ORDER BY votes DESC LIMIT 100"
        ).fetchall()

    def _commits(self, history: Sequence[CommitInfo]) -> Iterator[dict[str, Any]]:
        """Each commit with the images that its message names, those that are here with pictures."""
        for commit in history:
            lines = [line for line in commit.message.splitlines() if line]
            named = next((line for line in lines if line.startswith("images: ")), "")
            ids = list(islice(re.findall(r"[\w-]{6,}", named[8:]), _IMAGES_OF_A_COMMIT))
            here = gallery.some(self._collection, ids)
            yield {
                "id": commit.id[:12],
                "at": f"{commit.at.astimezone(UTC):%Y-%m-%d %H:%M}",
                "what": lines[0] if lines else "",
                "images": [here[image_id] for image_id in ids if image_id in here],
                "left": [image_id for image_id in ids if image_id not in here],
            }


def _listed(images: Sequence[Shown]) -> str:
    """As JSON, an image a line; in the order in which `gallery.js` reads them."""
    lines = (
        json.dumps(
            [
                *(shown.image_id, shown.page, shown.label, round(shown.certainty, 2)),
                *(shown.good, shown.bad, shown.thumbnail if shown.file else None),
            ]
        )
        for shown in images
    )

    return "[\n" + ",\n".join(lines) + "\n]"
