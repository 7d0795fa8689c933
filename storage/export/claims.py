"""What a row of an export says, in the same words whatever its format: for comparing. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from storage.export import rows
from storage.export.selection import Selection, Shape


@dataclass(frozen=True, slots=True)
class Claim:
    """What a row says of images, which are named by the SHA-256 of their bytes."""

    split: str
    prompt: str
    said: str

    @property
    def images(self) -> list[str]:
        """The images that it is about."""
        return [word for word in self.said.split() if len(word) == 64]

    @property
    def opposite(self) -> "Claim":
        """What the row would say if its label were the other way round."""
        first, *others = self.said.split()
        match others:
            case [">", second]:
                said = better(second, first)
            case ["good" | "bad" as word]:
                said = rated(first, good=word == "bad")
            case _:
                said = self.said

        return Claim(self.split, self.prompt, said)


@dataclass(frozen=True, slots=True)
class WrongRow:
    """A row that its trainer would not read, or would read as something else."""

    what: str
    prompt: str


Said = Claim | WrongRow


def better(first: str, second: str) -> str:
    """The first image is better than the second."""
    return f"{first} > {second}"


def rated(image: str, *, good: bool) -> str:
    """Somebody rated the image so."""
    return f"{image} {'good' if good else 'bad'}"


def counted(image: str, *, good: int, bad: int) -> str:
    """So many people rated the image so."""
    return f"{image} {good} of {good + bad}"


def claims(selection: Selection) -> Iterator[Claim]:
    """What the rows of this selection have to say."""
    if Shape.PAIRS in selection.shapes:
        for pair in rows.pairs(selection):
            yield Claim(pair.split, pair.prompt, better(pair.better.sha256, pair.worse.sha256))

    if Shape.RATINGS in selection.shapes:
        for row in rows.ratings(selection):
            yield Claim(row.split, row.prompt, rated(row.picture.sha256, good=row.good))

    if Shape.IMAGES in selection.shapes:
        for image in rows.joined(selection):
            yield Claim(
                image.split,
                image.prompt,
                counted(image.picture.sha256, good=image.good, bad=image.bad),
            )
