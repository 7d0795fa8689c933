"""How the shipped model was made: the training runs, can be broken off, and can be repeated."""

import io
import json
import tarfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torch.multiprocessing.spawn import ProcessRaisedException

from generation.diffusion.backend import DiffusersBackend
from generation.worker.specs import DiffusersSpec
from tests.support.generation.lesson import SCHEDULE, a_model, fail, learn, loss_of
from tests.support.generation.requests import Onlooker, a_request
from training import emoji as source
from training.autoencoder import DECODER, ENCODER
from training.captions import FILLERS, Caption, caption, nouns
from training.codes import encode_views, fit
from training.denoiser import DENOISER, READER
from training.loop import Schedule, train
from training.nearest import Gallery, least_apart, share_found, small
from training.recipe import train_model
from training.views import VIEWS, both_ways, lit, views_of
from training.workers import learn_together

# diffusers makes arrays of tensors in a way that numpy announces as going away.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

COLOURS = ("red", "green", "blue", "orange")


@pytest.fixture
def emoji(tmp_path: Path) -> list[source.Emoji]:
    """Four discs and what they are called, in the two packages' layout."""
    return source.read(*packages(tmp_path / "packages"))


def packages(folder: Path) -> tuple[Path, Path]:
    pictures, labels = folder / "assets", folder / "data.json"
    pictures.mkdir(parents=True)
    for number, colour in enumerate(COLOURS):
        disc = Image.new("RGBA", (256, 256))
        ImageDraw.Draw(disc).ellipse((30, 30, 200, 200), fill=colour)
        disc.save(pictures / f"1f53{number}-fe0f.webp", lossless=True)

    known = [
        {"hexcode": f"1F53{number}", "label": f"{colour} disc", "tags": ["round"], "group": 7}
        for number, colour in enumerate(COLOURS)
    ]
    labels.write_text(json.dumps([*known, {"hexcode": "1F600", "label": "not drawn"}]))

    return pictures, labels


def short(schedule: Schedule) -> Schedule:
    return replace(schedule, steps=4, checkpoint_every=2)


def trained(emoji: Sequence[source.Emoji], out: Path, work: Path) -> Path:
    train_model(
        emoji,
        out,
        work,
        decoder=short(DECODER),
        encoder=short(ENCODER),
        reader=short(READER),
        denoiser=short(DENOISER),
    )

    return out


def test_a_few_steps_give_a_model_that_the_bot_can_use(
    emoji: list[source.Emoji], tmp_path: Path
) -> None:
    model = trained(emoji, tmp_path / "model", tmp_path / "work")

    backend = DiffusersBackend(DiffusersSpec(model=str(model)), device="cpu")
    backend.load()
    request = a_request("a red disc", seeds=(1, 2), steps=2, side_px=128)
    assert len(backend.generate(request, Onlooker()).images) == 2
    hashes = (model / "SHA256SUMS").read_text()
    assert {line.split("  ")[1] for line in hashes.splitlines()} == {
        file.relative_to(model).as_posix()
        for file in model.rglob("*")
        if file.is_file() and file.name != "SHA256SUMS"
    }


@pytest.mark.long
def test_the_same_pictures_give_the_same_weights(emoji: list[source.Emoji], tmp_path: Path) -> None:
    one = trained(emoji, tmp_path / "one", tmp_path / "work-one")
    other = trained(emoji, tmp_path / "other", tmp_path / "work-other")

    assert (one / "SHA256SUMS").read_text() == (other / "SHA256SUMS").read_text()


def test_what_was_broken_off_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    model = a_model()
    whole = train(model, loss_of(model), SCHEDULE, tmp_path / "whole.pt", title="whole")

    model = a_model()
    loss_at = loss_of(model)

    def breaking_off(part: int) -> torch.Tensor:
        if part == 7:
            raise KeyboardInterrupt

        return loss_at(part)

    with pytest.raises(KeyboardInterrupt):
        train(model, breaking_off, SCHEDULE, tmp_path / "part.pt", title="part")

    model = a_model()
    loss_now = loss_of(model)

    def going_on(part: int) -> torch.Tensor:
        assert part >= 6

        return loss_now(part)

    resumed = train(model, going_on, SCHEDULE, tmp_path / "part.pt", title="resumed")
    assert torch.equal(resumed["one.weight"], whole["one.weight"])


@pytest.mark.long
def test_two_workers_learn_what_one_would_from_both_parts(tmp_path: Path) -> None:
    model = a_model()
    loss_at = loss_of(model)

    def both(step: int) -> torch.Tensor:
        return (loss_at(2 * step) + loss_at(2 * step + 1)) / 2

    alone = train(model, both, SCHEDULE, tmp_path / "alone.pt", title="alone")
    learn_together(learn, tmp_path)
    one, other = (torch.load(tmp_path / f"worker-{n}.pt", weights_only=True) for n in range(2))

    assert torch.equal(one["one.weight"], other["one.weight"])
    assert torch.allclose(one["one.weight"], alone["one.weight"], atol=1e-5)


@pytest.mark.long
def test_a_worker_that_fails_ends_the_training_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(ProcessRaisedException, match="MemoryError"):
        learn_together(fail, tmp_path)


def test_the_pictures_stand_on_white_and_those_without_a_label_or_picture_are_left_out(
    emoji: list[source.Emoji],
) -> None:
    assert [one.label for one in emoji] == [f"{colour} disc" for colour in COLOURS]
    pixels = source.picture(emoji[0].file)
    assert pixels.shape == (128, 128, 3)
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[57, 57].tolist() == [255, 0, 0]


def test_packages_are_fetched_once_with_npm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "any.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        for name in ("package/assets/1f600.webp", "package/en/data.json"):
            tar.addfile(tarfile.TarInfo(name), io.BytesIO())

    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    npm = bin_folder / "npm"
    npm.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\ncp {archive} .\necho any.tgz\n')
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(bin_folder), prepend=":")

    for _ in range(2):
        pictures, labels = source.fetch(tmp_path / "packages")

    assert (pictures / "1f600.webp").exists()
    assert labels.exists()
    assert (tmp_path / "asked").read_text().splitlines() == [
        f"pack --silent {source.PICTURES}",
        f"pack --silent {source.LABELS}",
    ]


def test_views_begin_with_the_picture_and_its_mirror_image(emoji: list[source.Emoji]) -> None:
    pixels = torch.from_numpy(np.stack([source.picture(one.file) for one in emoji]))
    signs = [replace(one, group=source.SYMBOLS) for one in emoji]

    views, of_signs = views_of(pixels, emoji), views_of(pixels, signs)

    assert views.shape == (4, VIEWS, 3, 128, 128)
    assert torch.equal(views[:, 0].permute(0, 2, 3, 1), pixels)
    assert torch.equal(views[:, 1], views[:, 0].flip(3))
    assert least_apart(small(of_signs[0])) > 1  # nothing mirrored, and yet no two alike
    assert not emoji[0].label.startswith("left")
    assert not replace(emoji[0], label="left arrow").can_be_mirrored


def test_signs_are_not_mirrored(emoji: list[source.Emoji]) -> None:
    pixels = torch.from_numpy(np.stack([source.picture(one.file) for one in emoji]))
    some_signs = [replace(emoji[0], group=source.SYMBOLS), *emoji[1:]]

    ways = both_ways(views_of(pixels, some_signs), some_signs)

    assert torch.equal(ways[0, 1], ways[0, 0])
    assert torch.equal(ways[1:, 1], ways[1:, 0].flip(3))
    assert not torch.equal(ways[1, 1], ways[1, 0])


def test_light_changes_the_picture_and_leaves_white_white(emoji: list[source.Emoji]) -> None:
    pixels = torch.from_numpy(np.stack([source.picture(one.file) for one in emoji]))
    pictures = pixels.permute(0, 3, 1, 2).float()

    one = lit(pictures, torch.Generator().manual_seed(1))
    other = lit(pictures, torch.Generator().manual_seed(2))

    assert one.shape == pictures.shape
    assert (one[:, :, 0, 0] == 255).all()
    assert least_apart(small(torch.stack([pictures[0], one[0], other[0]]))) > 5
    again = lit(pictures, torch.Generator().manual_seed(1))
    assert torch.equal(one, again)


def test_the_codes_keep_most_of_a_picture(emoji: list[source.Emoji]) -> None:
    pixels = torch.from_numpy(np.stack([source.picture(one.file) for one in emoji]))
    views = views_of(pixels, emoji)
    codes = fit(views)
    encoded = encode_views(codes, views)

    assert encoded.shape == (4, VIEWS, 24, 8, 8)
    patches = encoded[0, 0].permute(1, 2, 0) / codes.scale @ codes.basis.T + codes.mean
    drawn = patches.view(8, 8, 3, 16, 16).permute(2, 0, 3, 1, 4).reshape(3, 128, 128)
    assert (drawn - (views[0, 0].float() / 127.5 - 1)).pow(2).mean() < 0.02


def test_captions_are_short_often_and_always_of_the_label_or_its_tags() -> None:
    of = Caption("fox", ("animal", "face", "clever"), nouns=("fox", "vixen"))
    made = Counter(caption(of, Random(number)) for number in range(4000))

    assert 0.3 < made["a fox"] / 4000 < 0.5
    assert 0.07 < made[""] / 4000 < 0.13
    words = {"fox", "foxes", "vixen", "vixens", *of.tags}
    assert all(words & set(text.replace(",", "").split()) for text in made if text)
    assert any(text.endswith("in the rain") for text in made)
    assert len(made) > 300


def test_a_word_means_the_one_picture_of_which_it_tells_most() -> None:
    described = [
        ("dog face", ("animal", "dog", "pet")),
        ("dog", ("animal", "pet")),
        ("hot dog", ("frankfurter", "sausage")),
        ("hot beverage", ("coffee", "drink")),
        ("sake", ("bar", "beverage", "bottle", "drink")),
    ]

    assert nouns(described) == [
        ["face"],
        ["animal", "dog", "pet"],
        ["frankfurter", "hot", "sausage"],
        ["beverage", "coffee", "drink"],
        ["bar", "bottle", "sake"],
    ]


def test_a_sentence_mentions_other_things_only_after_the_picture() -> None:
    fox = Caption("fox", (), nouns=("fox",))
    made = [caption(fox, Random(number), ["castle"]) for number in range(2000)]

    mentioning = [text for text in made if "castle" in text]
    assert len(mentioning) > 100
    assert all(text.index("fox") < text.index("castle") for text in mentioning)


def test_an_expression_gets_no_adjective_and_a_flag_is_asked_for_as_people_do() -> None:
    face = Caption("grinning face", ("happy",), is_expression=True)
    flag = Caption("flag: Chad", ("TD", "flag"))
    of_face = [caption(face, Random(number)) for number in range(2000)]
    of_flag = {caption(flag, Random(number)) for number in range(2000)}

    fox = Caption("fox", ())
    adjectives = {"friendly", "sad", "colourful"}
    assert adjectives <= set(FILLERS)
    assert not any(f"{word} grinning" in text for text in of_face for word in adjectives)
    assert any("friendly fox" in caption(fox, Random(number)) for number in range(2000))
    assert {"a flag: Chad", "a flag of Chad", "a Chad flag"} <= of_flag


def test_the_gallery_finds_the_emoji_in_any_of_its_views(emoji: list[source.Emoji]) -> None:
    pixels = torch.from_numpy(np.stack([source.picture(one.file) for one in emoji]))
    views = views_of(pixels, emoji)
    found = Gallery(views).nearest(small(views[:, 3]), 2)

    assert [row[0] for row in found] == [0, 1, 2, 3]
    assert share_found([row[:1] for row in found], [0, 1, 2, 0]) == 0.75
