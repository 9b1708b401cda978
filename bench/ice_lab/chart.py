"""The outcomes as one page of HTML with drawn charts, and nothing else needed to look at it.

A dot is a call, a bar reaches to the median, a thin line to the 95th percentile. What
failed stands as a number beside them: a treatment that only connects sometimes is not fast.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

from bench.ice_lab.call import Case, Outcome
from bench.ice_lab.figures import Row, rows
from bench.ice_lab.networks import NETWORKS

COLOURS = ("#0b7a75", "#c8553d", "#5fb3ae", "#e3a08f", "#8a8d91", "#6d597a", "#b56576")
"""By treatment; ours and theirs in one hue each, `force` the strong one."""
LEFT, WIDTH, RIGHT, ROW = 168, 500, 232, 24
STEPS = (50, 100, 200, 500, 1000, 2000, 5000)
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
            "<p>Milliseconds from the moment the caller has the answer until media has arrived both ways. "
            "A dot is a call, the bar ends at the median, the line at the 95th percentile. "
            f"Up to {n} calls each, in turns; a call has failed after {limit:g} seconds.</p>",
            f'<p class="legend">{legend}</p>',
            *_networks(found, outcomes, colours),
            f'<p class="quiet" style="margin-top:36px">{escape(state)}</p></html>',
        ]
    )


def _networks(found: Sequence[Row], outcomes: Sequence[Outcome], colours: dict[str, str]) -> Iterator[str]:
    network = ""
    for case in dict.fromkeys(row.case for row in found):
        if case.network != network:
            network = case.network
            words = NETWORKS[network].words
            yield f"<h2>{escape(words[0].upper() + words[1:])}</h2>"
        yield f"<h3>{escape(case.name)}</h3>"
        yield _chart(case, [row for row in found if row.case == case], outcomes, colours)


def _chart(case: Case, found: Sequence[Row], outcomes: Sequence[Outcome], colours: dict[str, str]) -> str:
    most = max((row.applied.most for row in found if row.applied), default=0.1) * 1000
    step = next((step for step in STEPS if most / step <= 8), STEPS[-1])
    top = step * (most // step + 1)
    height = ROW * len(found) + 22
    parts = [
        f'<svg viewBox="0 0 {LEFT + WIDTH + RIGHT} {height}" role="img" aria-label="{escape(case.name)}">',
        f'<text class="few" x="{LEFT + WIDTH + RIGHT}" y="{height - 6}" text-anchor="end">'
        "median · connected · checks</text>",
    ]
    for tick in range(0, int(top) + 1, step):
        x = LEFT + WIDTH * tick / top
        parts.append(f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height - 20}"/>')
        parts.append(f'<text class="scale" x="{x:.1f}" y="{height - 6}" text-anchor="middle">{tick}</text>')
    for index, row in enumerate(found):
        mine = [one.applied for one in outcomes if (one.case, one.treatment) == (case, row.treatment)]
        times = [time * 1000 for time in mine if time is not None]
        parts += _row(row, times, ROW * index + ROW / 2, WIDTH / top, colours[row.treatment])
    return "".join([*parts, "</svg>"])


def _row(row: Row, times: Sequence[float], y: float, scale: float, colour: str) -> Iterator[str]:
    """``scale`` is in units of the drawing for a millisecond."""
    yield f'<text x="{LEFT - 10}" y="{y + 4:.1f}" text-anchor="end">{escape(row.treatment)}</text>'
    if row.applied is not None:
        median, p95 = row.applied.median * 1000, row.applied.p95 * 1000
        yield (
            f'<rect x="{LEFT}" y="{y - 7:.1f}" width="{max(1.0, median * scale):.1f}" height="14" rx="2" '
            f'fill="{colour}" opacity="0.85"/>'
        )
        yield (
            f'<line x1="{LEFT + median * scale:.1f}" x2="{LEFT + p95 * scale:.1f}" y1="{y:.1f}" y2="{y:.1f}" '
            f'stroke="{colour}" stroke-width="2"/>'
        )
    for index, time in enumerate(times):
        offset = (index % 5 - 2) * 2.2
        yield (
            f'<circle cx="{LEFT + time * scale:.1f}" cy="{y + offset:.1f}" r="2.1" fill="{colour}" '
            'stroke="#fff" stroke-width="0.8"/>'
        )
    yield _figures(row, y)


def _figures(row: Row, y: float) -> str:
    """What stands to the right of the bar."""
    median = f"{row.applied.median * 1000:.0f} ms" if row.applied else "-"
    kind = ' class="failed"' if row.ok < row.n else ""
    checks = ""
    if row.caller_checks is not None and row.callee_checks is not None:
        checks = f"{row.caller_checks.median:.0f} + {row.callee_checks.median:.0f}"
    at = LEFT + WIDTH
    return (
        f'<text x="{at + 66}" y="{y + 4:.1f}" text-anchor="end">{median}</text>'
        f'<text{kind} x="{at + 128}" y="{y + 4:.1f}" text-anchor="end">{row.ok}/{row.n}</text>'
        f'<text x="{at + RIGHT}" y="{y + 4:.1f}" text-anchor="end">{checks}</text>'
    )
