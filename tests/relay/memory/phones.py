"""Phones in simulated time that have only what they were advised to have, and who advises them."""

from __future__ import annotations

from dataclasses import dataclass, field

from relay.memory.advice import Advice, advise
from relay.memory.arms import OWN, Arm
from relay.memory.decision import Facts, Snapshot, decide
from relay.memory.knowledge import Network, Report, learn, told
from relay.memory.record import Record
from tests.relay.memory.world import SPACING, START, leg

TURN = ("turn:turn.example.org:443?transport=tcp",)
FACTS = Facts((Arm.V6, Arm.U), Arm.U)
"""What the daemon gives: one address of ours in each family."""
HERE = b"here-is."
ELSEWHERE = b"elsewher"


@dataclass
class Hotel:
    """One network under one name, from wherever somebody says that he is in it.

    ``works`` are the ways that work there, with the milliseconds that each takes; ``turn`` among them means
    that its phones get to their TURN server.
    """

    works: dict[Arm, int]
    names_turn: bool = True
    """The phones signal the candidate of their TURN server; browsers without trickle do not."""
    apps_speak: bool = False
    """They say in mid-call by which way it went."""
    now: float = START
    network: Network | None = None
    seed: int = 0
    connected: list[bool] = field(default_factory=list)

    def advice(self, site: bytes = HERE) -> Advice:
        return advise(Snapshot(self.network), TURN, self.now, site)

    def call(self, advice: Advice | None = None, pause: float = 60.0, site: bytes = HERE) -> Record:
        """Of a phone that was advised so, by default just now."""
        self.seed += 1
        decision = decide(Snapshot(self.network), FACTS, self.now, self.seed)
        has_turn = bool((self.advice(site) if advice is None else advice).turn)
        record = self._seen(decision.order, decision.dropped, decision.explored, has_turn)
        self.connected.append(bool(record.usable))
        if self.apps_speak:
            said = Report(ok=bool(record.usable), arm=record.chosen or Arm.U)
            self.network = told(self.network, said, self.now)
        self.network = learn(self.network, record, self.now, site)
        self.now += pause
        return record

    def calls(self, number: int, pause: float = 60.0, site: bytes = HERE) -> None:
        for _ in range(number):
            self.call(pause=pause, site=site)

    def _seen(
        self, told: tuple[Arm, ...], dropped: tuple[Arm, ...], explored: tuple[Arm, ...], has_turn: bool
    ) -> Record:
        """What the relay sees. TURN comes last, and by an address that it can tell only if it is named."""
        direct = {arm: ms for arm, ms in self.works.items() if arm in OWN}
        if direct or not has_turn or Arm.TURN not in self.works:
            return leg(told, direct, dropped, explored, same_site=bool(direct))
        if self.names_turn or self.apps_speak:
            return leg((*told, Arm.TURN), {Arm.TURN: self.works[Arm.TURN]}, dropped, explored)
        return leg(told, {told[0]: self.works[Arm.TURN] + SPACING}, dropped, explored)
