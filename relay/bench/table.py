"""The results as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from relay.bench.figures import Spread
from relay.bench.scenarios import Scenario
from relay.bench.session import Results


@dataclass(frozen=True, slots=True)
class Metric:
    """How a figure is shown. ``compared``: a ratio of it means something."""

    title: str
    unit: str
    decimals: int
    compared: bool = True
    more_is_better: bool = False

    def show(self, value: float) -> str:
        """Without the unit."""
        return f"{value:,.{self.decimals}f}"

    def show_spread(self, spread: Spread) -> str:
        """Median, and the range if there were several."""
        if spread.least == spread.most:
            return self.show(spread.median)
        return f"{self.show(spread.median)} ({self.show(spread.least)} .. {self.show(spread.most)})"


METRICS = {
    "startup": Metric("start to first pong", "s", 2),
    "memory": Metric("memory per call", "KiB", 0),
    "descriptors": Metric("descriptors per call", "", 1),
    "calls-per-cpu-second": Metric("calls per CPU-second", "1/s", 0, more_is_better=True),
    "cpu-per-call": Metric("CPU per call", "ms", 2),
    "cpu": Metric("CPU of the process per packet", "us", 1),
    "cpu-all": Metric("CPU of process and generator, less direct", "us", 1),
    "p50": Metric("added latency, median", "ms", 3),
    "p99": Metric("added latency, p99", "ms", 3),
    "p99.9": Metric("added latency, p99.9", "ms", 3),
    "max": Metric("longest latency", "ms", 3, compared=False),
    "delivered": Metric("delivered packets", "1/s", 0, compared=False),
    "loss": Metric("loss", "%", 4, compared=False),
    "waited": Metric("process waited for its core", "%", 1, compared=False),
    "late": Metric("generator sent late", "%", 2, compared=False),
    "saturation": Metric("highest rate", "1/s", 0, more_is_better=True),
    "generator-limited": Metric("the generator was the limit", "0..1", 0, compared=False),
}


def lines(results: Results) -> Iterator[str]:
    """The table and what is to be said around it."""
    yield from heading(results)
    width = max(len(metric.title) + len(metric.unit) for metric in METRICS.values()) + 3
    for scenario in results.scenarios:
        rows = [_row(results, scenario, name) for name in _measured(results, scenario)]
        names = ["".ljust(width), *(relay.name for relay in results.relays)]
        names += [f"{relay.name} / {results.relays[-1].name}" for relay in results.relays[:-1]]
        yield ""
        yield scenario.title
        widths = [max(len(cells[column]) for cells in (names, *rows)) for column in range(len(names))]
        for cells in (names, *rows):
            numbers = [cell.rjust(room) for cell, room in zip(cells[1:], widths[1:], strict=True)]
            yield "  " + "   ".join((cells[0].ljust(widths[0]), *numbers)).rstrip()
    complaints = list(results.complaints())
    if complaints:
        yield ""
        yield "What must not happen, and did:"
        yield from (f"  {text}" for text in complaints)


def heading(results: Results) -> Iterator[str]:
    """The machine, the relays, and how to read the figures."""
    about = results.machine
    yield (
        f"{about['cores']} cores ({about['cpu']}), Linux {about['kernel']}, governor {about['governor']}, "
        f"load {about['load']:.1f} at the start; "
        f"meanwhile {about['idle_percent']:.0f} % idle, {about['steal_percent']:.1f} % stolen"
    )
    relay, generator = results.cores
    if relay is None:
        yield f"network {results.network}; relays and generator share all cores"
    else:
        pinned = f"relays on core {relay}, one measured at a time; generator on core {generator}"
        yield f"network {results.network}; {pinned}"
    for one in results.relays:
        yield f"{one.name}: {one.command}"
    times = f"{results.repeats} repeats in {results.seconds:,.0f} s"
    yield f"{times}: median (least .. most); ratios are of medians"


def _measured(results: Results, scenario: Scenario) -> list[str]:
    return [
        name for name in METRICS if any(results.spread(scenario, relay, name) for relay in results.relays)
    ]


def _row(results: Results, scenario: Scenario, name: str) -> list[str]:
    metric = METRICS[name]
    unit = f", {metric.unit}" if metric.unit else ""
    cells = [f"{metric.title}{unit}"]
    for relay in results.relays:
        spread = results.spread(scenario, relay, name)
        cells.append(metric.show_spread(spread) if spread else "-")
    for relay in results.relays[:-1]:
        ratio = results.ratio(scenario, relay, name) if metric.compared else None
        cells.append(show_ratio(ratio) if ratio is not None else "")
    return cells


def show_ratio(ratio: float) -> str:
    """With two digits that count, down to a thousandth."""
    return f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.3f}"


def as_json(results: Results) -> dict[str, Any]:
    """Everything: each figure of each repeat, in the order of the repeats."""
    return {
        "machine": results.machine,
        "network": results.network,
        "cores": {"relay": results.cores[0], "generator": results.cores[1]},
        "relays": {relay.name: relay.command for relay in results.relays},
        "repeats": results.repeats,
        "seconds": results.seconds,
        "scenarios": {
            scenario.name: {
                "title": scenario.title,
                "relays": {relay.name: _outcomes(results, scenario, relay.name) for relay in results.relays},
            }
            for scenario in results.scenarios
        },
        "units": {name: metric.unit for name, metric in METRICS.items()},
    }


def _outcomes(results: Results, scenario: Scenario, relay: str) -> list[dict[str, Any]]:
    return [
        {"figures": one.figures, "faults": one.faults, "error": one.error}
        for one in results.outcomes.get((scenario.name, relay), [])
    ]
