"""Skips the rest of a model in steps in which its first block hardly changes. Images change.

It is diffusers' FirstBlockCache: while what the first block adds differs from the step before by
less than a threshold, the other blocks are taken to add what they added then.
"""

from diffusers import DiffusionPipeline
from diffusers.hooks import FirstBlockCacheConfig

from generation.errors import BackendUnavailable
from generation.families import Traits


def cache_problem(takes: Traits) -> str | None:
    """Why no steps of such a model can be cached, as a sentence; None if they can.

    diffusers' transformer must have CacheMixin, and its pipeline must say which pass it is in.
    """
    if takes.caches_steps:
        return None

    family = takes.family or "a pipeline that is not in the table of docs/models.md"

    return f"OXHERD_STEP_CACHE cannot be used: diffusers caches no steps of {family}."


def use_step_cache(pipeline: DiffusionPipeline, takes: Traits, threshold: float) -> None:
    """Cache steps from now on. Whoever calls the pipeline forgets them after each run, with
    `maybe_free_model_hooks`. Raises BackendUnavailable."""
    if problem := cache_problem(takes):
        raise BackendUnavailable(problem)

    pipeline.transformer.enable_cache(FirstBlockCacheConfig(threshold=threshold))
