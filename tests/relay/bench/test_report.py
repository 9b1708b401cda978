"""What is shown of the figures, and ``icerelay bench`` as a person runs it."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from itertools import pairwise
from pathlib import Path

import pytest

from relay.bench import chart, table, wanted
from relay.bench.figures import Spread, Traffic, upper_end
from relay.bench.measure import Outcome, calmest
from relay.bench.relays import ICERELAY, Relay
from relay.bench.scenarios import FULL, QUICK
from relay.bench.session import Results

OURS, THEIRS = Relay("ours", "ours {ip} {ng}"), Relay("theirs", "theirs {ip} {ng}")
MEDIA = FULL.only(("calls-100",))[0]


def traffic(histogram: list[int]) -> Traffic:
    return Traffic(
        seconds=1.0, sent=100, send_errors=0, late=0, received=sum(histogram), duplicates=0, reordered=0,
        misdelivered=0, damaged=0, strays=0, checks_answered=0, worst_lateness=0.0, silent_streams=0,
        processor=0.1, histogram=histogram,
    )  # fmt: skip


def results() -> Results:
    machine: dict[str, str | int | float] = {"kernel": "6", "cpu": "<x>", "cores": 2, "governor": "none"}
    machine |= {"load": 0.1, "idle_percent": 90.0, "steal_percent": 0.0}
    found = Results([OURS, THEIRS], [MEDIA], 3, "loopback", (0, 1), machine)
    for cpu in (11.0, 10.0, 14.0):
        found.add(MEDIA, OURS, Outcome({"cpu": cpu, "p50": 0.05}))
    for cpu in (20.0, 22.0, 30.0):
        found.add(MEDIA, THEIRS, Outcome({"cpu": cpu, "p50": 0.5}, {"misdelivered": 1200}))
    found.add(MEDIA, THEIRS, Outcome(error="it ended"))
    return found


def test_a_percentile_is_the_upper_end_of_its_bucket() -> None:
    histogram = [0] * 1280
    histogram[10], histogram[640] = 90, 5
    seen = traffic(histogram)
    assert [seen.latency(percent) for percent in (50, 94, 99)] == [10e-9, 10e-9, upper_end(640) / 1e9]
    assert seen.loss == pytest.approx(0.05)
    assert (seen.later_than(5e-9), seen.later_than(1e-6)) == (95, 5)


def test_buckets_follow_one_another_and_are_narrow() -> None:
    ends = [upper_end(bucket) for bucket in range(1280)]
    assert all(0 < after - before <= max(1, after // 32 + 1) for before, after in pairwise(ends))


def test_of_several_attempts_the_least_disturbed_counts_with_the_faults_of_all() -> None:
    starved = Outcome({"cpu": 5.0, "waited": 40.0, "late": 0.0}, {"damaged": 1})
    crowded = Outcome({"cpu": 6.0, "waited": 0.0, "late": 30.0}, {"damaged": 2, "strays": 1})
    calm = Outcome({"cpu": 9.0, "waited": 3.0, "late": 0.1})
    assert calmest([starved, crowded, calm]) == Outcome(calm.figures, {"damaged": 3, "strays": 1})


def test_ratios_are_of_medians_to_the_last_relay() -> None:
    found = results()
    assert found.spread(MEDIA, THEIRS, "cpu") == Spread(20.0, 22.0, 30.0)
    assert (found.ratio(MEDIA, OURS, "cpu"), found.ratio(MEDIA, THEIRS, "cpu")) == (0.5, None)


def test_the_table_shows_the_spread_the_ratio_and_what_must_not_happen() -> None:
    shown = "\n".join(table.lines(results()))
    assert "11.0 (10.0 .. 14.0)   22.0 (20.0 .. 30.0)            0.50" in shown
    assert "theirs, calls-100, run 1: 1,200 misdelivered" in shown
    assert "theirs, calls-100, run 4: it ended" in shown


def test_the_page_has_a_bar_for_each_figure_and_loads_nothing() -> None:
    page = chart.page(results())
    drawing = page[page.index("<svg") : page.index("</svg>") + len("</svg>")]
    bars = [mark for mark in ElementTree.fromstring(drawing) if mark.tag == "rect"]
    assert [float(bar.attrib["width"]) for bar in bars] == pytest.approx(
        [410 * 11 / 30, 410 * 22 / 30], abs=0.1
    )
    assert "&lt;x&gt;" in page
    assert all(word not in page for word in ("http:", "https:", "src=", "<x>", "@import"))


def test_the_relays_are_named_after_their_programs() -> None:
    relays = wanted(["icerelay", "/usr/bin/some-relay --at={ip} {ng}", "other=some-relay {ip} {ng}"])
    assert [relay.name for relay in relays] == ["icerelay", "some-relay", "other"]
    assert relays[0].command == ICERELAY
    with pytest.raises(ValueError, match="two relays are called icerelay"):
        wanted(["icerelay", "icerelay"])


@pytest.mark.parametrize(
    ("network", "named"),
    [("loopback", ["icerelay", "rtpengine"]), ("veth", ["icerelay-ebpf", "icerelay-userspace", "rtpengine"])],
)
def test_where_nobody_names_relays_both_planes_are_measured_as_far_as_there_are_two(
    network: str, named: list[str]
) -> None:
    assert [relay.name for relay in wanted([], network)] == named


def test_a_scenario_nobody_knows_is_named() -> None:
    with pytest.raises(ValueError, match="no such scenario: calls-7; there are calls-10, "):
        QUICK.only(("calls-7",))


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "relay.cli", "bench", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_command_measures_two_relays_in_turn_and_writes_it_down(tmp_path: Path) -> None:
    again = f"--daemon=again={ICERELAY}"
    done = bench("--quick", "--only=calls-10", "--daemon=icerelay", again, f"--output={tmp_path}")
    assert done.returncode == 0, done.stderr
    assert [line.split(": ", 1)[1] for line in done.stderr.splitlines()] == ["direct", "icerelay", "again"]
    assert "icerelay / again" in done.stdout
    written = json.loads((tmp_path / "bench.json").read_text())
    figures = written["scenarios"]["calls-10"]["relays"]["again"][0]["figures"]
    assert (figures["loss"], figures["delivered"]) == (0.0, pytest.approx(1000, rel=0.1))
    assert "<svg" in (tmp_path / "bench.html").read_text()


def test_a_relay_that_cannot_be_measured_makes_the_command_fail() -> None:
    done = bench("--quick", "--only=calls-10", "--daemon=false {ip} {ng}")
    assert (done.returncode, "false does not answer" in done.stderr) == (1, True)
    assert bench("--daemon=relay {ip}").returncode == 2
