"""An internet of datagrams with NATs, loss, delay and reordering: no sockets, no clock, one seed."""

from __future__ import annotations

import enum
import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from relay.ice.stun import Address

Receiver: TypeAlias = Callable[[Address, bytes], None]
"""Takes the source as the receiver sees it, and a datagram."""


@dataclass
class Network:
    """The public side. ``jitter`` above the pauses between packets reorders them."""

    seed: int = 1
    delay: float = 0.025
    """Seconds one way."""
    jitter: float = 0.0
    loss: float = 0.0
    now: float = 0.0
    dead: set[str] = field(default_factory=set)
    """IP addresses that nothing comes from or goes to."""
    carried: list[tuple[float, Address, Address, bytes]] = field(default_factory=list, repr=False)
    """Everything that was sent, as an eavesdropper sees it: time, source, destination, datagram."""
    _receivers: dict[Address, Receiver] = field(default_factory=dict, repr=False)
    _agenda: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list, repr=False)
    _order: itertools.count[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def bind(self, address: Address, receiver: Receiver) -> None:
        self._receivers[address] = receiver

    def at(self, time: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (max(time, self.now), next(self._order), action))

    def every(self, pause: float, action: Callable[[], None]) -> None:
        """Do it now, and again after each pause."""

        def again() -> None:
            action()
            self.at(self.now + pause, again)

        self.at(self.now, again)

    def send(self, source: Address, to: Address, datagram: bytes) -> None:
        self.carried.append((self.now, source, to, datagram))
        lost = self.random.random() < self.loss
        delay = self.delay + self.random.random() * self.jitter
        if not lost:
            self.at(self.now + delay, lambda: self._deliver(source, to, datagram))

    def _deliver(self, source: Address, to: Address, datagram: bytes) -> None:
        receiver = self._receivers.get(to)
        if receiver is not None and not self.dead & {source[0], to[0]}:
            receiver(source, datagram)

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while self._agenda and self._agenda[0][0] <= end:
            self.now, _, action = heapq.heappop(self._agenda)
            action()
        self.now = end


class Dependence(enum.Enum):
    """What a NAT looks at beside the inside address (RFC 4787, sections 4.1 and 5)."""

    INDEPENDENT = "of no endpoint"
    ADDRESS = "of its address"
    ADDRESS_AND_PORT = "of its address and port"

    def key(self, endpoint: Address) -> tuple[object, ...]:
        match self:
            case Dependence.INDEPENDENT:
                return ()
            case Dependence.ADDRESS:
                return endpoint[:1]
            case Dependence.ADDRESS_AND_PORT:
                return endpoint


@dataclass
class Nat:
    """Gives the sockets behind it public ports at ``ip``."""

    network: Network
    ip: str
    mapping: Dependence = Dependence.INDEPENDENT
    filtering: Dependence = Dependence.INDEPENDENT
    _ports: itertools.count[int] = field(default_factory=lambda: itertools.count(50000))
    _mapped: dict[tuple[int, tuple[object, ...]], Address] = field(default_factory=dict)
    _called: dict[Address, set[tuple[object, ...]]] = field(default_factory=dict)

    @classmethod
    def symmetric(cls, network: Network, ip: str) -> Nat:
        """The worst there is: a port for each destination, open to that destination alone."""
        return cls(network, ip, Dependence.ADDRESS_AND_PORT, Dependence.ADDRESS_AND_PORT)

    def send(self, socket: Socket, to: Address, datagram: bytes) -> None:
        key = id(socket), self.mapping.key(to)
        if key not in self._mapped:
            self._mapped[key] = self.ip, next(self._ports)
            self._called[self._mapped[key]] = set()
            self.network.bind(self._mapped[key], self._inbound(socket, self._mapped[key]))
        self._called[self._mapped[key]].add(self.filtering.key(to))
        self.network.send(self._mapped[key], to, datagram)

    def _inbound(self, socket: Socket, public: Address) -> Receiver:
        def receive(source: Address, datagram: bytes) -> None:
            if self.filtering.key(source) in self._called.get(public, set()):
                socket.receiver(source, datagram)

        return receive

    def reboot(self) -> None:
        """All mappings are gone; the next packets get other ports."""
        self._mapped.clear()
        self._called.clear()


@dataclass
class Socket:
    """Of a host behind a NAT."""

    nat: Nat
    receiver: Receiver = field(default=lambda source, datagram: None)

    def send(self, to: Address, datagram: bytes) -> None:
        self.nat.send(self, to, datagram)
