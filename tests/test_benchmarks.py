"""Every benchmark runs, at toy size, and finds nothing lost. No figure is judged here."""

import argparse
import asyncio
import json
import math
from pathlib import Path

import pytest
from PIL import Image

from benchmarks import (
    acknowledge,
    busy,
    checking,
    day,
    demo,
    estimates,
    export,
    generation,
    growth,
    hosts,
    loop,
    memory,
    million,
    previews,
    quality,
    rate,
    remote,
    remote_ways,
    sharing,
    slow_line,
    startup,
    throughput,
)
from benchmarks.support.facts import machine, run
from storage.dataset.changes import BATCH_SHARDS
from tests.support.discord.demo_page import CHROMIUM
from tests.support.generation.tiny_model import save_tiny_model
from tests.support.remote import oxen_server
from training import emoji as source
from training.styles import STYLES

pytestmark = pytest.mark.timeout(600)


def test_a_missed_bar_is_named_and_exit_status_one_only_with_check(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def measure(_folder: Path, _options: argparse.Namespace) -> dict[str, list[str]]:
        return {"missed": ["p99: 2 s"]}

    run("a test", argparse.Namespace(check=False), measure)
    with pytest.raises(SystemExit, match="missed: p99: 2 s"):
        run("a test", argparse.Namespace(check=True), measure)

    assert capsys.readouterr().out.count('"missed"') == 2


def test_a_simulated_day_ends_each_request_once(tmp_path: Path) -> None:
    options = day.parsed(["--gpus", "1,8", "--requests", "1500", "--seconds", "60", "--seed", "2"])

    few, many = asyncio.run(day.measure(tmp_path, options))["days"].values()

    assert few["wait_s"]["p50"] > 10 * many["wait_s"]["p50"] > 0
    assert few["refused"] > 0
    assert many["made"] > few["made"] > 0
    assert few["made again after a lost host"] > 0
    assert many["made again after a lost host"] > 0


@pytest.mark.long
def test_the_same_requests_are_timed_on_a_pipe_and_through_ray(tmp_path: Path) -> None:
    figures = asyncio.run(hosts.measure(tmp_path, hosts.parsed(["--requests", "2"])))

    assert figures["pipe_1_steps_ms"]["count"] == figures["ray_50_steps_ms"]["count"] == 2


@pytest.mark.long
def test_clicks_are_timed_on_both_bots_and_none_is_lost_on_ours(tmp_path: Path) -> None:
    options = acknowledge.parsed(
        ["--seconds", "2", "--clicks-per-s", "20", "--voters", "10", "--sets", "2", "--steps", "5"]
    )

    figures = asyncio.run(acknowledge.measure(tmp_path, options))

    assert figures["oxherd"]["lost"] == 0
    assert figures["oxherd"]["failed"] == 0
    assert figures["oxherd"]["problems"] == []
    assert figures["oxherd"]["clicks"] == figures["naive"]["clicks"] > 0
    assert figures["naive"]["rows_for_all_those_clicks"] > 0


@pytest.mark.long
@pytest.mark.parametrize("control", [[], ["--control"]], ids=["as it is", "control"])
def test_raters_who_work_at_once_share_the_images(tmp_path: Path, control: list[str]) -> None:
    options = rate.parsed(["--images", "40", "--raters", "12", "--look-s", "0.1", *control])

    figures = asyncio.run(rate.measure(tmp_path, options))

    assert figures["lost"] == figures["failed"] == figures["shown_twice_to_one_rater"] == 0
    assert figures["images_with_enough_votes"] == 38
    is_fair = figures["most_votes_while_another_lacks_one"] <= 4
    assert is_fair != bool(control)


@pytest.mark.long
def test_votes_are_counted_from_click_to_commit(tmp_path: Path) -> None:
    options = throughput.parsed(["--votes", "40", "--kilobytes", "5", "--members", "5"])

    figures = asyncio.run(throughput.measure(tmp_path, options))

    assert figures["oxherd"]["rows"] == figures["oxherd"]["votes"] == 40
    assert figures["oxherd"]["problems"] == []
    assert figures["tutorial"]["votes"] == 40


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_taste_and_random_votes_tune_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    emoji = discs(tmp_path / "discs", 100)
    monkeypatch.setattr(source, "fetched", lambda _packages: emoji)
    options = loop.parsed(
        [
            *("--prompts", "60", "--held-out", "5", "--pairs", "1", "--random-runs", "1"),
            *("--tune", "--steps", "2", "--fidelity", "none"),
        ]
    )

    figures = asyncio.run(loop.measure(tmp_path, options))

    assert figures["votes"] == 240
    assert set(figures["tastes"]) == {"warm", "cool"}
    assert len(figures["random_votes"]) == 1
    assert figures["tastes"]["warm"]["wins"]["share"] in {0, 0.2, 0.4, 0.6, 0.8, 1}


def discs(folder: Path, count: int) -> list[source.Emoji]:
    """Discs in different reds, each the same in all styles."""
    folder.mkdir()
    found = []
    for number in range(count):
        drawing = folder / f"{number}.webp"
        Image.new("RGBA", (32, 32), (3 * number, 100, 50, 255)).save(drawing, lossless=True)
        emoji = source.Emoji(
            code=f"{0x1F400 + number:X}",
            label=f"disc {number}",
            tags=(),
            group=7,
            drawings=(drawing,) * len(STYLES),
        )
        found.append(emoji)

    return found


@pytest.mark.long
def test_growth_is_told_per_vote(tmp_path: Path) -> None:
    options = growth.parsed(["--votes", "32", "--kilobytes", "5", "--tutorial-votes", "5"])

    figures = asyncio.run(growth.measure(tmp_path, options))

    assert figures["oxherd"]["votes"] == 32
    assert figures["oxherd"]["oxen_bytes"] > figures["oxherd"]["image_bytes"] > 0
    assert figures["tutorial"]["stopped_at_votes"] == 5


@pytest.mark.long
def test_votes_that_come_alone_are_measured_while_they_rest(tmp_path: Path) -> None:
    options = growth.parsed(
        [
            *("--votes", "32", "--kilobytes", "5", "--tutorial-votes", "5"),
            *("--pause-s", "0.01", "--commit-every-s", "1"),
        ]
    )

    figures = asyncio.run(growth.measure(tmp_path, options))

    assert 0 < figures["oxherd"]["at_the_end"]["commits_per_vote"] < 1
    assert figures["missed"] == []


def test_drop_unvoted_stays_below_its_bar_in_a_journal_of_many_votes(tmp_path: Path) -> None:
    options = million.parsed(["--votes", "20000", "--journal-only"])

    figures = asyncio.run(million.measure(tmp_path, options))

    assert "drop_unvoted" not in figures["missed"]


@pytest.mark.long
def test_a_commit_of_thirty_shards_is_measured_after_others(tmp_path: Path) -> None:
    options = million.parsed(["--votes", "2000"])

    figures = asyncio.run(million.measure(tmp_path, options))

    assert set(figures["processor_s"]) == set(million.BARS_S)
    most = math.ceil(max(million.TOUCHED) / BATCH_SHARDS)
    assert [len(commits) for commits in figures["commits"].values()] == [1, 1, most]


@pytest.mark.long
def test_memory_is_read_while_messages_are_posted(tmp_path: Path) -> None:
    options = memory.parsed(["--messages", "20", "--askers", "2"])

    figures = asyncio.run(memory.measure(tmp_path, options))

    assert figures["bot_process"]["messages"] == 20
    assert figures["bot_process"]["exit_status"] == 0


@pytest.mark.long  # tests/test_cli.py and tests/test_run.py look at one start of each
def test_the_command_line_and_the_bot_process_import_neither_torch_nor_oxen(
    tmp_path: Path,
) -> None:
    figures = asyncio.run(startup.measure(tmp_path, startup.parsed(["--times", "1"])))

    assert figures["help"]["imports"] == []
    assert figures["status"]["imports"] == []
    assert not figures["run"]["bot_process_has_torch"]
    assert not figures["run"]["bot_process_has_oxen"]


@pytest.mark.long
def test_a_classifier_is_timed_and_weighed() -> None:
    figures = checking.alone("open_nsfw", times=1, device="cpu")

    assert figures["request_of_four_ms"]["count"] == 1
    assert figures["memory_mb"] > 0


@pytest.mark.long
def test_the_tutorials_pictures_and_ours_are_timed_on_a_toy(tmp_path: Path) -> None:
    options = generation.parsed(
        ["--toy", "--steps", "2", "--rounds", "1", "--people", "2", "--compile", "off"]
    )

    figures = asyncio.run(generation.measure(tmp_path, options))

    assert {"tutorial, float32", "oxherd"} <= set(figures["makers"])
    assert all(maker["seconds"] > 0 for maker in figures["makers"].values())
    assert all(maker["share_of_peak_in_the_loop"] > 0 for maker in figures["makers"].values())
    (crowd,) = figures["people"]
    assert len(crowd["each"]) == 2
    assert crowd["worst_wait_s"] >= crowd["median_wait_s"] > 0
    assert "| oxherd |" in generation.table(figures)
    assert "| 2 |" in generation.table(figures)


@pytest.mark.long
def test_turns_by_request_halve_the_mean_wait_of_those_who_ask_for_the_same(tmp_path: Path) -> None:
    options = sharing.parsed(["--people", "4", "--engine-steps", "2", "--many", "200"])

    figures = asyncio.run(sharing.measure(tmp_path, options))

    simulated = figures["at_once"]["4"]["simulated"]
    assert simulated["by request"]["usual"]["mean"] == 2.5
    assert simulated["by steps"]["usual"]["mean"] == 3.97
    assert figures["at_once"]["4"]["engine"]["by steps"]["usual"]["people"] == 4


@pytest.mark.long
@oxen_server.needed
def test_votes_are_timed_on_their_way_to_a_server(tmp_path: Path) -> None:
    options = remote.parsed(
        [
            *("--delays-ms", "5", "--sizes", "8", "--votes", "8", "--kilobytes", "5"),
            *("--alone", "1", "--tutorial-votes", "1"),
        ]
    )

    figures = asyncio.run(remote.measure(tmp_path, options))

    (at_size,) = figures["sizes"]
    (at_delay,) = at_size["delays"]
    assert at_delay["oxherd"]["votes"] == 8
    assert at_delay["oxherd"]["requests_per_vote"] > 0
    assert at_delay["tutorial"]["votes"] == 1
    assert at_delay["tutorial"]["requests_per_vote"] > 1


@pytest.mark.long
@oxen_server.needed
def test_a_backlog_drains_when_the_server_is_back(tmp_path: Path) -> None:
    options = remote.parsed(["--backlog", "8", "--kilobytes", "5", "--members", "2"])

    figures = asyncio.run(remote.measure(tmp_path, options))

    assert figures["backlog"]["votes"] == 8
    assert figures["backlog"]["commits"] > 0
    assert figures["backlog"]["requests"] > 0


@pytest.mark.long
@oxen_server.needed
def test_a_backlog_arrives_over_a_slow_line(tmp_path: Path) -> None:
    options = slow_line.parsed(
        [
            *("--megabytes", "0.8", "--commits", "3", "--megabytes-per-s", "0.4"),
            *("--timeout-s", "2", "--standstill-s", "3"),
        ]
    )

    figures = asyncio.run(slow_line.measure(tmp_path, options))

    assert figures["all_arrived"]
    assert figures["sent_by_backlog"] > 1
    assert "silent for 2 s" in figures["errors"][0]


@pytest.mark.long
@oxen_server.needed
def test_a_push_that_was_killed_leaves_nothing_and_can_be_done_again(tmp_path: Path) -> None:
    options = remote_ways.parsed(
        [
            *("--delays-ms", "0", "--sizes", "8", "--together", "1", "--times", "1"),
            *("--kilobytes", "5"),
        ]
    )

    figures = asyncio.run(remote_ways.measure(tmp_path, options))

    (at_size,) = figures["sizes"]
    assert at_size["sent"][0]["push"]["requests"] > 0
    *killed, whole = figures["killed"]["push"]
    assert whole["commits_after_that"] == 1
    assert len(killed) == at_size["sent"][0]["push"]["requests"]
    assert {outcome["done_again"] for outcome in killed} == {"done"}
    assert {outcome["commits_after_that"] for outcome in killed} == {1}
    assert {outcome["workspaces_after_that"] for outcome in killed} == {0}


@pytest.mark.long
def test_the_time_left_is_compared_with_what_it_was(tmp_path: Path) -> None:
    options = estimates.parsed(["--rounds", "2", "--step-seconds", "0.05", "--steps", "8"])

    figures = asyncio.run(estimates.measure(tmp_path, options))

    assert figures["running"]["moments"] > 0
    assert figures["waiting"]["moments"] > 0
    assert len(figures["seconds"]) == 4


@pytest.mark.long
def test_previews_are_compared_with_the_images(tmp_path: Path) -> None:
    model = save_tiny_model(tmp_path)
    sheet = tmp_path / "sheet.png"
    options = previews.parsed(
        [
            *(str(model), "--size", "64x64", "--steps", "3", "--slow-steps", "4"),
            *("--seeds", "1", "2", "--prompts", "a fox", "an owl", "--sheet", str(sheet)),
        ]
    )

    figures = asyncio.run(previews.measure(tmp_path, options))

    assert figures["latent_channels"] == 4
    assert figures["images_in_the_fit"] == 2
    assert all(0 < share < 1 for share in figures["r_squared_in_the_fit"])
    assert figures["slow_request"]["share_of_its_time"] <= 0.02
    assert sheet.stat().st_size > 0


@pytest.mark.long
def test_four_emoji_are_timed_beside_a_load() -> None:
    options = busy.parsed(["--beside", "1", "--times", "1"])

    figures = asyncio.run(busy.measure(Path(), options))

    assert set(figures["ways"]) == set(busy.WAYS)
    assert all(way["processor_s"][0] > 0 for way in figures["ways"].values())


@pytest.mark.long
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_the_first_images_of_the_demo_are_timed(tmp_path: Path) -> None:
    figures = asyncio.run(demo.measure(tmp_path, demo.parsed([])))

    assert figures["processor_s"]["worker"] > 0
    assert figures["processor_s"]["in all"] > figures["processor_s"]["bot"] > 0


def test_the_machine_is_named_in_json() -> None:
    facts = json.loads(json.dumps(machine()))

    assert facts["cores"] >= 1
    assert set(facts["versions"]) >= {"oxenai", "discord.py"}


def test_label_quality_is_measured_beside_an_oracle(tmp_path: Path) -> None:
    options = quality.parsed(["--seeds", "1", "--votes", "5000"])

    figures = asyncio.run(quality.measure(tmp_path, options))

    assert set(figures["scenarios"]) == set(quality.SCENARIOS)
    assert all(found["kept"] <= found["oracle"] for found in figures["scenarios"].values())
    assert figures["update"]["hundred_more_s"] < 60


@pytest.mark.long
def test_exports_and_the_report_are_measured_in_processes_of_their_own(tmp_path: Path) -> None:
    options = export.parsed(
        ["--votes", "200", "--images", "48", "--what", "parquet", "diffusion-kto", "report"]
    )

    figures = asyncio.run(export.measure(tmp_path, options))

    assert [found["status"] for found in figures["commands"].values()] == [0, 0, 0]
    assert all(found["bytes"] > 0 for found in figures["commands"].values())
