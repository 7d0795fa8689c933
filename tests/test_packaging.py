"""What is shipped: locked versions, the Dockerfile, the changelog, and cheap imports."""

import re
import subprocess
import sys
import tomllib
from datetime import date
from pathlib import Path
from typing import ClassVar

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
CONFIGURATION = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = CONFIGURATION["project"]
LOCKS = ("build", "demo", "dev", "gpu", "quantized", "ray")


def locked(name: str) -> dict[str, str]:
    """Distribution -> version in a lock file."""
    pins = re.findall(r"^([\w.-]+)==(\S+)", (ROOT / f"locks/{name}.txt").read_text(), re.MULTILINE)

    return {canonicalize_name(distribution): version for distribution, version in pins}


def wanted(*extras: str) -> list[Requirement]:
    """What pyproject.toml asks for."""
    texts = [*PROJECT["dependencies"]]
    for extra in extras:
        texts += PROJECT["optional-dependencies"][extra]

    return [r for r in map(Requirement, texts) if r.name != "oxherd"]


@pytest.mark.parametrize(
    ("lock", "extras"),
    [
        ("demo", ["demo"]),
        ("gpu", ["gpu", "safety"]),
        ("ray", ["ray"]),
        ("quantized", ["quantized"]),
        ("dev", ["demo", "gpu", "ray", "safety", "dev"]),
    ],
    ids=["demo", "gpu", "ray", "quantized", "dev"],
)
def test_every_dependency_is_locked_at_a_version_it_allows(lock: str, extras: list[str]) -> None:
    pins = locked(lock)

    for requirement in wanted(*extras):
        assert Version(pins[canonicalize_name(requirement.name)]) in requirement.specifier


def test_what_builds_the_wheel_is_locked_at_the_version_it_asks_for() -> None:
    pins = locked("build")

    for requirement in map(Requirement, CONFIGURATION["build-system"]["requires"]):
        assert Version(pins[canonicalize_name(requirement.name)]) in requirement.specifier


def test_the_locks_agree_with_each_other() -> None:
    everything = locked("dev")

    for name in ("demo", "gpu", "ray"):
        assert locked(name).items() <= everything.items()

    for distribution, version in (*locked("build").items(), *locked("quantized").items()):
        assert everything.get(distribution, version) == version


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_hashes_and_names_no_index(lock: str) -> None:
    text = (ROOT / f"locks/{lock}.txt").read_text()

    assert "://" not in text
    assert text.count("==") <= text.count("--hash=sha256:")


def test_the_changelog_begins_with_the_version_and_its_date() -> None:
    headings = re.findall(r"^## (.*)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    [(newest, _), *_] = dated = [heading.split(" - ") for heading in headings]

    assert newest == PROJECT["version"]
    assert [day for _, day in dated] == sorted((day for _, day in dated), reverse=True)
    assert all(date.fromisoformat(day) for _, day in dated)


@pytest.mark.parametrize("file", [".github/workflows/ci.yml", ".pre-commit-config.yaml", ".ci/run"])
def test_what_runs_by_itself_calls_the_make_targets(file: str) -> None:
    called = re.findall(
        r"^(?:.*(?:run|entry): )?make (\S+)$", (ROOT / file).read_text(), re.MULTILINE
    )
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)

    assert "check" in called
    assert set(called) <= set(targets)


class TestDockerfile:
    """Dockerfile.gpu against pyproject.toml; no Docker engine is needed."""

    text = (ROOT / "Dockerfile.gpu").read_text().replace("\\\n", " ")
    lines: ClassVar = [line.split(maxsplit=1) for line in text.splitlines() if line[:1].isupper()]

    def told(self, instruction: str) -> list[str]:
        return [rest for name, rest in self.lines if name == instruction]

    def test_the_python_is_one_that_the_project_supports(self) -> None:
        for image in self.told("FROM"):
            version = re.match(r"python:(\d+\.\d+)-slim", image)
            assert version is not None
            assert PROJECT["requires-python"] == f">={version[1]}"

    def test_the_versions_are_the_locked_ones(self) -> None:
        [install] = [run for run in self.told("RUN") if "--require-hashes" in run]

        assert "--no-deps --require-hashes -r locks/gpu.txt" in install
        assert "--no-deps --require-hashes -r locks/build.txt" in install

    def test_the_wheel_is_built_with_the_locked_versions(self) -> None:
        [wheel] = [run for run in self.told("RUN") if "pip wheel" in run]

        assert "--no-build-isolation" in wheel

    def test_every_package_of_the_wheel_is_copied_and_nothing_else_of_the_source(self) -> None:
        packages = CONFIGURATION["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
        copied = [rest.split()[0] for rest in self.told("COPY") if not rest.startswith("--from")]

        assert set(packages) <= set(copied)
        assert "." not in copied
        ignored = (ROOT / ".dockerignore").read_text()
        for path in [
            *packages,
            "locks/build.txt",
            "locks/gpu.txt",
            "pyproject.toml",
            *PROJECT["license-files"],
        ]:
            assert f"!{path}\n" in ignored

    def test_the_entry_is_a_console_script_in_exec_form(self) -> None:
        [entry], [command] = self.told("ENTRYPOINT"), self.told("CMD")

        assert entry == '["oxherd"]'
        assert "oxherd" in PROJECT["scripts"]
        assert command == '["run"]'
        assert self.told("STOPSIGNAL") == ["SIGTERM"]

    def test_it_runs_as_a_numbered_user(self) -> None:
        assert self.told("USER") == ["10001:10001"]
        names = [name for name, _ in self.lines]
        assert names.index("USER") < names.index("ENTRYPOINT")

    def test_state_is_on_volumes(self) -> None:
        assert self.told("VOLUME") == ['["/data", "/models"]']
        [environment] = self.told("ENV")
        assert "OXHERD_DATA=/data" in environment
        assert "HF_HOME=/models" in environment

    def test_the_health_check_asks_the_running_bot(self) -> None:
        [check] = self.told("HEALTHCHECK")

        assert check.endswith('["oxherd", "status", "--check"]')


@pytest.mark.parametrize("arguments", [["--help"], ["status", "--help"], ["status"]], ids=" ".join)
def test_the_command_line_imports_neither_torch_nor_oxen(
    arguments: list[str], tmp_path: Path
) -> None:
    script = (
        "import sys\n"
        f"sys.argv = ['oxherd', *{arguments!r}]\n"
        "from bot.__main__ import main\n"
        "try:\n"
        "    main()\n"
        "except SystemExit:\n"
        "    pass\n"
        "heavy = {'torch', 'diffusers', 'transformers', 'onnxruntime', 'oxen', 'pandas'}\n"
        "heavy.add('discord')\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr


def test_the_processes_that_the_bot_starts_do_not_import_its_command_line(tmp_path: Path) -> None:
    script = (
        "import multiprocessing, sys\n"
        "from bot.__main__ import main\n"  # as the console script does; spawned processes do it too
        "if __name__ == '__main__':\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        names = pool.apply(eval, ['set(__import__(\"sys\").modules)'])\n"
        "    assert 'bot.__main__' in names\n"
        "    assert not names & {'typer', 'rich', 'pydantic'}, names\n"
    )

    path = tmp_path / "oxherd"
    path.write_text(script)
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_the_bot_process_imports_neither_torch_nor_oxen() -> None:
    script = (
        "import sys, bot.app, bot.cli.doctor\n"
        "heavy = {'torch', 'diffusers', 'transformers', 'onnxruntime', 'oxen', 'pandas'}\n"
        "heavy |= {'polars', 'matplotlib', 'babel'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )

    subprocess.run([sys.executable, "-c", script], check=True)


def test_oxens_client_comes_without_data_frames_and_others_still_get_them() -> None:
    script = (
        "import sys\n"
        "from storage.oxen_client import oxen\n"
        "assert not {'polars', 'requests'} & set(sys.modules)\n"
        "import polars, requests\n"
        "assert polars.DataFrame and requests.get and oxen.Repo\n"
    )

    subprocess.run([sys.executable, "-c", script], check=True)
