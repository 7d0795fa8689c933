"""The commands as a moderator uses them: sentences, never tracebacks, and honest exit statuses."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

OXHERD = [sys.executable, "-m", "bot"]


def oxherd(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command with only these settings, and check that it never shows a traceback."""
    done = subprocess.run(
        [*OXHERD, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stdout + done.stderr

    return done


def test_without_arguments_it_helps(tmp_path: Path) -> None:
    done = oxherd(cwd=tmp_path)

    for command in (
        "run",
        "demo",
        "doctor",
        "sync-commands",
        "status",
        "snapshot",
        "log",
        "replay",
    ):
        assert re.search(rf"^│ {command}\s", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("command", ["run", "sync-commands"])
def test_without_a_token_it_says_where_to_get_one(command: str, tmp_path: Path) -> None:
    done = oxherd(command, cwd=tmp_path)

    assert done.returncode == 78
    assert done.stderr.startswith("oxherd: OXHERD_TOKEN is not set.")


@pytest.mark.parametrize("command", ["run", "doctor", "status", "snapshot", "log"])
def test_an_unknown_setting_stops_every_command(command: str, tmp_path: Path) -> None:
    done = oxherd(command, cwd=tmp_path, OXHERD_MODLE="x")

    assert done.returncode == 78
    assert "OXHERD_MODLE is not a setting of oxherd. Did you mean OXHERD_MODEL?" in done.stderr


def test_an_unreadable_env_file_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"\xff\xfe")

    done = oxherd("status", cwd=tmp_path)

    assert done.returncode == 78
    assert ".env cannot be read" in done.stderr


def test_a_named_env_file_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    done = oxherd("status", "--env-file", "typo.env", cwd=tmp_path)

    assert done.returncode == 78
    assert done.stderr == "oxherd: typo.env does not exist.\n"


def test_a_port_that_cannot_be_is_wrong_usage(tmp_path: Path) -> None:
    assert oxherd("demo", "--port", "99999", cwd=tmp_path).returncode == 2


def test_status_without_a_bot_says_so(tmp_path: Path) -> None:
    done = oxherd("status", "--check", cwd=tmp_path, OXHERD_DATA=str(tmp_path))

    assert done.returncode == 1
    assert done.stderr == f"oxherd: No bot is running on {tmp_path}.\n"


def test_wrong_usage_has_its_own_status(tmp_path: Path) -> None:
    assert oxherd("log", "--limit", "many", cwd=tmp_path).returncode == 2


def test_log_and_snapshot_without_a_dataset_are_sentences(tmp_path: Path) -> None:
    for command in ("log", "snapshot"):
        done = oxherd(command, cwd=tmp_path, OXHERD_DATA=str(tmp_path / "nothing"))

        assert done.returncode == 1
        assert done.stderr.startswith("oxherd: ")


def test_doctor_says_ok_or_what_to_do(tmp_path: Path) -> None:
    done = oxherd(
        "doctor", cwd=tmp_path, OXHERD_DATA=str(tmp_path / "data"), OXHERD_BACKEND="placeholder"
    )

    assert done.returncode == 1
    for subject in ("token", "data folder", "disk", "journal", "repository", "model", "remote"):
        assert subject in done.stdout
    assert "to do" in done.stdout
    assert "OXHERD_TOKEN is not set" in " ".join(done.stdout.split())


def test_doctor_is_content_when_all_is_there(tmp_path: Path) -> None:
    done = oxherd(
        "doctor",
        cwd=tmp_path,
        OXHERD_DATA=str(tmp_path / "data"),
        OXHERD_BACKEND="placeholder",
        OXHERD_MORE_MODELS="somebody/green",
        OXHERD_TOKEN=".".join(["M" * 26, "G" * 6, "x" * 38]),
    )

    assert done.returncode == 0
    assert "model green" in done.stdout
    assert not [line for line in done.stdout.splitlines()[1:] if " to do " in line]


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
