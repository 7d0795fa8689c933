"""LoRAs for a few steps, in their usual way: scheduler, steps and guidance. Pure.

LCM: Luo et al., 2023. SDXL-Lightning: Lin et al., 2024. Hyper-SD: Ren et al., 2024. DMD2: Yin et
al., 2024.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from generation.families import Traits


@dataclass(frozen=True, slots=True, kw_only=True)
class FewSteps:
    """How a LoRA of this kind is used.

    scheduler: a class of diffusers, with the settings of the model's own and these. steps: unless
    a member chooses. most_steps: with more, the scheduler fails or the images get worse.
    """

    scheduler: str
    settings: Mapping[str, object]
    steps: int
    most_steps: int
    guidance: float

    def applied(self, takes: Traits) -> Traits:
        """What a model takes with such a LoRA."""
        guidance = takes.guidance
        if guidance is not None:
            guidance = replace(guidance, default=self.guidance)

        return replace(takes, steps=self.steps, most_steps=self.most_steps, guidance=guidance)


FEW_STEPS: Final[Mapping[str, FewSteps]] = {
    "lcm": FewSteps(scheduler="LCMScheduler", settings={}, steps=4, most_steps=50, guidance=1.0),
    "lightning": FewSteps(
        scheduler="EulerDiscreteScheduler",
        settings={"timestep_spacing": "trailing"},
        steps=4,
        most_steps=8,
        guidance=0.0,
    ),
    "hyper": FewSteps(
        scheduler="DDIMScheduler",
        settings={"timestep_spacing": "trailing"},
        steps=8,
        most_steps=12,
        guidance=0.0,
    ),
    # Its four timesteps are 999, 749, 499 and 249.
    "dmd2": FewSteps(
        scheduler="LCMScheduler",
        settings={"original_inference_steps": 4},
        steps=4,
        most_steps=4,
        guidance=0.0,
    ),
}
