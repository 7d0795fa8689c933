"""How the shipped model was made: the training runs, can be broken off, and can be repeated."""

import io
import json
import tarfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

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
from training.captions import FILLERS, Caption, caption, in_style, nouns
from training.codes import encode_all, fit
from training.denoiser import DENOISER, shades_of, suiting
from training.evaluate import BARS, NOUNS, Gallery, missed
from training.everyday import EVERYDAY
from training.loop import Schedule, train
from training.reader import (
    READER,
    WORDS,
    caption_embeddings,
    ideal_embeddings,
    ids_of,
    new_text_encoder,
    new_tokenizer,
    teach,
    train_reader,
)
from training.recipe import captions_of, pictures_of, prompts_of, train_model
from training.styles import STYLES, drawings, fetch, key, picture
from training.workers import learn_together

# diffusers makes arrays of tensors in a way that numpy announces as going away.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

COLOURS = ("red", "green", "blue", "orange")

READ = replace(READER, steps=15, checkpoint_every=15, warm_up=5, average=0.5)
"""Enough to tell five emoji apart."""


@pytest.fixture
def emoji(tmp_path: Path) -> list[source.Emoji]:
    """Four discs and what they are called, drawn in as many styles: rings of different widths."""
    labels = tmp_path / "data.json"
    known = [
        {"hexcode": f"1F53{number}-FE0F", "label": f"{colour} disc", "tags": ["round"], "group": 7}
        for number, colour in enumerate(COLOURS)
    ]
    known += [
        {"hexcode": "1F600", "label": "not drawn", "group": 7},
        {"hexcode": "1F530", "label": "one o’clock", "group": 7},
        {"hexcode": "1F531", "label": "flag: Chad", "group": source.FLAGS},
        {"hexcode": "1F532", "label": "pirate flag", "group": source.FLAGS},
    ]
    labels.write_text(json.dumps(known))

    return source.read(labels, [drawings(package(tmp_path / style.name)) for style in STYLES])


def package(folder: Path) -> Path:
    """A style's package, with a file for each disc."""
    (folder / "assets").mkdir(parents=True)
    width = 20 + 15 * [style.name for style in STYLES].index(folder.name)
    for number, colour in enumerate(COLOURS):
        disc = Image.new("RGBA", (256, 256))
        ImageDraw.Draw(disc).ellipse((30, 30, 200, 200), outline=colour, width=width)
        disc.save(folder / f"assets/1f53{number}.webp", lossless=True)

    return folder


def trained(
    emoji: Sequence[source.Emoji],
    out: Path,
    work: Path,
    *,
    start: Path | None = None,
    steps: int = 4,
) -> Path:
    def short(schedule: Schedule) -> Schedule:
        return replace(schedule, steps=steps, checkpoint_every=2)

    train_model(
        emoji,
        out,
        work,
        start,
        decoder=short(DECODER),
        encoder=short(ENCODER),
        reader=short(READER),
        denoiser=short(DENOISER),
    )

    return out


def test_a_few_steps_give_a_model_that_the_bot_can_use(
    emoji: list[source.Emoji], tmp_path: Path
) -> None:
    model = trained(emoji, tmp_path / "model", tmp_path / "work", steps=2)

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
def test_training_goes_on_from_a_models_weights(emoji: list[source.Emoji], tmp_path: Path) -> None:
    model = trained(emoji, tmp_path / "model", tmp_path / "work")

    begun = trained(emoji, tmp_path / "more", tmp_path / "work-more", start=model, steps=0)

    for part in ("vae", "unet"):
        file = f"{part}/diffusion_pytorch_model.safetensors"
        assert (begun / file).read_bytes() == (model / file).read_bytes()


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


def test_what_people_vote_on_is_learnt_if_all_styles_have_drawn_it(
    emoji: list[source.Emoji],
) -> None:
    labels = [f"{colour} disc" for colour in COLOURS]

    assert [one.label for one in emoji] == [*labels, "pirate flag"]
    assert all(len(one.drawings) == len(STYLES) for one in emoji)


def test_pictures_stand_on_white(emoji: list[source.Emoji]) -> None:
    pixels = picture(emoji[0].drawings[0])

    assert pixels.shape == (128, 128, 3)
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[57, 18].tolist() == [255, 0, 0]


def test_svg_images_are_found_by_their_characters_and_drawn(tmp_path: Path) -> None:
    pytest.importorskip("resvg_py")
    body = '<path fill="#f00" d="M0 0h32v32H0z"/>'
    (tmp_path / "icons.json").write_text(
        json.dumps({"width": 32, "icons": {"square": {"body": body}}})
    )
    (tmp_path / "chars.json").write_text(json.dumps({"1f7e5-fe0f": "square", "1f7e6": "gone"}))

    found = drawings(tmp_path)

    assert list(found) == [key("1F7E5")]
    assert picture(found["1f7e5"])[64, 64].tolist() == [255, 0, 0]


def test_a_package_is_fetched_once_with_npm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "any.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("package/en/data.json"), io.BytesIO())

    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    npm = bin_folder / "npm"
    npm.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\ncp {archive} .\necho any.tgz\n')
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(bin_folder), prepend=":")

    for _ in range(2):
        found = fetch(source.LABELS, tmp_path / "packages")

    assert (found / "en/data.json").exists()
    assert (tmp_path / "asked").read_text().splitlines() == [f"pack --silent {source.LABELS}"]


def test_the_codes_keep_most_of_a_picture(emoji: list[source.Emoji]) -> None:
    pictures = pictures_of(emoji)
    codes = fit(pictures)
    encoded = encode_all(codes, pictures)

    assert encoded.shape == (len(emoji), len(STYLES), 24, 8, 8)
    patches = encoded[0, 0].permute(1, 2, 0) / codes.scale @ codes.basis.T + codes.mean
    drawn = patches.view(8, 8, 3, 16, 16).permute(2, 0, 3, 1, 4).reshape(3, 128, 128)
    assert (drawn - (pictures[0, 0].float() / 127.5 - 1)).pow(2).mean() < 0.03


def test_a_caption_is_embedded_nearest_to_its_own_picture_in_all_styles(
    emoji: list[source.Emoji], tmp_path: Path
) -> None:
    captions = captions_of(emoji)
    tokenizer = new_tokenizer(captions)
    encoder = new_text_encoder(tokenizer, len(emoji))
    codes = torch.randn(len(emoji), len(STYLES), 24, 8, 8)
    known = train_reader(captions, tokenizer, encoder, tmp_path / "reader.pt", READ)
    teach(encoder, known, codes)

    ideal = ideal_embeddings(encoder, len(emoji))[:, WORDS:]
    texts = [f"a {one.label}" for one in emoji]
    captioned = caption_embeddings(encoder, tokenizer, texts)[:, WORDS:].float()

    apart = torch.cdist(captioned.flatten(1), ideal.flatten(1))
    assert apart.argmin(1).tolist() == list(range(len(emoji)))
    assert ids_of(tokenizer, ["a red disc"]).shape[1] < WORDS


def test_the_denoiser_is_trained_with_the_same_prompts_in_each_worker(
    emoji: list[source.Emoji],
) -> None:
    prompts = prompts_of(captions_of(emoji))

    assert prompts == prompts_of(captions_of(emoji))
    assert {len(texts) for texts in prompts} == {4}
    assert all(all(texts) for texts in prompts)
    assert len({tuple(texts) for texts in prompts}) == len(emoji)


def test_noise_suits_one_style_and_is_still_normal_over_all() -> None:
    generator = torch.Generator().manual_seed(1)
    codes = torch.randn(6, len(STYLES), 24, 8, 8, generator=generator)
    codes += torch.randn(1, len(STYLES), 24, 1, 1, generator=generator)  # what tells styles apart
    shades = shades_of(codes)
    style = torch.arange(4000) % len(STYLES)
    noise = torch.randn(len(style), 24, 8, 8, generator=generator)

    suits = suiting(noise, style, shades)

    means = suits.mean((2, 3))
    assert torch.equal((means @ shades.T).argmax(1), style)
    assert torch.allclose(suits.pow(2).sum((1, 2, 3)), noise.pow(2).sum((1, 2, 3)), rtol=1e-4)
    assert torch.allclose(suiting(suits, style, shades), suits)
    assert (means.mean(0) * 8).abs().max() < 0.07  # of 4,000: a standard error is 0.016
    assert (means.std(0) * 8 - 1).abs().max() < 0.05
    apart = codes.mean((0, 3, 4)) - codes.mean((0, 1, 3, 4))
    assert torch.equal((apart @ shades.T).argmax(1), torch.arange(len(STYLES)))


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
        ["animal", "dog", "doggy", "pet", "puppy"],
        ["frankfurter", "hot", "sausage"],
        ["beverage", "coffee", "cup of coffee", "drink", "tea"],
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


def test_a_caption_may_ask_for_a_style() -> None:
    flat = STYLES[1]
    made = [in_style("a fox", flat, Random(number)) for number in range(1000)]

    asking = [text for text in made if text != "a fox"]
    assert 60 < len(asking) < 200
    assert all(any(words in text for words in flat.words) for text in asking)
    assert in_style("", flat, Random(1)) == ""


def test_an_everyday_word_means_one_picture() -> None:
    described = [("cat face", ("cat",)), ("cat", ("animal",)), ("black cat", ("cat", "unlucky"))]

    owned = nouns(described)

    assert "cat" in owned[1]
    assert not any("cat" in words for words in (owned[0], owned[2]))
    assert sum(caption(Caption("cat face", ()), Random(n)) == "a cat" for n in range(2000)) == 0


def test_every_everyday_noun_that_is_measured_means_a_picture_that_counts() -> None:
    assert len(NOUNS) == 60
    assert all(EVERYDAY[noun] in labels for noun, labels in NOUNS.items())


def test_the_gallery_knows_a_drawing_and_its_style(emoji: list[source.Emoji]) -> None:
    gallery = Gallery(emoji)
    drawn = Image.fromarray(picture(emoji[1].drawings[2]))

    assert gallery.likeness(drawn, ["green disc"]) > 0.99
    assert gallery.style(drawn, ["green disc"]) == STYLES[2].name


def test_a_figure_below_its_bar_is_named() -> None:
    figures = {kind: {name: 1.0 for other, name in BARS if other == kind} for kind, _ in BARS}

    assert missed({**figures, "seconds_for_four": 1.0}) == []
    assert missed({**figures, "labels": {"recognised": 0.5}, "seconds_for_four": 9.0}) == [
        "labels, recognised: 0.500, must be 0.9",
        "seconds_for_four: 9.0, must be 5.0",
    ]
