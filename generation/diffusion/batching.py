"""How many images of a request are denoised together: all of them, or as many as fit."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from PIL import Image

from generation.diffusion.engine import DecodedImage, Engine, Stage
from generation.errors import OutOfMemory
from generation.request import ImageRequest

log = logging.getLogger(__name__)


class Batching:
    """Splits a request that does not fit into memory, and remembers which batch sizes do not.

    All batches of a request have the same size, a divisor of its number of images: rounding depends
    on the size, and one number must describe all images of a request. A size that does not fit is
    not tried again, for larger images either, until a single image fails: then everything is
    forgotten, because nothing can be made before more memory is free.
    """

    def __init__(self) -> None:
        self._most: dict[int, int] = {}
        """Pixels of an image -> the largest batch that may fit; one image more did not."""

    def make(
        self,
        engine: Engine,
        request: ImageRequest,
        after_step: Callable[[Stage], None],
        *,
        parent: Image.Image | None = None,
    ) -> tuple[list[DecodedImage], int]:
        """One image per seed, in order, and the batch size. parent: what the request varies.

        The stages count the steps of all batches, abandoned ones included: `done` never decreases.
        Raises OutOfMemory where a single image does not fit, and whatever `after_step` raises.
        """
        steps = _Steps(after_step)
        while True:
            batch = self._size_for(request) if engine.makes_several else 1
            try:
                return _made(engine, request, parent, batch, steps), batch
            except OutOfMemory as exc:
                if batch == 1:
                    self._most.clear()
                    raise

                log.warning(
                    "%d images of %s pixels do not fit into memory together; making fewer at a "
                    "time: %s", batch, request.size, exc.cause,
                )  # fmt: skip
                self._most[request.size.pixels] = batch - 1

    def _size_for(self, request: ImageRequest) -> int:
        images = len(request.seeds)
        known = [most for pixels, most in self._most.items() if pixels <= request.size.pixels]
        most = min(known, default=images)

        return next(size for size in range(min(most, images), 0, -1) if images % size == 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Overall:
    """How far the request is; the latents are those of the current batch."""

    done: int
    total: int
    batch: Stage

    @property
    def latents(self) -> torch.Tensor:
        return self.batch.latents

    def expected(self) -> torch.Tensor | None:
        return self.batch.expected()


class _Steps:
    """Counts the steps of a request over its batches."""

    def __init__(self, after_step: Callable[[Stage], None]) -> None:
        self._after_step = after_step
        self._done = 0
        self._abandoned = 0
        self._batches = 1

    def begin(self, batches: int) -> None:
        """The request is made in that many batches from now on; earlier steps were abandoned."""
        self._abandoned = self._done
        self._batches = batches

    def count(self, stage: Stage) -> None:
        self._done += 1
        total = self._abandoned + stage.total * self._batches
        self._after_step(_Overall(done=self._done, total=total, batch=stage))


def _made(
    engine: Engine,
    request: ImageRequest,
    parent: Image.Image | None,
    batch: int,
    steps: _Steps,
) -> list[DecodedImage]:
    seeds = request.seeds
    batches = [seeds[start : start + batch] for start in range(0, len(seeds), batch)]
    steps.begin(len(batches))
    images: list[DecodedImage] = []
    for some in batches:
        images += engine.make(replace(request, seeds=some), steps.count, parent=parent)

    return images
