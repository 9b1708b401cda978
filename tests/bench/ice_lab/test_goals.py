"""What a run says of the goals, and whose a gain is."""

from __future__ import annotations

from dataclasses import replace
from html import unescape

import pytest

from bench.ice_lab.call import Outcome
from bench.ice_lab.cases import Case
from bench.ice_lab.chart import page
from bench.ice_lab.goals import SURE, Figure, Verdict, connectivity, failures, judge, shares
from bench.ice_lab.markdown import document
from bench.ice_lab.media import Move
from bench.ice_lab.report import summary

SYMMETRIC, LAN = Case("symmetric", "aioice"), Case("same-lan", "aioice", talk=1.0)
MOVES, STRANGER = Case("open", "aioice", event="moves"), Case("open", "aioice", event="stranger")
WAITS, TOLD = Case("open", "chromium"), Case("open", "chromium", gathers=False)


def took(case: Case, treatment: str, seconds: float, n: int = SURE, spread: float = 0.0) -> list[Outcome]:
    """Calls that took about so long, from the call as well as from the answer."""
    times = [seconds + spread * (number % 5 - 2) for number in range(n)]
    return [
        Outcome(case, treatment, number, offered=time, applied=time, caller_checks=2, callee_checks=2)
        for number, time in enumerate(times)
    ]


def failed(case: Case, treatment: str, *repetitions: int) -> list[Outcome]:
    return [Outcome(case, treatment, number, why="no media at the callee") for number in repetitions]


def verdict(outcomes: list[Outcome], figure: Figure, treatment: str) -> Verdict:
    (found,) = (
        one for one in judge(outcomes) if (one.goal.figure, one.goal.treatment) == (figure, treatment)
    )
    return found


def test_a_goal_set_by_rtpengine_is_what_rtpengine_takes_in_this_run() -> None:
    theirs = took(SYMMETRIC, "rtpengine force", 0.281)
    found = verdict(
        [*theirs, *took(SYMMETRIC, "icerelay optimize", 0.250)], "answer to media", "icerelay optimize"
    )
    assert (round(found.here, 3), found.words) == (0.281, "met")
    found = verdict(
        [*theirs, *took(SYMMETRIC, "icerelay optimize", 0.300)], "answer to media", "icerelay optimize"
    )
    assert (found.words, found.fails) == ("missed by 19 ms", False)
    found = verdict(
        [*theirs, *took(SYMMETRIC, "icerelay optimize", 0.320)], "answer to media", "icerelay optimize"
    )
    assert found.fails


def test_a_goal_that_is_better_than_its_measure_stays_so_in_this_run() -> None:
    outcomes = took(SYMMETRIC, "no relay", 0.400) + took(SYMMETRIC, "icerelay assist", 0.380)
    found = verdict(outcomes, "answer to media", "icerelay assist")
    assert round(found.here, 3) == round(0.400 * 260 / 286, 3)
    assert found.words == "missed by 16 ms"


def test_what_is_no_slower_than_noise_is_met() -> None:
    outcomes = took(SYMMETRIC, "rtpengine force", 0.280, spread=0.02)
    outcomes += took(SYMMETRIC, "icerelay optimize", 0.281, spread=-0.02)
    assert verdict(outcomes, "answer to media", "icerelay optimize").words == "met"


@pytest.mark.parametrize(
    ("trip", "words"), [(0.004, "met"), (0.092, "missed by 87 ms"), (None, "missed: no figure")]
)
def test_a_goal_with_no_measure_beside_it_counts_as_it_is(trip: float | None, words: str) -> None:
    outcomes = [replace(one, round_trip=trip) for one in took(LAN, "icerelay optimize", 0.4)]
    found = verdict(outcomes, "round trip", "icerelay optimize")
    assert (found.words, found.fails) == (words, words != "met")


def test_a_missed_goal_fails_a_run_only_with_calls_enough() -> None:
    outcomes = [replace(one, strange=100) for one in took(STRANGER, "icerelay force", 0.2, n=SURE)]
    assert failures(outcomes) == [
        "open: aioice, a stranger sends, icerelay force, forwarded: missed by 100 of 100"
    ]
    assert failures(outcomes[1:]) == []


def test_a_path_that_never_comes_back_misses_its_goal() -> None:
    outcomes = [replace(one, move=Move(None, 30, 0, 33)) for one in took(MOVES, "icerelay force", 0.2)]
    assert verdict(outcomes, "return path", "icerelay force").words == "missed: no figure"
    assert verdict(outcomes, "lost", "icerelay force").words == "missed by 26 packets"


def test_a_gain_is_divided_between_the_advice_and_the_daemon() -> None:
    outcomes = took(WAITS, "rtpengine force", 0.8) + took(TOLD, "rtpengine force", 0.5)
    outcomes += took(WAITS, "icerelay force", 0.75) + took(TOLD, "icerelay force", 0.4)
    (found,) = shares(outcomes)
    gains = [found.advice, found.daemon, found.gathering]
    assert [gain and round(gain.median, 3) for gain in gains] == [0.3, 0.1, 0.05]


def test_a_gain_that_is_noise_has_both_signs_in_its_interval() -> None:
    outcomes = took(TOLD, "rtpengine force", 0.5, spread=0.03) + took(
        TOLD, "icerelay force", 0.5, spread=-0.02
    )
    (found,) = shares(outcomes)
    assert found.daemon is not None
    assert found.daemon.low < 0 < found.daemon.high


def test_without_calls_that_waited_the_advice_has_no_figure_and_the_daemon_has() -> None:
    outcomes = took(TOLD, "rtpengine force", 0.5) + took(TOLD, "icerelay force", 0.4)
    (found,) = shares(outcomes)
    assert (found.advice, found.gathering) == (None, None)
    assert found.daemon is not None


def test_a_call_that_fails_where_force_connects_is_worse_and_one_that_fails_everywhere_is_not() -> None:
    outcomes = took(SYMMETRIC, "rtpengine force", 0.3, n=2) + failed(SYMMETRIC, "rtpengine force", 2)
    outcomes += took(SYMMETRIC, "icerelay assist", 0.3, n=1) + failed(SYMMETRIC, "icerelay assist", 1, 2)
    (found,) = connectivity(outcomes)
    assert (found.treatment, found.calls, found.failed, found.worse) == ("icerelay assist", 3, 2, 1)
    assert failures(outcomes) == ["icerelay assist: 1 of 3 calls failed where ICE=force connects"]


def test_the_summary_the_page_and_the_document_have_goals_shares_and_connectivity() -> None:
    outcomes = took(WAITS, "rtpengine force", 0.8) + took(TOLD, "rtpengine force", 0.5)
    outcomes += took(TOLD, "icerelay force", 0.4) + took(TOLD, "icerelay optimize", 0.6)
    outcomes += [replace(one, round_trip=0.07) for one in took(LAN, "icerelay optimize", 0.4)]
    lines = "\n".join(summary(outcomes))
    html = page(outcomes, ["rtpengine force", "icerelay force", "icerelay optimize"], {"cores": 2}, 10.0)
    written = document(outcomes, ["rtpengine force", "icerelay force", "icerelay optimize"], {"cores": 2})
    for text in (lines, unescape(html), written):
        assert "rtpengine force 527 -> 527" in text
        assert "missed by 100 ms" in text
        assert "never worse than ICE=force" in text
    assert "Round trip of media" in html
