"""What a row of somebody else's dataset may ask of this host: what the settings offer."""

from bot.configuration import limits_of
from bot.errors import CannotReplay
from bot.prompts.door import problems
from bot.settings import Settings
from generation.families import UNKNOWN
from generation.request import ImageRequest
from storage.dataset.reader import RecordedImage


def require_offered(
    recorded: RecordedImage, request: ImageRequest, settings: Settings, *, model: str | None
) -> None:
    """Raises CannotReplay for a model, a size or a number that the settings do not offer.

    model: one that the operator confirms beside those, as the row names it.
    """
    made_by = recorded.made_by
    parts = [(made_by["model"], made_by["revision"])]
    if "base" in made_by:
        parts.append((made_by["base"], made_by.get("base_revision", "")))

    known = {
        model,
        *(each.model for each in settings.offered_models),
        *(each.lora.source for each in settings.offered_models if each.lora),
    }
    for named, revision in parts:
        # A folder is found in the settings by its name, whatever the row says.
        on_hub = made_by["backend"] == "diffusers" and not revision.startswith("sha256:")
        if on_hub and named not in known:
            raise CannotReplay(
                f"Image {recorded.image_id} was made with the model {named[:100]!r}, which the "
                "settings do not offer. If you trust it, confirm it with --model."
            )

    offered = limits_of(settings, {request.model: UNKNOWN})
    for problem in problems(request, offered):
        raise CannotReplay(
            f"The row of image {recorded.image_id} asks for more than the settings allow: "
            f"{problem}."
        )
