"""What the dataset says of an image, without a dataset."""

from generation.request import Made
from storage.dataset import columns
from storage.dataset.changes import ShownRow
from storage.dataset.reader import RecordedImage, recorded_image


def recorded_as(made: Made, *, slot: int) -> RecordedImage:
    """The image's row in the dataset, written and read again."""
    image = made.images[slot - 1]
    cells = columns.shown_cells(
        ShownRow(
            seq=1,
            image_id="an-image",
            set_id="a-set",
            slot=slot,
            shown_at="2026-01-01T00:00:00.000000Z",
            request=made.request.to_json(),
            seed=image.seed,
            provenance=made.provenance.to_json(),
            sha256=image.sha256,
            unsafe_score=None,
            withheld=None,
        )
    )

    return recorded_image(dict(zip(columns.SHOWN_COLUMNS, cells, strict=True)))
