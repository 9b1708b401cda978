"""The outcomes as a table on the terminal and as JSON."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from bench.ice_lab.call import Outcome
from bench.ice_lab.figures import Comparison, Row, Spread
from bench.ice_lab.goals import UNITS, Connected, Figure, Gain, Shares, Verdict, connectivity, judge, shares
from bench.ice_lab.networks import NETWORKS

COMPARED = (
    ("icerelay force", "rtpengine force"),
    ("icerelay optimize", "rtpengine force"),
    ("icerelay force-relay", "rtpengine force-relay"),
    ("icerelay assist", "no relay"),
)
"""Treatments that are compared pair by pair."""
HEADING = f"{'':25} {'connected':>9}   {'answer to media, ms':^25}   {'call to media, ms':^25}   checks sent"
COLUMNS = (
    f"{'':25} {'':>9}   {'min':>5} {'median':>6} {'p95':>6} {'max':>5}"
    f"   {'min':>5} {'median':>6} {'p95':>6} {'max':>5}   caller  callee"
)


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    model = "unknown"
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return {
        "cores": os.cpu_count(),
        "processor": model,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load": [round(load, 2) for load in os.getloadavg()],
    }


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Line by line. Times are those of the calls that connected."""
    network = ""
    case = None
    for row in rows:
        if row.case.network != network:
            network = row.case.network
            yield ""
            yield f"== {network}: {NETWORKS[network].words}"
            yield HEADING
            yield COLUMNS
        if row.case != case:
            case = row.case
            yield f"-- {case.name}"
        checks = "  ".join(f"{_number(spread):>6}" for spread in (row.caller_checks, row.callee_checks))
        yield (
            f"   {row.treatment:22} {row.ok:>4}/{row.n:<4}   "
            f"{_times(row.applied)}   {_times(row.offered)}   {checks}"
        )
        yield from (f"      {count} x {why}" for why, count in row.failures.items())


def _times(spread: Spread | None) -> str:
    if spread is None:
        return f"{'-':>5} {'-':>6} {'-':>6} {'-':>5}"
    least, median, p95, most = (
        f"{value * 1000:.0f}" for value in (spread.least, spread.median, spread.p95, spread.most)
    )
    return f"{least:>5} {median:>6} {p95:>6} {most:>5}"


def _number(spread: Spread | None) -> str:
    return "-" if spread is None else f"{spread.median:g}"


def media_table(rows: Sequence[Row]) -> Iterator[str]:
    """What calls that go on show: round trips, moves, strangers."""
    those = [row for row in rows if row.has_more]
    if those:
        yield ""
        yield "== media of calls that go on, medians"
    for row in those:
        yield f"   {f'{row.case}, {row.treatment}':66} {'; '.join(more(row))}"


def more(row: Row) -> Iterator[str]:
    """What a row has beside times and checks, in words."""
    if row.round_trip is not None:
        yield f"round trip {row.round_trip.median * 1000:.0f} ms"
    if row.lost is not None:
        back = "never back" if row.returned is None else f"back after {row.returned.median * 1000:.0f} ms"
        yield f"{back}, {row.moved_ok}/{row.ok} calls, {row.lost.median:g} of {row.lost_of} packets lost"
    if row.strange is not None:
        yield f"{row.strange} of 100 packets of a stranger forwarded"
    yield from row.results


GOALS_HEADING = ("case", "", "figure", "section", "here", "ours", "p95", "connected", "")


def goal_rows(verdicts: Sequence[Verdict]) -> Iterator[tuple[str, ...]]:
    """A row per goal: figure and goal of the specification, the same in this run, ours."""
    for one in verdicts:
        goal = one.goal
        said = short(goal.goal, goal.figure)
        before = short(goal.beat, goal.figure)
        beaten = short(one.theirs.median if one.theirs else None, goal.figure)
        yield (
            str(goal.case),
            goal.treatment,
            goal.figure,
            f"{goal.than} {before} -> {said}" if goal.than else said,
            f"{goal.than} {beaten} -> {short(one.here, goal.figure)}"
            if goal.than
            else f"rtpengine {beaten} -> {short(one.here, goal.figure)}",
            short(one.ours.median if one.ours else None, goal.figure),
            short(one.ours.p95 if one.ours else None, goal.figure),
            f"{one.ok}/{one.n}",
            one.words,
        )


def short(value: float | None, figure: Figure) -> str:
    if value is None:
        return "-"
    return f"{value:g}" if figure in UNITS else f"{value * 1000:.0f}"


SHARES_HEADING = (
    "case", "rtpengine waits", "told", "icerelay waits", "told", "advice gains", "daemon", "daemon, waiting",
)  # fmt: skip


def shares_rows(found: Sequence[Shares]) -> Iterator[tuple[str, ...]]:
    """Milliseconds of call to media: medians, and gains with their 95 % intervals."""
    for one in found:
        medians = (one.theirs_gathering, one.theirs_told, one.ours_gathering, one.ours_told)
        gains = (one.advice, one.daemon, one.gathering)
        yield (
            f"{one.network}: {one.phone}",
            *(short(median, "call to media") for median in medians),
            *(_gain(gain) if gain else "-" for gain in gains),
        )


def _gain(gain: Gain) -> str:
    """
    >>> _gain(Gain(0.1341, 0.128, 0.139))
    '134 (128 to 139)'
    """
    return f"{gain.median * 1000:.0f} ({gain.low * 1000:.0f} to {gain.high * 1000:.0f})"


def connected_words(found: Sequence[Connected]) -> Iterator[str]:
    """Whether ours connected wherever ICE=force did."""
    for one in found:
        worse = "never worse than ICE=force" if not one.worse else f"{one.worse} where ICE=force connected"
        yield f"{one.treatment}: {one.calls - one.failed} of {one.calls} calls connected, {worse}"


def aligned(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Columns as wide as what is in them."""
    lines = [tuple(heading), *map(tuple, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heading))]
    for line in lines:
        yield "   " + "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()


def summary(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Goals, shares and connectivity of a run."""
    if verdicts := judge(outcomes):
        yield ""
        yield "== goals: what to beat -> goal, in the specification and in this run; ms where nothing is said"
        yield from aligned(GOALS_HEADING, goal_rows(verdicts))
    if found := list(shares(outcomes)):
        yield ""
        yield "== call to media, ms: what the advice gains (rtpengine), and the daemon (phones told the same)"
        yield from aligned(SHARES_HEADING, shares_rows(found))
    if reached := connectivity(outcomes):
        yield ""
        yield "== connectivity"
        yield from (f"   {line}" for line in connected_words(reached))


def verdict(comparisons: Sequence[Comparison], ours: str, theirs: str) -> Iterator[str]:
    """How ours did, case by case; the interval is that of the median difference."""
    yield ""
    yield f"== {ours} against {theirs}, answer to media, pair by pair"
    for one in comparisons:
        name = str(one.case)
        lost = f", {one.only_theirs} connected only there" if one.only_theirs else ""
        won = f", {one.only_ours} only here" if one.only_ours else ""
        bounds = f" (95 %: {one.low * 1000:+.0f} to {one.high * 1000:+.0f} ms, {one.pairs} pairs)"
        yield f"   {name:52} {one.words}{bounds if one.pairs else ''}{lost}{won}"


def progress(outcome: Outcome, number: int, count: int) -> str:
    took = outcome.why if outcome.applied is None else f"{outcome.applied * 1000:.0f} ms"
    return f"{number}/{count} {outcome.case.network}, {outcome.case.name}, {outcome.treatment}: {took}"
