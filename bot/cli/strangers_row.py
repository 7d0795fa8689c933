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
    named, revision = recorded.made_by["model"], recorded.made_by["revision"]
    # A folder is found in the settings by its name, whatever the row says.
    on_hub = recorded.made_by["backend"] == "diffusers" and not revision.startswith("sha256:")
    if on_hub and named not in {model, *(each.model for each in settings.offered_models)}:
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
