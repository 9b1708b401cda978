"""The results as a page that a person looks at: HTML with drawings in it, nothing to load."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from relay.bench import table
from relay.bench.figures import Spread
from relay.bench.scenarios import Scenario
from relay.bench.session import Results
from relay.bench.table import METRICS

COLOURS = ("#1f6feb", "#9aa4b2", "#d9822b", "#2da44e", "#a371f7")
LEFT, RIGHT, BAR, GAP, WIDTH = 250, 200, 17, 12, 860
"""Pixels: names, figures behind the bars, height of a bar, between scenarios, all."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One drawing: a metric over the scenarios that have it. ``logarithmic`` for what spans decades."""

    title: str
    metric: str
    logarithmic: bool = False


PANELS = (
    Panel("CPU of the relay per packet", "cpu"),
    Panel("CPU of relay and generator per packet, less a direct run", "cpu-all"),
    Panel("Added latency, median", "p50", logarithmic=True),
    Panel("Added latency, 99 % of packets are faster", "p99", logarithmic=True),
    Panel("Highest rate on one core at < 0.1 % loss", "saturation"),
    Panel("Calls set up and deleted per second of CPU", "calls-per-cpu-second"),
    Panel("Memory per call", "memory"),
    Panel("Start to first pong", "startup"),
)

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #1c2128; background: #fff; }
body { max-width: 900px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: .2rem; }
h2 { font-size: 1.05rem; margin: 2rem 0 .3rem; }
h2 small { color: #667; font-weight: normal; }
.about { color: #556; font-size: .85rem; overflow-wrap: anywhere; }
.key span { display: inline-block; width: .8rem; height: .8rem; margin: 0 .35rem 0 1rem; border-radius: 2px; }
.bad { color: #b42318; }
svg { width: 100%; height: auto; display: block; }
pre { font-size: .72rem; overflow-x: auto; background: #f5f7f9; padding: .8rem; }
"""


def page(results: Results) -> str:
    """One file, to be kept or sent."""
    about = "<br>".join(escape(line) for line in table.heading(results))
    complaints = "".join(f"<li>{escape(text)}</li>" for text in results.complaints())
    names = " and ".join(relay.name for relay in results.relays)
    drawings = "".join(_section(results, panel) for panel in PANELS)
    text = escape("\n".join(table.lines(results)))
    return (
        f"<!doctype html>\n<html lang=en><meta charset=utf-8><title>icerelay bench: {escape(names)}</title>"
        f"<style>{STYLE}</style><h1>{escape(names)}</h1><p class=about>{about}</p>{_key(results)}"
        + (f"<h2>What must not happen, and did</h2><ul class=bad>{complaints}</ul>" if complaints else "")
        + f"{drawings}<h2>All figures</h2><pre>{text}</pre></html>\n"
    )


def _key(results: Results) -> str:
    entries = zip(results.relays, COLOURS, strict=False)
    shown = "".join(
        f'<span style="background:{colour}"></span>{escape(relay.name)}' for relay, colour in entries
    )
    return f"<p class=key>Bars are medians, thin lines reach from the least to the most:{shown}</p>"


def _section(results: Results, panel: Panel) -> str:
    metric = METRICS[panel.metric]
    scenarios = [
        scenario
        for scenario in results.scenarios
        if any(results.spread(scenario, relay, panel.metric) for relay in results.relays)
    ]
    if not scenarios:
        return ""
    better = "more is better" if metric.more_is_better else "less is better"
    scale = ", logarithmic" if panel.logarithmic else ""
    return f"<h2>{escape(panel.title)} <small>{escape(metric.unit)}{scale}; {better}</small></h2>" + _drawing(
        results, panel, scenarios
    )


def _drawing(results: Results, panel: Panel, scenarios: Sequence[Scenario]) -> str:
    each = BAR * len(results.relays) + GAP
    height = each * len(scenarios) + GAP
    axis = _Axis.over(
        [
            spread
            for scenario in scenarios
            for relay in results.relays
            if (spread := results.spread(scenario, relay, panel.metric))
        ],
        panel.logarithmic,
    )
    marks = "".join(
        mark
        for row, scenario in enumerate(scenarios)
        for mark in _group(results, panel, scenario, GAP + row * each, axis)
    )
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" font-family="system-ui, sans-serif" font-size="12">'
        f'<line x1="{LEFT}" y1="4" x2="{LEFT}" y2="{height - 4}" stroke="#c5ccd6"/>{marks}</svg>'
    )


@dataclass(frozen=True, slots=True)
class _Axis:
    least: float
    most: float
    logarithmic: bool

    @classmethod
    def over(cls, spreads: Sequence[Spread], logarithmic: bool) -> _Axis:
        most = max(spread.most for spread in spreads)
        if not logarithmic:
            return cls(0.0, max(most, 1e-9), False)
        positive = [spread.least for spread in spreads if spread.least > 0]
        least = min(positive, default=1e-3)
        return cls(math.floor(math.log10(least)), math.log10(max(most, 10 * least)), True)

    def at(self, value: float) -> float:
        """Pixels from the left edge of the drawing."""
        if self.logarithmic:
            value = math.log10(value) if value > 0 else self.least
        share = (value - self.least) / (self.most - self.least)
        return LEFT + (WIDTH - LEFT - RIGHT) * min(1.0, max(0.0, share))


def _group(results: Results, panel: Panel, scenario: Scenario, top: float, axis: _Axis) -> Iterator[str]:
    """The bars of one scenario."""
    metric = METRICS[panel.metric]
    middle = top + BAR * len(results.relays) / 2 + 4
    name = escape(scenario.title.partition(":")[0])
    yield f'<text x="{LEFT - 10}" y="{middle}" text-anchor="end">{name}</text>'
    for place, relay in enumerate(results.relays):
        spread = results.spread(scenario, relay, panel.metric)
        if spread is None:
            continue
        y = top + place * BAR
        end, low, high = axis.at(spread.median), axis.at(spread.least), axis.at(spread.most)
        colour = COLOURS[place % len(COLOURS)]
        width = max(1.0, end - LEFT)
        yield f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR - 3}" fill="{colour}"/>'
        if high - low > 1:
            centre = y + (BAR - 3) / 2
            ends = f"M{low:.1f} {y + 3}v8M{high:.1f} {y + 3}v8"
            yield f'<path d="M{low:.1f} {centre}H{high:.1f}{ends}" stroke="#1c2128"/>'
        ratio = results.ratio(scenario, relay, panel.metric)
        told = metric.show(spread.median) + (
            f"  ({table.show_ratio(ratio)} of {results.relays[-1].name})" if ratio is not None else ""
        )
        yield f'<text x="{max(end, high) + 7:.1f}" y="{y + BAR - 6}">{escape(told)}</text>'
