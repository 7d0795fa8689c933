"""What the demo draws with: the shipped model, or without torch what draws without."""

from pathlib import Path

import pytest

from bot.demo.run import EMOJI, PLACEHOLDER, WELCOME, demo_settings, run_demo
from bot.errors import CannotDemo
from generation.emoji import GUIDANCE, MODEL, STEPS
from generation.request import Size
from storage.errors import JournalInUse
from storage.folder import DataFolder
from storage.journal.file import JournalFile


def test_the_demo_draws_with_the_shipped_model_at_its_best(tmp_path: Path) -> None:
    settings = demo_settings(tmp_path)

    assert (settings.backend, settings.model) == ("diffusers", str(MODEL))
    assert (settings.default_steps, settings.default_guidance) == (STEPS, GUIDANCE)
    assert settings.sizes == (Size(128, 128),)


def test_asked_to_it_draws_without_a_model_at_the_same_size(tmp_path: Path) -> None:
    settings = demo_settings(tmp_path, placeholder=True)

    assert settings.backend == "placeholder"
    assert settings.sizes == demo_settings(tmp_path).sizes


async def test_without_torch_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "bot.demo.run.find_spec", lambda name: None if name == "torch" else object()
    )

    with pytest.raises(CannotDemo, match=r"pip install 'oxherd\[demo,gpu\]'.*--placeholder"):
        await run_demo(data=tmp_path, port=0, members=["alice"], open_browser=False)


def test_without_a_model_the_demo_does_not_speak_of_emoji() -> None:
    assert "emoji" in WELCOME.format(model=EMOJI)
    assert "emoji" not in WELCOME.format(model=PLACEHOLDER)


@pytest.mark.stalls("simcord is imported")
async def test_its_address_is_printed_only_once_it_can_start(tmp_path: Path) -> None:
    said: list[str] = []
    with JournalFile.open(DataFolder(tmp_path).journal), pytest.raises(JournalInUse):
        await run_demo(
            data=tmp_path,
            port=0,
            members=["alice"],
            open_browser=False,
            placeholder=True,
            say=said.append,
        )

    assert said == []
