"""Builds one network after the other, and places the calls of a plan in it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass

from bench.ice_lab.call import Outcome, Pair, PhoneProcess, place
from bench.ice_lab.cases import SITE, Course, by_network, seconds
from bench.ice_lab.namespaces import Namespace
from bench.ice_lab.networks import SERVER, Network, Site
from bench.ice_lab.servers import DAEMONS, Relay, Treatment, treatments, turn_server

LIMIT = 10.0
"""Seconds from the caller's beginning; a person has hung up."""


@dataclass(frozen=True)
class Plan:
    """``commands`` start the daemons, by name; see ``servers.DAEMONS`` for the words in them."""

    courses: tuple[Course, ...]
    repetitions: int
    commands: dict[str, str]
    chosen: tuple[Treatment, ...]
    limit: float = LIMIT
    seed: int = 1

    @classmethod
    def of(cls, courses: tuple[Course, ...], repetitions: int, daemons: dict[str, str] | None = None) -> Plan:
        """All treatments of all daemons."""
        commands = DAEMONS | (daemons or {})
        return cls(courses, repetitions, commands, tuple(treatments(list(commands))))

    def fitting(self, course: Course) -> list[Treatment]:
        return [treatment for treatment in self.chosen if treatment.mode in course.modes]

    @property
    def calls(self) -> int:
        return sum(course.calls(self.repetitions) * len(self.fitting(course)) for course in self.courses)

    @property
    def phones(self) -> list[str]:
        return list(dict.fromkeys(course.case.phone for course in self.courses))

    @property
    def minutes(self) -> float:
        """About how long it takes: the longest of what runs at the same time."""
        return max(sum(self._seconds(phone)) for phone in self.phones) / 60

    def _seconds(self, phone: str) -> Iterator[float]:
        for _, courses in by_network(self.courses, phone):
            yield SITE[phone]
            for course in courses:
                took = sum(seconds(course.case, one.mode, self.limit) for one in self.fitting(course))
                yield course.calls(self.repetitions) * took


async def measure(plan: Plan, tell: Callable[[Outcome], None]) -> list[Outcome]:
    """All calls of a plan. Each kind of phone has networks of its own, at the same time."""
    outcomes: list[Outcome] = []

    def note(outcome: Outcome) -> None:
        outcomes.append(outcome)
        tell(outcome)

    try:
        async with asyncio.TaskGroup() as lanes:
            for phone in plan.phones:
                lanes.create_task(_lane(plan, phone, note))
    except ExceptionGroup as group:  # in one lane; it has ended the others
        raise group.exceptions[0] from None
    order = {course.case: index for index, course in enumerate(plan.courses)}
    return sorted(outcomes, key=lambda outcome: (order[outcome.case], outcome.repetition))


async def _lane(plan: Plan, phone: str, note: Callable[[Outcome], None]) -> None:
    """The treatments take turns, in another order each time: noise hits all alike."""
    order = random.Random(f"{plan.seed} {phone}")
    for network, courses in by_network(plan.courses, phone):
        async with _site(network, phone, courses, plan) as (pair, relays):
            await _warm_up(courses, plan, pair, relays)
            for repetition in range(plan.repetitions):
                due = [course for course in courses if repetition < course.calls(plan.repetitions)]
                for course in order.sample(due, len(due)):
                    chosen = plan.fitting(course)
                    for treatment in order.sample(chosen, len(chosen)):
                        relay = relays[treatment.daemon] if treatment.daemon else None
                        note(await place(course.case, treatment, repetition, pair, relay, plan.limit))


async def _warm_up(courses: list[Course], plan: Plan, pair: Pair, relays: dict[str, Relay]) -> None:
    """A call that does not count: browsers load what they need, neighbours learn each other's addresses."""
    quickest = min(courses, key=lambda course: seconds(course.case, "force", plan.limit))
    for treatment in plan.fitting(quickest)[:1]:
        relay = relays[treatment.daemon] if treatment.daemon else None
        await place(quickest.case, treatment, 0, pair, relay, plan.limit)


@asynccontextmanager
async def _site(
    network: Network, phone: str, courses: list[Course], plan: Plan
) -> AsyncIterator[tuple[Pair, dict[str, Relay]]]:
    """A network with its programs running; everything is ended and removed afterwards."""
    names = {treatment.daemon: None for treatment in plan.chosen if treatment.daemon}
    addresses = {name: f"203.0.113.{101 + index}" for index, name in enumerate(names)}
    async with AsyncExitStack() as phones:
        with ExitStack() as stack:
            site = Site(network, {"turn": SERVER, **addresses}, stack, phone)
            if network.blocked != "nothing" or any(course.case.gathers for course in courses):
                stack.enter_context(turn_server(site.servers["turn"], SERVER))
            relays = {}
            for name, address in addresses.items():
                relays[name] = Relay(name, plan.commands[name], site.servers[name], address)
                stack.callback(relays[name].stop)
            caller, callee = [
                await _started(phone, namespace, phones) for namespace in (site.caller, site.callee)
            ]
            try:
                yield Pair(caller, callee, network, SERVER, site.servers["turn"]), relays
            finally:
                await asyncio.shield(phones.aclose())


async def _started(kind: str, namespace: Namespace, phones: AsyncExitStack) -> PhoneProcess:
    phone = await PhoneProcess.start(kind, namespace)
    phones.push_async_callback(phone.stop)
    return phone
