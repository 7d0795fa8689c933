"""`oxherd tune`: from votes to a LoRA that the bot can offer."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from bot.cli.env_file import DEFAULT_ENV_FILE, EnvFile, settings_from
from bot.cli.exit_status import Exit
from bot.cli.reading.export import progress_bar
from bot.cli.reading.filters import (
    Dataset,
    MinCertainty,
    MinRaters,
    OnlyModel,
    Pairs,
    Revision,
    Sides,
    Since,
    SplitBy,
    Test,
    Validation,
    Whose,
    chosen_options,
)
from bot.errors import CannotTune
from bot.offered_models import OfferedModel, named_model
from bot.settings import Settings
from generation import emoji

if TYPE_CHECKING:
    from generation.tuning.job import Job, Work
    from storage.export.selection import Options


class Method(StrEnum):
    """`--method`."""

    DPO = "dpo"


def tune(
    out: Annotated[Path, typer.Option(help="Folder for the new model, which does not exist yet.")],
    env_file: EnvFile = DEFAULT_ENV_FILE,
    dataset: Dataset = None,
    revision: Revision = None,
    base: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="The model to tune, MODEL@REVISION, or a folder; unless given, OXHERD_MODEL.",
        ),
    ] = None,
    method: Annotated[Method, typer.Option(help="How it learns: Diffusion-DPO.")] = Method.DPO,
    pairs: Pairs = Whose.VOTER,
    split_by: SplitBy = Sides.PROMPT,
    validation: Validation = 0.1,
    test: Test = 0.1,
    model: OnlyModel = None,
    since: Since = None,
    min_raters: MinRaters = 1,
    min_certainty: MinCertainty = 0.0,
    fidelity: Annotated[
        str | None,
        typer.Option(
            metavar="WATCH",
            help="What watches that prompts keep their meaning: edges, an image-text model such "
            "as CLIP (a name on the hub or a folder), or none. Unless given, edges for the model "
            "that ships with oxherd, and none for others.",
        ),
    ] = None,
    devices: Annotated[
        str, typer.Option(help="cpu, cuda, or several GPUs: cuda:0,cuda:1; auto: the best one.")
    ] = "auto",
    steps: Annotated[int | None, typer.Option(min=1, help="Training steps.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Pairs in a step.")] = None,
    at_once: Annotated[
        int | None, typer.Option(min=1, help="Pairs in memory at once; less for small GPUs.")
    ] = None,
    rank: Annotated[int, typer.Option(min=1, help="Rank of the LoRA.")] = 8,
    learning_rate: Annotated[float | None, typer.Option(min=0)] = None,
    beta: Annotated[
        float | None,
        typer.Option(min=0, help="How near the model stays to the base; more is nearer."),
    ] = None,
    least_noise: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=0.99,
            help="Where in the noise schedule the learned timesteps begin; 0: all of them. Colours "
            "and composition are decided where there is much noise.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same model.")] = 0,
) -> None:
    """Tune a model with the votes: `oxherd tune --out FOLDER`.

    FOLDER then has a LoRA and its card, and OXHERD_MORE_MODELS takes it as a model. The base stays
    as it is. Prompts of the splits for validation and test are not learned. If it is interrupted,
    the same command goes on. Works while the bot runs; the two then share the device.
    """
    settings = settings_from(env_file)
    from generation.tuning.job import Job, Recipe, TuningFailed, Work
    from storage.folder import DataFolder

    options = chosen_options(
        pairs=pairs,
        split_by=split_by,
        validation=validation,
        test=test,
        model=model,
        since=since,
        min_raters=min_raters,
        min_certainty=min_certainty,
    )
    source = dataset or DataFolder(settings.data).dataset
    chosen = _base(settings, base)
    job = Job(
        votes={
            "dataset": str(source.resolve()),
            "dataset_revision": revision,
            **options.to_json(),
        },
        base=chosen.model,
        revision=chosen.revision,
        allow_pickles=settings.allow_pickles,
        fidelity=fidelity,
        recipe=Recipe(
            method=method.value,
            steps=steps,
            batch=batch,
            at_once=at_once,
            rank=rank,
            learning_rate=learning_rate,
            beta=beta,
            least_noise=least_noise,
            seed=seed,
        ),
    )
    work = Work(out.resolve())
    try:
        done = _tuned(work, job, source, options, [name.strip() for name in devices.split(",")])
    except TuningFailed as exc:
        raise CannotTune(str(exc)) from exc
    except OSError as exc:
        raise CannotTune(f"{work.out} cannot be written: {exc.strerror or exc}.") from exc

    if not done:
        raise typer.Exit(Exit.FAILED)

    Console().print(
        Text(
            f"{work.out} has the LoRA; README.md there says how it was made. To offer it to "
            f"members: OXHERD_MORE_MODELS={work.out}"
        ),
        soft_wrap=True,
    )


def _tuned(
    work: "Work", job: "Job", source: Path, options: "Options", devices: Sequence[str]
) -> bool:
    """Begin or go on, to the end. False if a process of the tuning has said why it cannot."""
    from generation.tuning.job import TuningFailed
    from generation.tuning.launch import tune as run

    if work.out.exists() and not work.folder.exists():
        raise TuningFailed(f"{work.out} is there already. Choose a folder that does not exist yet.")

    with work.held():
        if not work.out.exists():  # else it was complete when it was interrupted
            _begin(work, job, source, options)
            if not run(work, devices):
                return False

        work.discard()

    return True


def _base(settings: Settings, name: str | None) -> OfferedModel:
    """The model that is tuned: one of the settings by its name, or any other."""
    if name is None:
        return settings.offered_models[0]

    if name == emoji.MODEL.name:
        return named_model(str(emoji.MODEL))

    offered = {each.name: each for each in settings.offered_models}

    return offered.get(name) or named_model(name)


def _begin(work: "Work", job: "Job", source: Path, options: "Options") -> None:
    """Choose the votes, or find that a run with the same options is under way.

    Raises TuningFailed for a run with others, an ExportError or a ReadingError.
    """
    from generation.tuning.job import LEAST_VOTES, PAIRS, TuningFailed
    from storage.export.export import export
    from storage.export.targets import target_named

    begun = work.job()
    if begun is not None:
        if different := job.differences(begun):
            raise TuningFailed(
                f"{work.folder} has a tuning that was interrupted, with different options: "
                f"{', '.join(different)}. Give the same ones to go on, or delete it."
            )

        return

    work.clear()
    with progress_bar() as tell:
        export(
            target_named(PAIRS),
            work.votes,
            dataset=source,
            revision=job.votes["dataset_revision"],
            options=options,
            least=LEAST_VOTES,
            tell=tell,
        )

    work.begin(job)
