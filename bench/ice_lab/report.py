"""The outcomes as a table on the terminal and as JSON."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from typing import Any

from bench.ice_lab.call import Outcome
from bench.ice_lab.figures import Comparison, Row, Spread
from bench.ice_lab.networks import NETWORKS

HEADING = f"{'':24} {'connected':>9}   {'answer to media, ms':^25}   {'call to media, ms':^25}   checks sent"
COLUMNS = (
    f"{'':24} {'':>9}   {'min':>5} {'median':>6} {'p95':>6} {'max':>5}"
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
            f"   {row.treatment:21} {row.ok:>4}/{row.n:<4}   "
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


def verdict(comparisons: Sequence[Comparison], ours: str, theirs: str) -> Iterator[str]:
    """How ours did, case by case; the interval is that of the median difference."""
    yield ""
    yield f"== {ours} against {theirs}, answer to media, pair by pair"
    for one in comparisons:
        name = f"{one.case.network}: {one.case.name}"
        lost = f", {one.only_theirs} connected only there" if one.only_theirs else ""
        won = f", {one.only_ours} only here" if one.only_ours else ""
        bounds = f" (95 %: {one.low * 1000:+.0f} to {one.high * 1000:+.0f} ms, {one.pairs} pairs)"
        yield f"   {name:42} {one.words}{bounds if one.pairs else ''}{lost}{won}"


def progress(outcome: Outcome, number: int, count: int) -> str:
    took = outcome.why if outcome.applied is None else f"{outcome.applied * 1000:.0f} ms"
    return f"{number}/{count} {outcome.case.network}, {outcome.case.name}, {outcome.treatment}: {took}"
