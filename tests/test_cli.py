"""The commands as a moderator uses them: sentences, never tracebacks, and honest exit statuses."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from benchmarks.startup import HEAVY
from bot.cli.env_file import DEFAULT_ENV_FILE, settings_from
from bot.cli.exit_status import Exit
from bot.commands import app
from bot.configuration import repository_settings
from bot.settings import Settings
from storage import offline

OXHERD = [sys.executable, "-m", "bot"]
ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def no_env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands run in a folder without a file of settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def oxherd(*arguments: str, **environment: str) -> Result:
    """Run a command in this process with only these settings; it must not raise."""
    done = CliRunner().invoke(app, arguments, env=environment)
    assert isinstance(done.exception, SystemExit | None), done.exc_info

    return done


def test_without_arguments_it_helps() -> None:
    done = oxherd()

    for command in (
        "run",
        "demo",
        "doctor",
        "sync-commands",
        "status",
        "snapshot",
        "backup",
        "rebuild-journal",
        "take-over",
        "log",
        "replay",
    ):
        assert re.search(rf"^│ {command}\s", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("command", ["--help", "status"])
def test_commands_that_must_answer_at_once_import_no_large_library(command: str) -> None:
    traced = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "bot", command],
        capture_output=True,
        text=True,
        check=False,
    )

    imported = {line.rpartition("|")[2].strip() for line in traced.stderr.splitlines()}
    assert "bot.commands" in imported
    assert not imported & set(HEAVY)


@pytest.mark.parametrize("command", ["run", "sync-commands"])
def test_without_a_token_it_says_where_to_get_one(command: str) -> None:
    done = subprocess.run([*OXHERD, command], capture_output=True, text=True, check=False)

    assert done.returncode == 78
    assert done.stderr.startswith("oxherd: OXHERD_TOKEN is not set.")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["run", "doctor", "status", "snapshot", "log"])
def test_an_unknown_setting_stops_every_command(command: str) -> None:
    done = oxherd(command, OXHERD_MODLE="x")

    assert done.exit_code == 78
    assert "OXHERD_MODLE is not a setting of oxherd. Did you mean OXHERD_MODEL?" in done.stderr


def test_an_unreadable_env_file_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"\xff\xfe")

    done = oxherd("status")

    assert done.exit_code == 78
    assert ".env cannot be read" in done.stderr


def test_a_named_env_file_that_is_not_there_is_a_sentence() -> None:
    done = oxherd("status", "--env-file", "typo.env")

    assert done.exit_code == 78
    assert done.stderr == "oxherd: typo.env does not exist.\n"


def test_a_port_that_cannot_be_is_wrong_usage() -> None:
    assert oxherd("demo", "--port", "99999").exit_code == 2


def test_a_data_folder_that_cannot_be_used_is_a_setting_to_change(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")

    token = ".".join(["M" * 26, "G" * 6, "x" * 38])
    done = oxherd("run", OXHERD_DATA=str(tmp_path / "data"), OXHERD_TOKEN=token)

    assert done.exit_code == 78
    assert "data is a file, not a folder" in done.stderr


def test_status_without_a_bot_says_so(tmp_path: Path) -> None:
    done = oxherd("status", "--check", OXHERD_DATA=str(tmp_path))

    assert done.exit_code == 1
    assert done.stderr == f"oxherd: No bot is running on {tmp_path}.\n"


def test_wrong_usage_has_its_own_status() -> None:
    assert oxherd("log", "--limit", "many").exit_code == 2


def test_log_and_snapshot_without_a_dataset_are_sentences(tmp_path: Path) -> None:
    for command in ("log", "snapshot", "rebuild-journal"):
        done = oxherd(command, OXHERD_DATA=str(tmp_path / "nothing"))

        assert done.exit_code == 1
        assert done.stderr.startswith("oxherd: ")


def test_a_dataset_without_votes_has_one_commit_and_no_snapshot(tmp_path: Path) -> None:
    settings = Settings.model_validate({"data": tmp_path})

    found = offline.check_repository(tmp_path, repository_settings(settings))
    done = oxherd("snapshot", OXHERD_DATA=str(tmp_path))

    assert found.endswith("opens, 1 commit")
    assert done.output == "There are no votes yet, so there is no train.csv.\n"


def test_a_dataset_of_a_different_journal_needs_a_person(tmp_path: Path) -> None:
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "mine.txt").write_text("not oxherd's")

    done = oxherd("log", OXHERD_DATA=str(tmp_path))

    assert done.exit_code == Exit.SETTINGS
    assert done.stderr.startswith(f"oxherd: {tmp_path / 'dataset'}")


def test_take_over_without_a_remote_says_which_setting_is_missing(tmp_path: Path) -> None:
    done = oxherd("take-over", OXHERD_DATA=str(tmp_path))

    assert done.exit_code == 78
    assert done.stderr.startswith("oxherd: OXHERD_REMOTE is not set")


def test_doctor_says_ok_or_what_to_do(tmp_path: Path) -> None:
    done = oxherd("doctor", OXHERD_DATA=str(tmp_path / "data"), OXHERD_BACKEND="placeholder")

    assert done.exit_code == 1
    for subject in ("token", "data folder", "model", "remote"):
        assert subject in done.stdout
    assert "to do" in done.stdout
    assert not (tmp_path / "data").exists()
    assert "OXHERD_TOKEN is not set" in " ".join(done.stdout.split())


def test_doctor_says_that_others_can_open_the_data_folder(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o755)

    done = oxherd("doctor", OXHERD_DATA=str(tmp_path / "data"), OXHERD_BACKEND="placeholder")

    assert done.exit_code == 1
    said = " ".join(done.stdout.split())
    assert "has mode 755, so other users of this host can read prompts" in said


def test_doctor_is_content_when_all_is_there(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o700)

    done = oxherd(
        "doctor",
        OXHERD_DATA=str(tmp_path / "data"),
        OXHERD_BACKEND="placeholder",
        OXHERD_MORE_MODELS="somebody/green",
        OXHERD_TOKEN=".".join(["M" * 26, "G" * 6, "x" * 38]),
    )

    assert done.exit_code == 0
    assert "model green" in done.stdout
    for subject in ("disk", "journal", "repository"):
        assert subject in done.stdout
    assert not [line for line in done.stdout.splitlines()[1:] if " to do " in line]


def test_no_process_that_is_started_later_inherits_the_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OXHERD_TOKEN", "a secret")
    monkeypatch.setenv("OXHERD_REMOTE_TOKEN", "a secret")

    settings = settings_from(DEFAULT_ENV_FILE)

    assert settings.token is not None
    assert settings.remote_token is not None
    assert b"a secret" not in subprocess.run(["env"], stdout=subprocess.PIPE, check=True).stdout


def test_the_readme_writes_the_token_where_only_its_user_can_read_it(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = [line for line in readme.splitlines() if " .env " in line]
    (tmp_path / ".env").touch(mode=0o644)

    subprocess.run(["sh", "-ec", "\n".join(commands)], input=b"OXHERD_TOKEN=x\n", check=True)

    assert (tmp_path / ".env").read_text(encoding="utf-8") == "OXHERD_TOKEN=x\n"
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600


def test_the_demo_stops_on_sigterm_with_status_zero(tmp_path: Path) -> None:
    with subprocess.Popen(
        [*OXHERD, "demo", "--no-open", "--port", "0", "--data", str(tmp_path / "demo")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as demo:
        assert demo.stdout is not None
        lines = [demo.stdout.readline() for _ in range(2)]
        demo.send_signal(signal.SIGTERM)
        _, complaints = demo.communicate(timeout=60)

    assert "http://127.0.0.1:" in "".join(lines)
    assert demo.returncode == 0
    assert "Traceback" not in complaints


def test_forget_says_what_was_taken_out_and_what_was_not(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "dataset").mkdir(parents=True)
    (data / "set-aside" / "journal-1").mkdir(parents=True)
    (data / "set-aside" / "journal-1" / "journal.sqlite3").touch()

    done = oxherd("forget", "80351110224678912", "--requests", OXHERD_DATA=str(data))

    assert done.exit_code == 0
    assert "Forgotten: 0 votes and 0 requests" in done.output
    assert "Not changed: the dataset's history" in done.output
    assert "is an older journal" in done.output


def test_a_consent_text_that_cannot_be_shown_is_a_sentence(tmp_path: Path) -> None:
    text = tmp_path / "text.md"
    for content in (b"", b"x" * 1_501, b"\xff"):
        text.write_bytes(content)
        done = oxherd("consent", "1", str(text), OXHERD_DATA=str(tmp_path / "data"))

        assert done.exit_code == 2
        assert str(text) in done.stderr
