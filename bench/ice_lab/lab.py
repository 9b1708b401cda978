"""Builds one network after the other, and places the calls of a plan in it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass

from bench.ice_lab.call import Case, Outcome, Pair, PhoneProcess, place
from bench.ice_lab.namespaces import Namespace
from bench.ice_lab.networks import NETWORKS, SERVER, Network, Site
from bench.ice_lab.servers import DAEMONS, Relay, Treatment, treatments, turn_server

LIMIT = 10.0
"""Seconds from the caller's beginning; a person has hung up."""

FULL = (
    *(Case("open", "aioice", dead) for dead in (0, 8, 16, 32)),
    Case("open", "aioice", gathers=False),
    Case("nat", "aioice"),
    *(Case("symmetric", "aioice", dead) for dead in (0, 8, 32)),
    Case("same-lan", "aioice"),
    Case("udp-443", "aioice"),
    Case("no-udp", "aioice"),
    *(Case("open", "chromium", dead) for dead in (0, 32)),
    Case("open", "chromium", gathers=False),
    Case("symmetric", "chromium"),
)
QUICK = (
    *(Case("open", "aioice", dead) for dead in (0, 32)),
    Case("symmetric", "aioice"),
    Case("open", "chromium"),
)


@dataclass(frozen=True)
class Plan:
    """``commands`` start the daemons, by name; see ``servers.DAEMONS`` for the words in them."""

    cases: tuple[Case, ...]
    repetitions: int
    commands: dict[str, str]
    chosen: tuple[Treatment, ...]
    limit: float = LIMIT
    seed: int = 1

    @classmethod
    def of(cls, cases: tuple[Case, ...], repetitions: int, daemons: dict[str, str] | None = None) -> Plan:
        """All treatments of all daemons."""
        commands = DAEMONS | (daemons or {})
        return cls(cases, repetitions, commands, tuple(treatments(list(commands))))

    @property
    def calls(self) -> int:
        return self.repetitions * sum(len(fitting(case, self.chosen)) for case in self.cases)

    def networks(self) -> Iterator[tuple[Network, list[Case]]]:
        for network in NETWORKS.values():
            cases = [case for case in self.cases if case.network == network.name]
            if cases:
                yield network, cases


def fitting(case: Case, chosen: tuple[Treatment, ...]) -> list[Treatment]:
    """Phones that offer no candidates find each other only where a relay adds its own as ``force`` does."""
    return [treatment for treatment in chosen if case.gathers or treatment.mode == "force"]


async def measure(plan: Plan, tell: Callable[[Outcome], None]) -> list[Outcome]:
    """All calls of a plan. The treatments take turns, in another order each time: noise hits all alike."""
    outcomes = []
    order = random.Random(plan.seed)
    for network, cases in plan.networks():
        async with _site(network, cases, plan) as (pairs, relays):
            for repetition in range(plan.repetitions):
                for case in order.sample(cases, len(cases)):
                    chosen = fitting(case, plan.chosen)
                    for treatment in order.sample(chosen, len(chosen)):
                        relay = relays[treatment.daemon] if treatment.daemon else None
                        outcome = await place(
                            case,
                            treatment.name,
                            repetition,
                            pairs[case.phone],
                            relay,
                            treatment.mode,
                            plan.limit,
                        )
                        outcomes.append(outcome)
                        tell(outcome)
    return outcomes


@asynccontextmanager
async def _site(
    network: Network, cases: list[Case], plan: Plan
) -> AsyncIterator[tuple[dict[str, Pair], dict[str, Relay]]]:
    """A network with its programs running; everything is ended and removed afterwards."""
    names = {treatment.daemon: None for treatment in plan.chosen if treatment.daemon}
    addresses = {name: f"203.0.113.{101 + index}" for index, name in enumerate(names)}
    async with AsyncExitStack() as phones:
        with ExitStack() as stack:
            site = Site(network, {"turn": SERVER, **addresses}, stack)
            if any(case.gathers for case in cases):
                stack.enter_context(turn_server(site.servers["turn"], SERVER))
            relays = {}
            for name, address in addresses.items():
                relays[name] = Relay(name, plan.commands[name], site.servers[name], address)
                stack.callback(relays[name].stop)
            pairs = {}
            for kind in {case.phone: None for case in cases}:
                caller, callee = [
                    await _started(kind, namespace, phones) for namespace in (site.caller, site.callee)
                ]
                pairs[kind] = Pair(caller, callee, SERVER, network.turn)
            try:
                yield pairs, relays
            finally:
                await asyncio.shield(phones.aclose())


async def _started(kind: str, namespace: Namespace, phones: AsyncExitStack) -> PhoneProcess:
    phone = await PhoneProcess.start(kind, namespace)
    phones.push_async_callback(phone.stop)
    return phone
