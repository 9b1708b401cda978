"""Networks in simulated time: which ways work there, and what a peer does with those that it is given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from relay.memory.arms import Arm
from relay.memory.decision import Decision, Facts, Snapshot, decide
from relay.memory.knowledge import Network, learn
from relay.memory.record import Record

STATIC = (Arm.U, Arm.U443, Arm.T443)
FACTS = Facts(STATIC, Arm.U)
START = 1_800_000_000.0
HOUR = 3600.0
SPACING = 50
"""Milliseconds between two candidates that a peer checks."""
KEY = b"k" * 16


def leg(
    given: Iterable[Arm],
    works: Mapping[Arm, int],
    dropped: tuple[Arm, ...] = (),
    explored: tuple[Arm, ...] = (),
    received: int = 3000,
    seconds: int = 60,
    same_site: bool = False,
) -> Record:
    """What we see of a peer that checks what it was given in turn, and takes the first that answers.

    ``works`` gives the ways that work, with the milliseconds that each takes. What
    the peer would check only after it has a path, it never checks.
    """
    given = tuple(given)
    answered = {arm: number * SPACING + works[arm] for number, arm in enumerate(given) if arm in works}
    done = min(answered.values(), default=None)
    usable = {
        arm: ms for arm, ms in answered.items() if done is not None and given.index(arm) * SPACING <= done
    }
    chosen = min(usable, key=given.index, default=None)
    return Record(
        network=KEY,
        family=None,
        given=given,
        dropped=dropped,
        explored=explored,
        first_check=done,
        usable=usable,
        seen=tuple(usable),
        chosen=chosen,
        received=received if usable else 0,
        seconds=seconds,
        answered=True,
        reason="deleted",
        mode="relay",
        same_site=same_site,
    )


@dataclass
class World:
    """One network, one relay."""

    works: dict[Arm, int]
    now: float = START
    network: Network | None = None
    seed: int = 0
    facts: Facts = FACTS
    connected: list[bool] = field(default_factory=list)

    def decision(self) -> Decision:
        return decide(Snapshot(self.network), self.facts, self.now, self.seed)

    def call(self, pause: float = 60.0) -> Record:
        """One call, and then some time."""
        self.seed += 1
        decision = self.decision()
        record = leg(decision.order, self.works, decision.dropped, decision.explored)
        self.connected.append(bool(record.usable))
        self.network = learn(self.network, record, self.now)
        self.now += pause
        return record

    def calls(self, number: int, pause: float = 60.0) -> None:
        for _ in range(number):
            self.call(pause)
