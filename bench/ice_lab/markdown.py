"""The outcomes as Markdown: what stands in the documentation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from bench.ice_lab.call import Outcome
from bench.ice_lab.figures import Row, Spread, compare, rows
from bench.ice_lab.goals import connectivity, judge, shares
from bench.ice_lab.report import (
    COMPARED,
    GOALS_HEADING,
    SHARES_HEADING,
    connected_words,
    goal_rows,
    more,
    shares_rows,
)

CASES_HEADING = (
    "case", "between the phones", "connected", "answer to media, ms: min / median / p95 / max",
    "call to media, median", "checks of caller + callee, median", "",
)  # fmt: skip


def document(outcomes: Sequence[Outcome], treatments: Sequence[str], machine: dict[str, Any]) -> str:
    """Goals, shares, comparisons, connectivity and every case."""
    lines = ["; ".join(f"{name}: {value}" for name, value in machine.items()) + ".", ""]
    if verdicts := judge(outcomes):
        lines += [*table(GOALS_HEADING, goal_rows(verdicts)), ""]
    if found := list(shares(outcomes)):
        lines += [*table(SHARES_HEADING, shares_rows(found)), ""]
    for ours, theirs in COMPARED:
        if both := compare(outcomes, ours, theirs):
            cells = (
                (str(one.case), f"{one.words} (95 %: {one.low * 1000:+.0f} to {one.high * 1000:+.0f})")
                for one in both
            )
            lines += [*table(("answer to media", f"{ours} against {theirs}"), cells), ""]
    lines += [*(f"- {line}" for line in connected_words(connectivity(outcomes))), ""]
    lines += [*table(CASES_HEADING, (_cells(row) for row in rows(outcomes, treatments))), ""]
    return "\n".join(lines)


def table(heading: Sequence[str], found: Iterable[Sequence[str]]) -> Iterator[str]:
    """
    >>> list(table(("a", ""), [("1", "x | y")]))
    ['| a |  |', '|---|---|', '| 1 | x / y |']
    """
    yield f"| {' | '.join(heading)} |"
    yield f"|{'---|' * len(heading)}"
    for cells in found:
        yield f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _cells(row: Row) -> tuple[str, ...]:
    checks = [_whole(spread) for spread in (row.caller_checks, row.callee_checks)]
    failures = [f"{count} x {why}" for why, count in row.failures.items()]
    return (
        str(row.case),
        row.treatment,
        f"{row.ok}/{row.n}",
        _times(row.applied),
        "-" if row.offered is None else f"{row.offered.median * 1000:.0f}",
        " + ".join(checks),
        "; ".join([*more(row), *failures]),
    )


def _times(spread: Spread | None) -> str:
    if spread is None:
        return "-"
    least, median, p95, most = (
        f"{value * 1000:.0f}" for value in (spread.least, spread.median, spread.p95, spread.most)
    )
    return f"{least} / **{median}** / {p95} / {most}"


def _whole(spread: Spread | None) -> str:
    return "-" if spread is None else f"{spread.median:.0f}"
