"""Two handshakes and the network between them: time is simulated, losses have a seed."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from relay.dtls.handshake import Failed, Handshake, Keys, Output, Restart, Role, Send
from relay.dtls.identity import Identity

WALL = 1_800_000_000.0
"""Unix seconds: when the certificates of the tests are made."""
OURS = Identity.create(WALL)
THEIRS = Identity.create(WALL)

Fate = Callable[[bytes], list[tuple[float, bytes]]]
"""After how many seconds a datagram arrives, and as what: once, several times, or never."""


def promptly(datagram: bytes) -> list[tuple[float, bytes]]:
    return [(0.01, datagram)]


def never(datagram: bytes) -> list[tuple[float, bytes]]:
    return []


def bad_network(
    seed: int, loss: float = 0.0, copies: float = 0.0, jitter: float = 0.0, errors: float = 0.0
) -> Fate:
    """Probabilities of loss, a copy and a wrong bit per datagram, and seconds by which it may be late."""
    chance = random.Random(seed)

    def fate(datagram: bytes) -> list[tuple[float, bytes]]:
        if chance.random() < loss:
            return []
        number = 2 if chance.random() < copies else 1
        arrived = bytearray(datagram)
        if chance.random() < errors:
            arrived[chance.randrange(len(arrived))] ^= 1 << chance.randrange(8)
        return [(0.01 + chance.random() * jitter, bytes(arrived)) for _ in range(number)]

    return fate


@dataclass(eq=False, slots=True)
class End:
    handshake: Handshake
    other: End | None = None
    sent: list[bytes] = field(default_factory=list)
    outputs: list[Keys | Failed | Restart] = field(default_factory=list)

    @property
    def keys(self) -> Keys:
        (keys,) = self.outputs
        assert isinstance(keys, Keys)
        return keys

    @property
    def failure(self) -> str:
        (failed,) = self.outputs
        assert isinstance(failed, Failed)
        return failed.reason


@dataclass(slots=True)
class Network:
    """Carries what both ends send until nothing is on its way and nobody waits for anything."""

    active: End
    passive: End
    fate: Fate = promptly
    now: float = 100.0
    _on_its_way: list[tuple[float, int, End, bytes]] = field(default_factory=list)
    _number: int = 0

    def run(self, start: bool = True) -> Network:
        if start:
            self.take(self.active, self.active.handshake.start(self.now))
        while self._step():
            pass
        return self

    def take(self, end: End, outputs: list[Output]) -> None:
        for output in outputs:
            if isinstance(output, Send):
                end.sent.append(output.datagram)
                assert end.other is not None
                self.carry(end.other, output.datagram)
            else:
                end.outputs.append(output)

    def carry(self, to: End, datagram: bytes) -> None:
        for delay, arrived in self.fate(datagram):
            self._number += 1
            heapq.heappush(self._on_its_way, (self.now + delay, self._number, to, arrived))

    def _step(self) -> bool:
        arrival = self._on_its_way[0][0] if self._on_its_way else None
        waiting = [
            (deadline, number, end)
            for number, end in enumerate((self.active, self.passive))
            if (deadline := end.handshake.deadline) is not None
        ]
        if waiting and (arrival is None or min(waiting)[0] < arrival):
            self.now, _, end = min(waiting)
            self.take(end, end.handshake.timeout(self.now))
        elif arrival is not None:
            self.now, _, end, datagram = heapq.heappop(self._on_its_way)
            self.take(end, end.handshake.received(datagram, self.now))
        else:
            return False
        return True


def network(active: Handshake, passive: Handshake, fate: Fate = promptly) -> Network:
    a, b = End(active), End(passive)
    a.other, b.other = b, a
    return Network(a, b, fate)


def active_end(identity: Identity = OURS, peer: Identity = THEIRS) -> Handshake:
    return Handshake(identity, Role.ACTIVE, [peer.fingerprint()])


def passive_end(identity: Identity = THEIRS, peer: Identity = OURS, *, validated: bool = True) -> Handshake:
    return Handshake(identity, Role.PASSIVE, [peer.fingerprint()], earned=math.inf if validated else 0)
