"""One scenario against one relay: a figure for each metric."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from relay.bench import calls, machine
from relay.bench.calls import Call, Kind, set_up, tear_down
from relay.bench.errors import BenchFailed
from relay.bench.figures import Traffic
from relay.bench.generator import Generator
from relay.bench.relays import Running
from relay.bench.scenarios import Control, Media, Memory, Plan, Saturation
from relay.bench.streams import Job

Figures = dict[str, float]

PUNCTUAL = 0.97
"""Share of the wanted rate below which the generator is the limit."""

USELESS = 0.1
"""Seconds after which a packet comes too late for a phone. Without this limit a relay's sockets, which hold
a second of traffic, would hide for as long as a probe lasts that it cannot keep up."""

CALM = 5.0
"""Percent of ``unrest`` up to which there is no second attempt. A relay that waits for its core finds several
packets when its turn comes, and looks cheaper than it is."""

MAX_LOSS = 0.001
FIRST_RATE = 40_000.0
"""Packets/s that any relay of today forwards on one core."""
STEP = 1.4
FINE_ENOUGH = 1.05
"""Ratio of the lowest rate that failed to the highest that did not."""
PROBE = 1.5
"""Seconds."""


@dataclass(slots=True)
class Outcome:
    """Figures by metric; what a relay must never do, where it did; ``error`` if it could not be measured."""

    figures: Figures = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    error: str = ""


@contextlib.contextmanager
def calls_up(run: Running, kind: Kind, count: int, generator: Generator) -> Iterator[list[Call]]:
    """So many calls for the time of the block."""
    up: list[Call] = []
    try:
        for _ in range(count):
            up.append(set_up(run.client, kind, generator.phones))
        yield up
    finally:
        for call in up:
            tear_down(run.client, call)


# ---- media


def direct(scenario: Media, plan: Plan, generator: Generator) -> Traffic:
    """The same packets from phone to phone."""
    generator.hold(calls.direct_job(scenario.calls, generator.phones, scenario.size, scenario.burst))
    generator.run(plan.warm_up, scenario.interval)
    return generator.run(plan.seconds, scenario.interval)


def media(
    scenario: Media, plan: Plan, run: Running, generator: Generator, past_relay: Traffic | None
) -> Outcome:
    """CPU time, latency and loss. ``past_relay`` is the direct run, if there is one.

    While others disturb it, there is another attempt, as long as the plan has some.
    """
    outcomes: list[Outcome] = []
    with calls_up(run, scenario.kind, scenario.calls, generator) as up:
        generator.hold(job_for(scenario, up))
        generator.run(plan.warm_up, scenario.interval)
        while len(outcomes) < plan.attempts and all(unrest(outcome) > CALM for outcome in outcomes):
            before = run.time()
            traffic = generator.run(plan.seconds, scenario.interval)
            used = run.time() - before
            outcomes.append(Outcome(media_figures(traffic, used, past_relay), traffic.faults))
    return calmest(outcomes)


def calmest(outcomes: Sequence[Outcome]) -> Outcome:
    """The figures of the attempt that was disturbed least, and the faults of all."""
    faults: Counter[str] = sum((Counter(outcome.faults) for outcome in outcomes), Counter())
    return Outcome(min(outcomes, key=unrest).figures, dict(faults))


def unrest(outcome: Outcome) -> float:
    """Percent of the time in which another process had the relay's core, or packets that left late."""
    return max(outcome.figures["waited"], outcome.figures["late"])


def job_for(scenario: Media, up: list[Call]) -> Job:
    """What the generator is to send through these calls."""
    if scenario.kind is calls.ICE:
        return calls.checks_job(up)
    return calls.media_job(up, scenario.kind, scenario.size, scenario.burst)


def media_figures(traffic: Traffic, used: machine.Time, past_relay: Traffic | None) -> Figures:
    """Microseconds, milliseconds and percent."""
    if not traffic.received:
        raise BenchFailed(f"of {traffic.sent} packets none arrived ({_listed(traffic.faults)})")
    figures = {
        "cpu": 1e6 * used.ran / traffic.received,
        "waited": 100 * used.waited / traffic.seconds,
        "loss": 100 * traffic.loss,
        "late": 100 * traffic.late / traffic.sent,
        "delivered": traffic.received / traffic.seconds,
    }
    for metric, percent in (("p50", 50), ("p99", 99), ("p99.9", 99.9)):
        unavoidable = past_relay.latency(percent) if past_relay else 0.0
        figures[metric] = 1e3 * (traffic.latency(percent) - unavoidable)
    figures["max"] = 1e3 * traffic.latency(100)
    if past_relay and past_relay.received:
        both = (used.ran + traffic.processor) / traffic.received
        figures["cpu-all"] = 1e6 * (both - past_relay.processor / past_relay.received)
    return figures


def _listed(faults: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in faults.items())


# ---- control, memory, start


def control(scenario: Control, run: Running, generator: Generator) -> Outcome:
    """CPU time per call, the other way round."""
    with calls_up(run, scenario.kind, 5, generator):
        pass
    before = run.time()
    for _ in range(scenario.calls):
        tear_down(run.client, set_up(run.client, scenario.kind, generator.phones))
    used = run.time() - before
    return Outcome(
        {"calls-per-cpu-second": scenario.calls / used.ran, "cpu-per-call": 1e3 * used.ran / scenario.calls}
    )


def memory(scenario: Memory, run: Running, generator: Generator) -> Outcome:
    """Of what follows the first call, which loads and allocates what all share."""
    with calls_up(run, scenario.kind, 1, generator):
        octets, descriptors = machine.memory(run.pid), machine.descriptors(run.pid)
        with calls_up(run, scenario.kind, scenario.calls, generator):
            octets, descriptors = machine.memory(run.pid) - octets, machine.descriptors(run.pid) - descriptors
    return Outcome(
        {
            "memory": octets / 1024 / scenario.calls,
            "descriptors": descriptors / scenario.calls,
        }
    )


# ---- saturation


class _Prober:
    """Tries rates. After one that was too much the calls are new: a relay may have given up on the old."""

    def __init__(self, scenario: Saturation, run: Running, generator: Generator) -> None:
        self._scenario, self._run, self._generator = scenario, run, generator
        self._up: list[Call] = []
        self.generator_was_the_limit = False

    def carries(self, rate: float) -> bool:
        """Whether that many packets per second pass. Tried twice: a neighbour may have spoilt the first."""
        return self._probe(rate) or (not self.generator_was_the_limit and self._probe(rate))

    def _probe(self, rate: float) -> bool:
        if not self._up:
            for _ in range(self._scenario.calls):
                self._up.append(set_up(self._run.client, calls.PLAIN, self._generator.phones))
            self._generator.hold(calls.media_job(self._up, calls.PLAIN, 172, 1))
            self._generator.run(0.2, 0.020)
        traffic = self._generator.run(PROBE, 2 * self._scenario.calls / rate)
        self.generator_was_the_limit = traffic.rate < PUNCTUAL * rate
        useful = traffic.received - traffic.later_than(USELESS)
        passed = useful >= (1 - MAX_LOSS) * traffic.sent and not self.generator_was_the_limit
        if not passed:
            self.end()
        return passed

    def end(self) -> None:
        """Of the calls."""
        while self._up:
            tear_down(self._run.client, self._up.pop())


def saturation(scenario: Saturation, run: Running, generator: Generator) -> Outcome:
    """The highest rate that passed, and whether it was the generator that could not do more."""
    prober = _Prober(scenario, run, generator)
    limited = 0.0
    low, high, rate = 0.0, float("inf"), FIRST_RATE
    try:
        for _ in range(scenario.probes):
            if prober.carries(rate):
                low = rate
            else:
                high, limited = rate, float(prober.generator_was_the_limit)
            if high < FINE_ENOUGH * low:
                break
            rate = low * STEP if high == float("inf") else (low + high) / 2
    finally:
        prober.end()
    return Outcome({"saturation": low, "generator-limited": limited})
