"""Turns the settings into what storage, generation and the door for requests take.

Imports neither Discord nor a model library, so that `log` and `snapshot` start quickly.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from bot.offered_models import OfferedModel
from bot.prompts.blocked_words import BlockedWords
from bot.prompts.door import Door, Limits
from bot.settings import Settings
from generation.cluster.settings import ClusterSettings
from generation.families import Traits
from generation.model_traits import read_traits
from generation.safety.screen import SafetySpec
from generation.worker.specs import BackendSpec, DiffusersSpec, PlaceholderSpec
from storage.dataset.card import CardFacts
from storage.dataset.writer_process import RepositorySettings
from storage.folder import DataFolder
from storage.remote.pusher import Remote
from storage.remote.pusher_process import start_pusher
from storage.remote.settings import RemoteSettings


def model_specs(settings: Settings) -> dict[str, BackendSpec]:
    """The models that workers open, by the names that members choose; the default first."""
    return {offered.name: _spec(settings, offered) for offered in settings.offered_models}


def _spec(settings: Settings, offered: OfferedModel) -> BackendSpec:
    safety = _safety(settings)
    shows_withheld = settings.preview == "auto" and safety is not None
    preview = "never" if shows_withheld else settings.preview
    if settings.backend == "placeholder":
        return PlaceholderSpec(
            safety=safety,
            seconds_per_step=settings.placeholder_step_seconds,
            previews=preview != "never",
        )

    folder = DataFolder(settings.data.resolve())

    return DiffusersSpec(
        safety=safety,
        model=offered.model,
        revision=offered.revision,
        lora=offered.lora,
        allow_pickles=settings.allow_pickles,
        dtype=settings.dtype,
        offload="model" if settings.offload else "none",
        preview=preview,
        preview_factors=folder.preview_factors,
        model_hashes=folder.model_hashes,
        compile=settings.compile,
        compiled_folder=folder.compiled,
        compiled_size=settings.sizes[0],
        attention=settings.attention,
        quantize=settings.quantize.get(offered.name, "none"),
        step_cache=settings.step_cache.get(offered.name),
    )


def cluster(settings: Settings) -> ClusterSettings | None:
    """The cluster whose hosts have workers, or None."""
    if settings.ray is None:
        return None

    return ClusterSettings(
        address=settings.ray,
        workers=settings.ray_workers,
        gpus=settings.ray_gpus,
        resources=dict(settings.ray_resources),
        folder=settings.ray_folder,
    )


def _safety(settings: Settings) -> SafetySpec | None:
    if settings.safety_model is None:
        return None

    return SafetySpec(
        model=settings.safety_model,
        revision=settings.safety_revision,
        labels=settings.safety_labels,
        threshold=settings.safety_threshold,
        doubtful=settings.safety_doubtful,
    )


def blocked_words(settings: Settings) -> BlockedWords:
    """The words that prompts may not have; none if no file is set. Raises SettingsError."""
    if settings.blocked_words is None:
        return BlockedWords()

    return BlockedWords.read(settings.blocked_words.expanduser())


def door(settings: Settings) -> Door:
    """The door for requests; see `limits`. Raises SettingsError if the file of words cannot be
    read."""
    return Door(limits(settings), blocked_words(settings))


def limits(settings: Settings) -> Limits:
    """What a request may ask for. Reads small files of the models, so it may block for seconds."""
    takes = {name: read_traits(spec) for name, spec in model_specs(settings).items()}

    return limits_of(settings, takes)


def limits_of(settings: Settings, takes: Mapping[str, Traits]) -> Limits:
    """What a request may ask for of these models."""
    offered = {each.name: each for each in settings.offered_models}
    models = {
        name: _with_defaults(each, settings, offered.get(name)) for name, each in takes.items()
    }

    return Limits(
        max_prompt_chars=settings.max_prompt_chars,
        max_steps=settings.max_steps,
        max_guidance=settings.max_guidance,
        sizes=settings.sizes,
        models=tuple(models),
        takes=models,
        vary_strength=settings.vary_strength,
    )


def _with_defaults(takes: Traits, settings: Settings, offered: OfferedModel | None) -> Traits:
    """The defaults of the entry in the settings, or of the settings, where they are set; within the
    limits in any case. A LoRA for a few steps has its own."""
    own = offered is not None and offered.lora is not None and offered.lora.few_steps is not None
    set_steps = None if own else settings.default_steps
    set_scale = None if own else settings.default_guidance
    if offered is not None:
        set_steps, set_scale = offered.steps or set_steps, _first(offered.guidance, set_scale)

    guidance, scale = takes.guidance, _first(set_scale, takes.default_guidance)
    if guidance is not None and scale is not None:
        guidance = replace(guidance, default=min(scale, settings.max_guidance))

    most = min(settings.max_steps, takes.most_steps or settings.max_steps)

    return replace(takes, steps=min(set_steps or takes.steps, most), guidance=guidance)


def _first(*numbers: float | None) -> float | None:
    return next((number for number in numbers if number is not None), None)


def repository_settings(settings: Settings) -> RepositorySettings:
    """The repository that the writer process opens or creates."""
    return RepositorySettings(
        user_name=settings.commit_name,
        user_email=settings.commit_email,
        card=CardFacts(licence=settings.dataset_licence),
    )


def remote(settings: Settings, *, timeout_s: float | None = None) -> Remote | None:
    """The remote, or None if none is set. timeout_s: for one call, in place of the setting."""
    if settings.remote is None:
        return None

    token = settings.remote_token
    where = RemoteSettings.at(
        settings.remote,
        branch=settings.remote_branch,
        token="" if token is None else token.get_secret_value().strip(),
        create=settings.remote_create,
    )
    start = partial(
        start_pusher,
        DataFolder(settings.data),
        where,
        timeout_s=settings.push_timeout_s if timeout_s is None else timeout_s,
    )

    return Remote(settings=where, start=start)
