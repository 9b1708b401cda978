"""A full ICE agent that checks as browsers do, to call the relay in the simulated network.

Its ways are Chromium's: each check is a new transaction, paths that do not
answer are checked twenty times a second, the selected one every 2.5 s.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from relay.ice import stun
from relay.ice.credentials import Credentials
from relay.ice.stun import Address, Class, Message
from tests.network.world import Network, Socket

WEAK, STABLE = 0.05, 2.5
"""Seconds between checks."""


@dataclass(eq=False)
class Interface:
    """A network that the browser is in, which makes one pair with the relay."""

    socket: Socket
    priority: int
    answered: bool = False
    nominated: bool = False
    checked: float = float("-inf")
    media: list[float] = field(default_factory=list)
    """When media of the relay came in here."""


@dataclass
class Browser:
    """``aggressive``: every check nominates, and of the answered ones the best is used."""

    network: Network
    keys: Credentials
    controlling: bool
    aggressive: bool = False
    tie_breaker: int = 1000
    lite: bool = False
    """It answers, and never checks."""
    mute: bool = False
    """It neither checks nor answers any more."""
    interfaces: list[Interface] = field(default_factory=list)
    selected: Interface | None = None
    remote: Credentials | None = None
    relay: Address | None = None
    sent: dict[bytes, tuple[Interface, bool, bool]] = field(default_factory=dict)
    """Checks without an answer: where, whether they nominate, and in which role."""

    def add(self, socket: Socket, priority: int = 1) -> Interface:
        interface = Interface(socket, priority)
        socket.receiver = lambda source, datagram: self._receive(interface, source, datagram)
        self.interfaces.append(interface)
        return interface

    def start(self, remote: Credentials, relay: Address) -> None:
        """The relay's description came."""
        self.remote, self.relay = remote, relay
        self.network.every(WEAK, self._work)

    def talk(self) -> None:
        """Send media from now on."""
        self.network.every(0.02, self._send_media)

    def leave(self, interface: Interface) -> None:
        """That network is gone."""
        self.interfaces.remove(interface)
        interface.socket.receiver = lambda source, datagram: None
        if self.selected is interface:
            self.selected = None

    def _send_media(self) -> None:
        if self.selected is not None and self.relay is not None:
            self.selected.socket.send(self.relay, b"\x80 media")

    def _work(self) -> None:
        for interface in list(self.interfaces):
            stable = interface.answered and self.selected is not None
            if not self.lite and self.network.now - interface.checked >= (STABLE if stable else WEAK) - 1e-9:
                self._check(interface, self.aggressive or interface is self.selected)

    def _check(self, interface: Interface, nominate: bool) -> None:
        if self.mute or self.remote is None or self.relay is None:
            return
        interface.checked = self.network.now
        nominate = nominate and self.controlling
        transaction = self.network.random.randbytes(12)
        self.sent[transaction] = interface, nominate, self.controlling
        username = f"{self.remote.ufrag}:{self.keys.ufrag}"
        datagram = stun.request(
            transaction, username, self.remote.key, interface.priority, self.tie_breaker,
            self.controlling, nominate,
        )  # fmt: skip
        interface.socket.send(self.relay, datagram)

    def _receive(self, interface: Interface, source: Address, datagram: bytes) -> None:
        if self.mute:
            return
        if not stun.is_stun(datagram):
            interface.media.append(self.network.now)
            return
        message = stun.parse(datagram)
        if message.type is Class.REQUEST:
            self._answer(interface, source, message)
        elif message.transaction in self.sent:
            self._answered(*self.sent.pop(message.transaction), message)

    def _answer(self, interface: Interface, source: Address, message: Message) -> None:
        if not message.is_signed_with(self.keys.key):
            return
        theirs: int | None = message.attributes.get(
            "ICE-CONTROLLING" if self.controlling else "ICE-CONTROLLED"
        )
        if theirs is not None and not self.lite:
            ours = self.tie_breaker >= theirs
            if ours == self.controlling:
                interface.socket.send(source, stun.failure(message, 487, self.keys.key))
                return
            self.controlling = ours
        interface.socket.send(source, stun.success(message, source, self.keys.key))
        if "USE-CANDIDATE" in message.attributes and not self.controlling:
            self.selected = interface
        elif self.selected is None and not interface.answered and not self.lite:
            self._check(interface, self.aggressive)

    def _answered(self, interface: Interface, nominating: bool, role: bool, message: Message) -> None:
        if message.type is Class.ERROR:
            if message.error == 487:
                self.controlling = not role
            return
        interface.answered = True
        if not self.controlling or interface not in self.interfaces:
            return
        if not nominating:
            if self.selected is None or interface.priority > self.selected.priority:
                self._check(interface, True)
            return
        interface.nominated = True
        if self.selected is None or interface.priority > self.selected.priority:
            self.selected = interface
