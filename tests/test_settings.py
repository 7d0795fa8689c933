"""Settings: the right value, or a sentence that names the variable."""

from pathlib import Path

import pytest

from bot.settings import SettingsError, load
from generation.request import Size

NO_FILE = Path("/nonexistent/.env")
A_TOKEN = ".".join(["M" * 26, "G" * 6, "x" * 38])


def refused(environment: dict[str, str], file: Path = NO_FILE) -> str:
    with pytest.raises(SettingsError) as caught:
        load(environment, file)

    return str(caught.value)


def test_without_anything_the_defaults_hold() -> None:
    settings = load({}, NO_FILE)

    assert settings.model == "CompVis/stable-diffusion-v1-4"
    assert settings.default_steps is None


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("OXHERD_MAX_STEPS=60\nOXHERD_MAX_WAITING=7\n# a comment\nOTHER=1\n")

    settings = load({"OXHERD_MAX_STEPS": "70"}, file)

    assert (settings.max_steps, settings.max_waiting) == (70, 7)


def test_a_file_from_a_windows_editor_is_read(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_bytes(b"\xef\xbb\xbfOXHERD_MAX_STEPS=60\r\nOXHERD_MAX_WAITING=7\r\n")

    settings = load({}, file)

    assert (settings.max_steps, settings.max_waiting) == (60, 7)


def test_an_empty_variable_counts_as_not_set() -> None:
    assert load({"OXHERD_REVISION": "", "OXHERD_MAX_STEPS": ""}, NO_FILE).revision is None


def test_lists_are_separated_by_commas() -> None:
    settings = load({"OXHERD_DEVICES": "cuda:0, cuda:1", "OXHERD_SIZES": "512x512,64x128"}, NO_FILE)

    assert settings.devices == ("cuda:0", "cuda:1")
    assert settings.sizes == (Size(512, 512), Size(64, 128))


def test_an_unknown_setting_is_named_with_the_nearest_known_one() -> None:
    sentence = refused({"OXHERD_MAX_WAITNG": "3"})

    assert (
        sentence == "OXHERD_MAX_WAITNG is not a setting of oxherd. Did you mean OXHERD_MAX_WAITING?"
    )


def test_an_unknown_setting_in_the_file_is_named_too(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("OXHERD_TOKN=x\n")

    assert "Did you mean OXHERD_TOKEN?" in refused({}, tmp_path / ".env")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("OXHERD_MAX_STEPS", "many", "OXHERD_MAX_STEPS: must be a whole number"),
        (
            "OXHERD_MAX_STEPS",
            "5000",
            "OXHERD_MAX_STEPS: input should be less than or equal to 1000",
        ),
        ("OXHERD_SIZES", "big", "'big' is not a size like 512x768"),
        ("OXHERD_SIZES", "500x500", "multiple of 8"),
        ("OXHERD_BACKEND", "dalle", "'diffusers' or 'placeholder'"),
        ("OXHERD_DEFAULT_STEPS", "101", "above OXHERD_MAX_STEPS, 100"),
        ("OXHERD_DEVICES", ",", "OXHERD_DEVICES"),
        ("OXHERD_RAY", "auto", "OXHERD_RAY: must be an address like 10.0.0.1:6379"),
        ("OXHERD_RAY_WORKERS", "2", "OXHERD_RAY is not: no worker would be on a cluster"),
        ("OXHERD_RAY_RESOURCES", "fast", "must be names with values, like one:1,other:0.5"),
        ("OXHERD_RAY_RESOURCES", "fast:some", "must be a number"),
        ("OXHERD_DEVICES", "gpu", "OXHERD_DEVICES: 'gpu' is not a device. Write auto, cpu, mps"),
        ("OXHERD_KEEP_UNVOTED_DAYS", "inf", "OXHERD_KEEP_UNVOTED_DAYS"),
        ("OXHERD_KEEP_UNVOTED_DAYS", "1e12", "OXHERD_KEEP_UNVOTED_DAYS"),
        ("OXHERD_DEADLINE_S", "inf", "OXHERD_DEADLINE_S"),
        ("OXHERD_REMOTE_BRANCH", "..", "OXHERD_REMOTE_BRANCH: a branch's name has letters"),
        ("OXHERD_REMOTE_BRANCH", "a/../b", "OXHERD_REMOTE_BRANCH: a branch's name has letters"),
        ("OXHERD_REMOTE_BRANCH", "main..other", "OXHERD_REMOTE_BRANCH: a branch's name has"),
        ("OXHERD_REMOTE_BRANCH", "--all", "OXHERD_REMOTE_BRANCH: a branch's name has letters"),
        ("OXHERD_REMOTE", "https://example.org/../votes", "OXHERD_REMOTE: it must look like"),
        ("OXHERD_REMOTE", "https://example.org/ox/..", "OXHERD_REMOTE: it must look like"),
        ("OXHERD_REMOTE", "https://example.org?a/ox/votes", "OXHERD_REMOTE: it must look like"),
        ("OXHERD_SAFETY_THRESHOLD", "50", "less than or equal to 1"),
        ("OXHERD_SAFETY_THRESHOLD", "0.8", "OXHERD_SAFETY_MODEL is not: nothing would look at"),
        ("OXHERD_SAFETY_LABELS", "nsfw", "OXHERD_SAFETY_MODEL is not: nothing would look at"),
        ("OXHERD_SAFETY_DOUBTFUL", "0.2", "OXHERD_SAFETY_MODEL is not: nothing would look at"),
        ("OXHERD_DOUBTFUL_IMAGES", "age_restricted", "no image would be doubtful"),
    ],
)
def test_a_bad_value_is_refused_with_the_variables_name(
    name: str, value: str, expected: str
) -> None:
    assert expected in refused({name: value})


def test_what_would_be_withheld_is_not_doubtful() -> None:
    with_classifier = {"OXHERD_SAFETY_MODEL": "open_nsfw"}

    assert "must be below OXHERD_SAFETY_THRESHOLD, 0.5" in refused(
        {**with_classifier, "OXHERD_SAFETY_DOUBTFUL": "0.5"}
    )


def test_the_servers_token_is_not_sent_over_a_network_unencrypted() -> None:
    token = {"OXHERD_REMOTE_TOKEN": "a secret"}

    said = refused({**token, "OXHERD_REMOTE": "http://example.org/ox/votes"})

    assert said.startswith("OXHERD_REMOTE: the token would be sent unencrypted: use https://")
    for host in (
        "https://example.org",
        "http://127.0.0.1:3000",
        "http://localhost",
        "http://[::1]",
    ):
        assert load({**token, "OXHERD_REMOTE": f"{host}/ox/votes"}, NO_FILE).remote is not None

    assert load({"OXHERD_REMOTE": "http://example.org/ox/votes"}, NO_FILE).remote is not None


@pytest.mark.parametrize("branch", ["main", "main-2026-11-01", "v1.5_a", "0"])
def test_the_usual_names_of_branches_are_taken(branch: str) -> None:
    assert load({"OXHERD_REMOTE_BRANCH": branch}, NO_FILE).remote_branch == branch


def test_a_cluster_has_all_workers_unless_devices_are_set_too() -> None:
    cluster = {"OXHERD_RAY": "10.0.0.1:6379", "OXHERD_RAY_RESOURCES": "oxherd:1, fast:0.5"}

    assert load({}, NO_FILE).local_devices == ("auto",)
    assert load(cluster, NO_FILE).local_devices == ()
    assert load(cluster | {"OXHERD_DEVICES": "cuda:0"}, NO_FILE).local_devices == ("cuda:0",)
    assert load(cluster, NO_FILE).ray_resources == {"oxherd": 1, "fast": 0.5}


def test_the_token_is_never_shown() -> None:
    settings = load({"OXHERD_TOKEN": A_TOKEN}, NO_FILE)

    assert A_TOKEN not in repr(settings)
    assert settings.usable_token == A_TOKEN


@pytest.mark.parametrize("token", ["", "abc", "1234567890abcdef1234567890abcdef"])
def test_a_token_without_a_tokens_shape_is_explained(token: str) -> None:
    settings = load({"OXHERD_TOKEN": token}, NO_FILE)

    with pytest.raises(SettingsError, match="OXHERD_TOKEN") as caught:
        settings.usable_token  # noqa: B018 - asked for its error

    assert token == "" or token not in str(caught.value)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"\xff\xfe\x00")

    assert "cannot be read: it is not UTF-8 text" in refused({}, tmp_path / ".env")


def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()

    assert "cannot be read" in refused({}, tmp_path / ".env")


def test_a_line_that_is_not_an_assignment_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("OXHERD_MAX_STEPS=60\n'unfinished\n")

    assert "line 2" in refused({}, tmp_path / ".env")
