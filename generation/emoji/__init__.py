"""The model that ships with oxherd: it draws emoji from their names. Its card is beside it."""

from pathlib import Path

MODEL = Path(__file__).parent / "oxherd-emoji"
"""A StableDiffusionPipeline's folder. How it was made is in training/, which is not installed."""

SIDE_PX = 128
STEPS, GUIDANCE = 20, 2.5
"""What it was evaluated with: `python -m training.evaluate`."""
