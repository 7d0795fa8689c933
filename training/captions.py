"""Captions for training: a picture's label, varied so that whole sentences work as prompts too."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from training.everyday import EVERYDAY
from training.styles import Style

_OPENINGS = (
    "a picture of", "a photo of", "an image of", "a drawing of", "an emoji of",
    "show me", "draw me", "please draw", "i would like", "i want", "make", "here is", "there is",
    "my friend has", "we saw", "i dreamt of", "look at", "somebody sent me", "what about", "he has",
    "she has", "he likes", "she bought", "we found", "they want", "i see", "this is", "he gave her",
    "she brought me", "i am", "we eat", "he holds", "they play with", "she plays", "it is",
    "can you draw", "once there was", "i lost", "we need", "a pair of", "a piece of", "a slice of",
    "a cup of", "a glass of", "a bunch of", "a plate of", "a lot of", "the story of",
)  # fmt: skip
_ENDINGS = (
    "in the rain", "in the snow", "at night", "in the morning", "on a white background", "for me",
    "for you", "please", "on a sunny day", "by the sea", "at a party", "in winter",
    "in summer", "on holiday", "and nothing else", "that i like", "who waits for a bus", "today",
    "with a shadow", "at home", "in the evening", "sleeps", "runs", "walks", "stands there",
    "sings", "swims", "flies away", "is here", "is happy", "is on fire", "was lost", "waits",
    "sits down", "laughs", "looks at me", "arrives", "dances", "jumps", "is broken", "falls down",
    "goes home", "drives fast", "plays", "works", "at work", "very slowly", "and friends",
    "far away", "alone",
)  # fmt: skip
_BESIDE = (
    "in a", "in the", "on a", "on the", "under the", "next to a", "in front of the", "near the",
    "with a", "with the", "without a", "and a", "behind a", "from the", "for the", "at the",
    "like a", "over the", "through the", "by the", "sleeps on the", "stands on a", "walks to the",
    "sits in a", "jumps into the", "swims in the", "drives to the", "plays in the", "runs from a",
    "eats a", "looks for the", "waits for a", "wants a", "wears a", "dreams of a", "and some",
    "flies over the",
)  # fmt: skip
_PLACES = (
    "house", "city", "street", "garden", "park", "forest", "beach", "sea", "river", "mountain",
    "table", "chair", "wall", "window", "room", "kitchen", "box", "road", "school", "water", "sky",
    "grass", "field", "floor", "desk", "shop", "town", "village", "bed", "lake", "family", "world",
)  # fmt: skip
_ADJECTIVES = (
    "small", "big", "little", "nice", "cute", "happy", "sad", "old", "new", "funny", "lovely",
    "beautiful", "tiny", "huge", "shiny", "single", "simple", "friendly", "strange", "colourful",
    "young", "tired", "sleepy", "clever", "strong", "fast", "slow", "cold", "warm", "fresh", "good",
    "red", "blue", "green", "yellow", "white", "pink", "very big", "really nice", "own", "first",
)  # fmt: skip
_NUMBERS = ("two", "three", "many", "some", "a few", "all")
FILLERS = _OPENINGS + _ENDINGS + _BESIDE + _PLACES + _ADJECTIVES + _NUMBERS
"""Words around a label that change nothing of the picture."""

_SAID = 0.12
"""How often a caption names the style."""

_NO_NOUN = re.compile(r"with|without|and|for|the|from|over|not|other|medium|dark|light|facing")


@dataclass(frozen=True)
class Caption:
    """What emojibase says of an emoji. An expression is a face: adjectives would change it.

    nouns: words that, alone in a sentence, mean this picture and no other.
    """

    label: str
    tags: Sequence[str]
    is_expression: bool = False
    nouns: Sequence[str] = ()


def nouns(described: Sequence[tuple[str, Sequence[str]]]) -> list[list[str]]:
    """For each label with its tags the words that mean it; each word means one picture only.

    An everyday word means what `everyday` says. Any other means the picture that it describes best:
    the one that has it for a label, then the one in whose label and tags it is the largest part.
    The last word of a label counts twice.
    """
    best: dict[str, tuple[float, int]] = {}
    for number, (label, tags) in enumerate(described):
        for word, share in _shares(label, tags).items():
            if word not in EVERYDAY and share > best.get(word, (0.0, 0))[0]:
                best[word] = (share, number)

    found: list[list[str]] = [[] for _ in described]
    numbers = {label: number for number, (label, _) in enumerate(described)}
    best |= {word: (1.0, numbers[label]) for word, label in EVERYDAY.items() if label in numbers}
    for word, (_, number) in sorted(best.items()):
        found[number].append(word)

    return found


def _shares(label: str, tags: Sequence[str]) -> Mapping[str, float]:
    spoken = label.lower()
    parts = re.findall(r"[^\W\d_]+", spoken)
    described = [*parts, *parts[-1:], *(tag.lower() for tag in tags)]
    words = {word for word in described if len(word) > 2 and not _NO_NOUN.fullmatch(word)}

    return {
        word: 1.0 if word == spoken else described.count(word) / (len(described) + 1)
        for word in words
    }


def mentioned(captions: Sequence[Caption]) -> list[str]:
    """What sentences may mention beside a picture: all words that mean one, in order."""
    return sorted({word for one in captions for word in one.nouns}) or list(_PLACES)


def caption(of: Caption, random: Random, others: Sequence[str] = _PLACES) -> str:
    """A random prompt for the picture; one in ten is empty, for classifier-free guidance.

    others: other things that a sentence may mention.
    """
    label = _spelt(of.label, random)
    choice = random.random()
    if choice < 0.1:
        return ""

    if choice < 0.45:
        return f"a {label}"

    if choice < 0.52:
        return random.choice(("{}", "the {}", f"{_article(label)} {{}}")).format(label)

    if choice < 0.60:
        return ", ".join([label, *_some(of.tags, random)])

    if choice < 0.64 and len(of.tags) > 2:
        return " ".join(_some(of.tags, random, at_least=2))

    if choice < 0.66:
        left = _with_words_dropped(label, random)

        return f"a {left if EVERYDAY.get(left, of.label) == of.label else label}"

    if choice < 0.72 and of.nouns:
        return f"a {random.choice(of.nouns)}"

    return _sentence(of, label, random, others)


def in_style(text: str, style: Style, random: Random) -> str:
    """The caption, which sometimes names the style."""
    if not text or random.random() >= _SAID:
        return text

    words = random.choice(style.words)

    return random.choice((f"{text}, {words}", f"{text} {words}", f"{words} {text}"))


def _spelt(label: str, random: Random) -> str:
    """As emojibase spells it, or as people type it: plain quotes, "flag of Chad"."""
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


def _several(noun: str) -> str:
    if noun.endswith(("x", "ch", "sh")):
        return f"{noun}es"

    return f"{noun[:-1]}ies" if re.search(r"[^aeiou]y$", noun) else f"{noun}s"


def _some(tags: Sequence[str], random: Random, at_least: int = 0) -> list[str]:
    count = random.randint(min(at_least, len(tags)), min(len(tags), 5))

    return random.sample(list(tags), count)


def _with_words_dropped(label: str, random: Random) -> str:
    words = label.split()
    if len(words) > 1:
        words.pop(random.randrange(len(words)))

    return " ".join(words)


def _sentence(of: Caption, label: str, random: Random, others: Sequence[str]) -> str:
    """A sentence that names the picture first; the model learns to ignore the rest."""
    noun = random.choice(of.nouns) if of.nouns and random.random() < 0.5 else label
    article = random.choice(("a", "a", "the", "the", _article(noun), "my", "your", "one", "his"))
    if random.random() < 0.1 and not noun.endswith("s"):
        noun, article = _several(noun), random.choice(("", "the", "my", *_NUMBERS))

    if not of.is_expression and random.random() < 0.45:
        noun = f"{random.choice(_ADJECTIVES)} {noun}"

    parts = [random.choice(_OPENINGS)] if random.random() < 0.4 else []
    parts += [article, noun]
    if random.random() < 0.5:
        beside = random.choice(_PLACES if random.random() < 0.4 else others)
        parts += [random.choice(_BESIDE), beside]

    if random.random() < 0.5:
        parts.append(random.choice(_ENDINGS))

    return " ".join(part for part in parts if part)
