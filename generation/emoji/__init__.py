"""The model that ships with oxherd, which draws emoji from their names; see its README.md."""

from pathlib import Path

MODEL = Path(__file__).parent / "oxherd-emoji"
"""A folder for StableDiffusionPipeline. training/, which is not installed, made it."""

SIDE_PX = 128
STEPS, GUIDANCE = 20, 1.5
"""The settings of its evaluation, `python -m training.evaluate`."""

VARY_STRENGTH = 0.9
"""Variations mostly keep the style of the image; below this they can hardly be told apart."""

STYLES = ("in 3d", "flat", "black and white", "as a cartoon")
"""What a prompt may add, after a comma, to be drawn in this style. Otherwise the seed decides."""
