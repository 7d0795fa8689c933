"""What a picture is called in training: its label, dressed so that a sentence still finds it."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

_OPENINGS = (
    "a picture of", "a photo of", "an image of", "a drawing of", "a 3d picture of", "an emoji of",
    "show me", "draw me", "please draw", "i would like", "i want", "make", "here is", "there is",
    "my friend has", "we saw", "i dreamt of", "look at", "somebody sent me", "what about",
)  # fmt: skip
_ENDINGS = (
    "in the rain", "in the snow", "in the sun", "at night", "in the morning", "on a table",
    "in a garden", "on the beach", "in a forest", "in the city", "on a white background",
    "for my friend", "for you", "please", "in 3d", "on a sunny day", "in front of a house",
    "by the sea", "on the moon", "under a tree", "next to a window", "at a party", "in winter",
    "on holiday", "and nothing else", "that i like", "who waits for a bus", "with a shadow",
)  # fmt: skip
_ADJECTIVES = (
    "small", "big", "little", "nice", "cute", "happy", "sad", "old", "new", "funny", "lovely",
    "beautiful", "tiny", "huge", "shiny", "single", "simple", "friendly", "strange", "colourful",
)  # fmt: skip
FILLERS = _OPENINGS + _ENDINGS + _ADJECTIVES
"""Words around a label that change nothing of the picture."""


@dataclass(frozen=True)
class Caption:
    """What emojibase says of an emoji. An expression is a face: adjectives would change it."""

    label: str
    tags: Sequence[str]
    is_expression: bool = False


def caption(of: Caption, random: Random) -> str:
    """One way to ask for the picture; empty in one of ten, for classifier-free guidance."""
    label = _spelt(of.label, random)
    choice = random.random()
    if choice < 0.1:
        return ""

    if choice < 0.55:
        return f"a {label}"

    if choice < 0.65:
        return random.choice(("{}", "the {}", f"{_article(label)} {{}}")).format(label)

    if choice < 0.75:
        return ", ".join([label, *_some(of.tags, random)])

    if choice < 0.80 and len(of.tags) > 2:
        return " ".join(_some(of.tags, random, at_least=2))

    if choice < 0.83:
        return f"a {_with_words_dropped(label, random)}"

    return _sentence(label, of.is_expression, random)


def _spelt(label: str, random: Random) -> str:
    """As emojibase spells it, or as a person types it: plain quotes, "flag of Chad"."""
    if random.random() < 0.6:
        return label

    for odd, plain in (("’", "'"), ("“", ""), ("”", ""), (":", "")):
        label = label.replace(odd, plain)

    kind, _, name = label.partition(" ")
    if kind == "flag" and name:
        return random.choice((f"flag of {name}", f"{name} flag", label))

    return label


def _article(label: str) -> str:
    return "an" if label[0].lower() in "aeiou" else "a"


def _some(tags: Sequence[str], random: Random, at_least: int = 0) -> list[str]:
    count = random.randint(min(at_least, len(tags)), min(len(tags), 5))

    return random.sample(list(tags), count)


def _with_words_dropped(label: str, random: Random) -> str:
    words = label.split()
    if len(words) > 1:
        words.pop(random.randrange(len(words)))

    return " ".join(words)


def _sentence(label: str, is_expression: bool, random: Random) -> str:
    adjective = "" if is_expression or random.random() < 0.5 else random.choice(_ADJECTIVES)
    noun = f"{adjective} {label}".strip()
    article = random.choice(("a", "the", _article(noun), "my", "one"))
    opening = random.choice(_OPENINGS) if random.random() < 0.5 else ""
    ending = random.choice(_ENDINGS) if random.random() < 0.7 else ""

    return f"{opening} {article} {noun} {ending}".strip()
