"""How many images of a request are denoised together: all of them, or as many as fit; pure."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from generation.diffusion.engine import Engine, Picture, Stage
from generation.errors import OutOfMemory
from generation.request import ImageRequest

log = logging.getLogger(__name__)


class Batching:
    """Makes what does not fit in smaller batches, and remembers what did not fit.

    The batches of a request are all of one size, which divides the number of its images: pictures
    depend on it by rounding, so one number has to say how they were made. What did not fit is
    remembered, and holds for larger pictures too, until not even one fits: there must be more room
    then before it can be made at all.
    """

    def __init__(self) -> None:
        self._most: dict[int, int] = {}
        """Pixels of a picture -> how many of these might fit, where that many plus one did not."""

    def make(
        self, engine: Engine, request: ImageRequest, after_step: Callable[[Stage], None]
    ) -> tuple[list[Picture], int]:
        """One picture per seed, in order, and how many were denoised together.

        The stages count the steps of all batches, and those that were in vain: `done` never falls.
        Raises OutOfMemory if not even one fits, and what `after_step` raises.
        """
        steps = _Steps(after_step)
        while True:
            batch = self._size_for(request)
            try:
                return _made(engine, request, batch, steps), batch
            except OutOfMemory as exc:
                if batch == 1:
                    self._most.clear()  # it can only be made once there is more room than there was
                    raise

                log.warning(
                    "%d images of %s pixels do not fit together, so fewer are made at a time: "
                    "%s", batch, request.size, exc.cause,
                )  # fmt: skip
                self._most[request.size.pixels] = batch - 1

    def _size_for(self, request: ImageRequest) -> int:
        images = len(request.seeds)
        known = [most for pixels, most in self._most.items() if pixels <= request.size.pixels]
        most = min(known, default=images)

        return next(size for size in range(min(most, images), 0, -1) if images % size == 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Overall:
    """How far the request is; the latents are of the batch at work."""

    done: int
    total: int
    batch: Stage

    @property
    def latents(self) -> Any:
        return self.batch.latents

    def expected(self) -> Any:
        return self.batch.expected()


class _Steps:
    """Counts the steps of a request over its batches."""

    def __init__(self, after_step: Callable[[Stage], None]) -> None:
        self._after_step = after_step
        self._done = 0
        self._in_vain = 0
        self._batches = 1

    def begin(self, batches: int) -> None:
        """From here on it is made in so many; what was done before does not count for it."""
        self._in_vain = self._done
        self._batches = batches

    def count(self, stage: Stage) -> None:
        self._done += 1
        total = self._in_vain + stage.total * self._batches
        self._after_step(_Overall(done=self._done, total=total, batch=stage))


def _made(engine: Engine, request: ImageRequest, batch: int, steps: _Steps) -> list[Picture]:
    seeds = request.seeds
    batches = [seeds[start : start + batch] for start in range(0, len(seeds), batch)]
    steps.begin(len(batches))
    pictures: list[Picture] = []
    for some in batches:
        pictures += engine.make(replace(request, seeds=some), steps.count)

    return pictures
