"""The outcomes as one page of HTML with drawn charts, and nothing else needed to look at it.

A dot is a call, a bar reaches to the median, a thin line to the 95th percentile. What
failed stands as a number beside them: a treatment that only connects sometimes is not fast.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from bench.ice_lab.call import Outcome
from bench.ice_lab.figures import Row, Spread, rows
from bench.ice_lab.goals import Figure, connectivity, figure_of, judge, shares
from bench.ice_lab.networks import NETWORKS
from bench.ice_lab.report import (
    GOALS_HEADING,
    SHARES_HEADING,
    connected_words,
    goal_rows,
    more,
    shares_rows,
)

COLOURS = (
    "#0b7a75", "#c8553d", "#2f6fab", "#8fb339", "#5fb3ae", "#e3a08f",
    "#8a8d91", "#6d597a", "#b56576",
)  # fmt: skip
"""By treatment, in the order in which they are listed: `force` of ours and theirs first."""
LEFT, WIDTH, RIGHT, ROW = 168, 500, 232, 24
GOALS_WORDS = """Medians, milliseconds where nothing is said. What is to beat and what is aimed for in the
specification, and what that comes to beside the same treatment in this run."""
SHARES_WORDS = """Milliseconds of call to media, medians. The advice is not to wait for candidates: its part
is what it gains with rtpengine. The daemon's part is between relays whose phones were told the same."""
WORDS: dict[Figure, str] = {
    "round trip": "Round trip of media from phone to phone, at the end of the call",
    "return path": "From the caller's first check at its new address until media is there",
}
STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
STYLE = """
:root { color-scheme: light; color: #1f2933;
  font: 15px/1.45 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
body { margin: 0 auto; max-width: 960px; padding: 32px 24px 64px; background: #fff; }
h1 { font-size: 26px; margin: 0 0 6px; } h2 { font-size: 19px; margin: 40px 0 0; }
h3 { font-size: 15px; font-weight: 600; margin: 18px 0 2px; }
p { margin: 4px 0 10px; max-width: 46em; } .quiet { color: #616e7c; font-size: 13px; }
svg { display: block; width: 100%; height: auto; }
text { font: 12.5px system-ui, "DejaVu Sans", sans-serif; fill: #1f2933; }
.axis { stroke: #e4e7eb; } .scale, .few { fill: #7b8794; font-size: 11px; }
.failed { fill: #b42318; font-weight: 600; }
table { border-collapse: collapse; font-size: 13px; margin: 8px 0; }
th, td { text-align: left; padding: 3px 10px 3px 0; border-bottom: 1px solid #e4e7eb; vertical-align: top; }
th { color: #616e7c; font-weight: 600; } .missed td:last-child { color: #b42318; font-weight: 600; }
ul { font-size: 13px; margin: 4px 0; padding-left: 20px; } .figure { font-size: 13px; margin: 8px 0 0; }
.legend span { display: inline-block; margin-right: 18px; white-space: nowrap; }
.legend i { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin-right: 6px; }
"""


def page(
    outcomes: Sequence[Outcome], treatments: Sequence[str], machine: dict[str, Any], limit: float
) -> str:
    """``limit`` in seconds, as it was for the calls."""
    colours = {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(treatments)}
    found = rows(outcomes, treatments)
    n = max((row.n for row in found), default=0)
    legend = "".join(
        f'<span><i style="background:{colours[name]}"></i>{escape(name)}</span>' for name in treatments
    )
    state = ", ".join(f"{name} {value}" for name, value in machine.items())
    return "\n".join(
        [
            '<!doctype html><html lang="en"><meta charset="utf-8"><title>ICE lab</title>',
            f"<style>{STYLE}</style>",
            "<h1>How long until both hear each other</h1>",
            *_summary(outcomes),
            "<h2>Every case</h2>",
            "<p>Milliseconds from the moment the caller has the answer until media has arrived both ways. "
            "A dot is a call, the bar ends at the median, the line at the 95th percentile. "
            f"Up to {n} calls each, in turns; a call has failed after {limit:g} seconds.</p>",
            f'<p class="legend">{legend}</p>',
            *_networks(found, outcomes, colours),
            f'<p class="quiet" style="margin-top:36px">{escape(state)}</p></html>',
        ]
    )


def _summary(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Goals, shares and connectivity as tables."""
    if verdicts := judge(outcomes):
        yield f"<h2>Goals</h2><p>{GOALS_WORDS}</p>"
        yield _table(GOALS_HEADING, goal_rows(verdicts))
    if found := list(shares(outcomes)):
        yield f"<h2>The advice's part, and the daemon's</h2><p>{SHARES_WORDS}</p>"
        yield _table(SHARES_HEADING, shares_rows(found))
    if reached := connectivity(outcomes):
        lines = "".join(f"<li>{escape(line)}</li>" for line in connected_words(reached))
        yield f"<h2>Connected</h2><ul>{lines}</ul>"


def _table(heading: Sequence[str], found: Iterable[Sequence[str]]) -> str:
    lines = [f"<tr>{''.join(f'<th>{escape(text)}</th>' for text in heading)}</tr>"]
    for row in found:
        lines.append(f"<tr{_missed(row)}>{''.join(f'<td>{escape(text)}</td>' for text in row)}</tr>")
    return f"<table>{''.join(lines)}</table>"


def _missed(row: Sequence[str]) -> str:
    return ' class="missed"' if row[-1].startswith("missed") else ""


def _networks(found: Sequence[Row], outcomes: Sequence[Outcome], colours: dict[str, str]) -> Iterator[str]:
    network = ""
    for case in dict.fromkeys(row.case for row in found):
        if case.network != network:
            network = case.network
            words = NETWORKS[network].words
            yield f"<h2>{escape(words[0].upper() + words[1:])}</h2>"
        yield f"<h3>{escape(case.name)}</h3>"
        those = [row for row in found if row.case == case]
        mine = [one for one in outcomes if one.case == case]
        yield _chart(case.name, list(_bars(those, mine, "answer to media")), colours)
        for figure in ("round trip", "return path"):
            if bars := [bar for bar in _bars(those, mine, figure) if bar.spread is not None]:
                yield f'<p class="figure">{WORDS[figure]}</p>'
                yield _chart(f"{case.name}, {figure}", bars, colours)
        if others := [f"{row.treatment}: {'; '.join(more(row))}" for row in those if row.has_more]:
            yield "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in others) + "</ul>"


@dataclass(frozen=True)
class Bar:
    """``note`` stands at the right, after the median and how many calls connected."""

    treatment: str
    spread: Spread | None
    times: list[float]
    n: int
    ok: int
    note: str


def _bars(found: Sequence[Row], outcomes: Sequence[Outcome], figure: Figure) -> Iterator[Bar]:
    for row in found:
        mine = [one for one in outcomes if one.treatment == row.treatment and one.why is None]
        times = [time for one in mine if (time := figure_of(one, figure)) is not None]
        note = ""
        if figure == "answer to media" and row.caller_checks is not None and row.callee_checks is not None:
            note = f"{row.caller_checks.median:.0f} + {row.callee_checks.median:.0f}"
        yield Bar(row.treatment, Spread.of(times), [time * 1000 for time in times], row.n, row.ok, note)


def _chart(label: str, bars: Sequence[Bar], colours: dict[str, str]) -> str:
    most = max((bar.spread.most for bar in bars if bar.spread), default=0.1) * 1000
    step = next((step for step in STEPS if most / step <= 8), STEPS[-1])
    top = step * (most // step + 1)
    height = ROW * len(bars) + 22
    parts = [
        f'<svg viewBox="0 0 {LEFT + WIDTH + RIGHT} {height}" role="img" aria-label="{escape(label)}">',
        f'<text class="few" x="{LEFT + WIDTH + RIGHT}" y="{height - 6}" text-anchor="end">'
        f"median · connected{' · checks' if bars[0].note else ''}</text>",
    ]
    for tick in range(0, int(top) + 1, step):
        x = LEFT + WIDTH * tick / top
        parts.append(f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height - 20}"/>')
        parts.append(f'<text class="scale" x="{x:.1f}" y="{height - 6}" text-anchor="middle">{tick}</text>')
    for index, bar in enumerate(bars):
        parts += _row(bar, ROW * index + ROW / 2, WIDTH / top, colours[bar.treatment])
    return "".join([*parts, "</svg>"])


def _row(bar: Bar, y: float, scale: float, colour: str) -> Iterator[str]:
    """``scale`` is in units of the drawing for a millisecond."""
    yield f'<text x="{LEFT - 10}" y="{y + 4:.1f}" text-anchor="end">{escape(bar.treatment)}</text>'
    if bar.spread is not None:
        median, p95 = bar.spread.median * 1000, bar.spread.p95 * 1000
        yield (
            f'<rect x="{LEFT}" y="{y - 7:.1f}" width="{max(1.0, median * scale):.1f}" height="14" rx="2" '
            f'fill="{colour}" opacity="0.85"/>'
        )
        yield (
            f'<line x1="{LEFT + median * scale:.1f}" x2="{LEFT + p95 * scale:.1f}" y1="{y:.1f}" y2="{y:.1f}" '
            f'stroke="{colour}" stroke-width="2"/>'
        )
    for index, time in enumerate(bar.times):
        offset = (index % 5 - 2) * 2.2
        yield (
            f'<circle cx="{LEFT + time * scale:.1f}" cy="{y + offset:.1f}" r="2.1" fill="{colour}" '
            'stroke="#fff" stroke-width="0.8"/>'
        )
    yield _figures(bar, y)


def _figures(bar: Bar, y: float) -> str:
    """What stands to the right of the bar."""
    median = f"{bar.spread.median * 1000:.0f} ms" if bar.spread else "-"
    kind = ' class="failed"' if bar.ok < bar.n else ""
    at = LEFT + WIDTH
    return (
        f'<text x="{at + 66}" y="{y + 4:.1f}" text-anchor="end">{median}</text>'
        f'<text{kind} x="{at + 128}" y="{y + 4:.1f}" text-anchor="end">{bar.ok}/{bar.n}</text>'
        f'<text x="{at + RIGHT}" y="{y + 4:.1f}" text-anchor="end">{bar.note}</text>'
    )
