"""A whole run: every scenario, every relay in turn, several times over."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from relay.bench import machine, measure
from relay.bench.errors import BenchFailed
from relay.bench.figures import Spread, Traffic
from relay.bench.generator import Generator, generator
from relay.bench.measure import Outcome
from relay.bench.network import Network
from relay.bench.relays import Relay, Running, running
from relay.bench.scenarios import Control, Media, Memory, Plan, Saturation, Scenario, Start


@dataclass(slots=True)
class Results:
    """What came out. ``outcomes`` has a list for each scenario and relay: one outcome for each repeat."""

    relays: Sequence[Relay]
    scenarios: Sequence[Scenario]
    repeats: int
    network: str
    cores: tuple[int | None, int | None]
    machine: dict[str, str | int | float]
    outcomes: dict[tuple[str, str], list[Outcome]] = field(default_factory=dict)
    seconds: float = 0.0

    def add(self, scenario: Scenario, relay: Relay, outcome: Outcome) -> None:
        """Of the repeat that runs."""
        self.outcomes.setdefault((scenario.name, relay.name), []).append(outcome)

    def of(self, scenario: Scenario, relay: Relay) -> list[Outcome]:
        """None at all if it was not measured."""
        return self.outcomes.get((scenario.name, relay.name), [])

    def spread(self, scenario: Scenario, relay: Relay, metric: str) -> Spread | None:
        """None if there is no figure."""
        values = [one.figures[metric] for one in self.of(scenario, relay) if metric in one.figures]
        return Spread.of(values) if values else None

    def ratio(self, scenario: Scenario, relay: Relay, metric: str) -> float | None:
        """Median to the last relay's median; None for itself, and where one is missing or 0."""
        reference = self.relays[-1]
        mine, other = self.spread(scenario, relay, metric), self.spread(scenario, reference, metric)
        if relay is reference or mine is None or other is None or other.median <= 0 or mine.median < 0:
            return None
        return mine.median / other.median

    def complaints(self) -> Iterator[str]:
        """Sentences about relays that failed, or did to packets what they must not."""
        for scenario in self.scenarios:
            for relay in self.relays:
                for number, outcome in enumerate(self.of(scenario, relay), 1):
                    faults = ", ".join(
                        f"{count:,} {name.replace('_', ' ')}" for name, count in outcome.faults.items()
                    )
                    for text in filter(None, (outcome.error, faults)):
                        yield f"{relay.name}, {scenario.name}, run {number}: {text}"


def perform(
    plan: Plan,
    scenarios: Sequence[Scenario],
    relays: Sequence[Relay],
    network: Network,
    cores: tuple[int | None, int | None],
    say: Callable[[str], None],
) -> Results:
    """Relay by relay within a scenario, so that all meet the same neighbours; those not measured are idle.

    Raises ``BenchFailed``.
    """
    results = Results(relays, scenarios, plan.repeats, network.name, cores, machine.describe())
    began, ticks = time.monotonic(), machine.Ticks.now()
    with generator(network.phones, cores[1]) as phones:
        for repeat in range(1, plan.repeats + 1):
            session = _Repeat(plan, results, network, cores[0], phones, f"[{repeat}/{plan.repeats}]", say)
            session.fresh([one for one in scenarios if isinstance(one, Start | Memory)])
            session.rest([one for one in scenarios if not isinstance(one, Start | Memory)])
    results.machine |= machine.Ticks.now().since(ticks)
    results.seconds = time.monotonic() - began
    return results


@dataclass(slots=True)
class _Repeat:
    plan: Plan
    results: Results
    network: Network
    core: int | None
    phones: Generator
    number: str
    say: Callable[[str], None]

    def fresh(self, scenarios: Sequence[Start | Memory]) -> None:
        """What wants a relay that has just been started."""
        for scenario in scenarios:
            for place, relay in enumerate(self.results.relays):
                with running(relay, self.network, place, self.core) as run:
                    self._note(scenario, run, None)

    def rest(self, scenarios: Sequence[Scenario]) -> None:
        """The other scenarios, with relays that stay."""
        if not scenarios:
            return
        with contextlib.ExitStack() as started:
            runs = [
                started.enter_context(running(relay, self.network, place, self.core))
                for place, relay in enumerate(self.results.relays)
            ]
            for scenario in scenarios:
                past_relay = None
                if isinstance(scenario, Media) and scenario.has_direct_run:
                    self.say(f"{self.number} {scenario.name}: direct")
                    past_relay = measure.direct(scenario, self.plan, self.phones)
                for run in runs:
                    self._note(scenario, run, past_relay)

    def _note(self, scenario: Scenario, run: Running, past_relay: Traffic | None) -> None:
        self.say(f"{self.number} {scenario.name}: {run.relay.name}")
        try:
            outcome = self._measure(scenario, run, past_relay)
        except BenchFailed as error:
            outcome = Outcome(error=str(error))
        self.results.add(scenario, run.relay, outcome)

    def _measure(self, scenario: Scenario, run: Running, past_relay: Traffic | None) -> Outcome:
        match scenario:
            case Start():
                return Outcome({"startup": run.startup})
            case Media():
                return measure.media(scenario, self.plan, run, self.phones, past_relay)
            case Control():
                return measure.control(scenario, run, self.phones)
            case Saturation():
                return measure.saturation(scenario, run, self.phones)
            case Memory():
                return measure.memory(scenario, run, self.phones)
