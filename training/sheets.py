"""Contact sheets: rows of pictures with their prompts below."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

_MARGIN_PX = 4
_LINES = 2
_LETTERS_PX = 11


def write_sheet(
    file: Path,
    cells: Sequence[tuple[str, Sequence[Image.Image]]],
    *,
    columns: int,
    picture_px: int,
) -> None:
    """One cell for each prompt, with its pictures side by side."""
    beside = max(len(pictures) for _, pictures in cells)
    width = beside * picture_px + _MARGIN_PX
    height = picture_px + _LINES * _LETTERS_PX + 2 * _MARGIN_PX
    rows = -(-len(cells) // columns)
    sheet = Image.new("RGB", (columns * width + _MARGIN_PX, rows * height), "white")
    pen, letters = ImageDraw.Draw(sheet), ImageFont.load_default(_LETTERS_PX)
    for number, (text, pictures) in enumerate(cells):
        left = _MARGIN_PX + number % columns * width
        top = number // columns * height
        for place, picture in enumerate(pictures):
            scaled = picture.resize((picture_px, picture_px), Image.Resampling.LANCZOS)
            sheet.paste(scaled, (left + place * picture_px, top))

        for line, words in enumerate(_wrapped(text, letters, width - _MARGIN_PX)):
            pen.text((left, top + picture_px + line * _LETTERS_PX), words, "black", letters)

    sheet.quantize(256, dither=Image.Dither.NONE).save(file, optimize=True)


def _wrapped(
    text: str, letters: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int
) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if letters.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)

    return lines[:_LINES]
