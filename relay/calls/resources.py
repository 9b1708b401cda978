"""What calls need from below: ports, rules, randomness. The daemon gives the real thing, tests a fake."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from relay.calls.addresses import number
from relay.dtls.association import Job
from relay.dtls.identity import Identity
from relay.forward.rule import Address, Change
from relay.ice.credentials import Credentials
from relay.srtp.profiles import MasterKey, Profile
from sdp.values import valueclass


@valueclass
class LocalAddress:
    """One address of a logical interface.

    ``address`` is bound, ``advertised`` is written into descriptions. Both are
    numeric and of one family, ``IP4`` or ``IP6``.
    """

    name: str
    address: str
    advertised: str

    @property
    def family(self) -> str:
        """As in the ``c=`` line (RFC 8866, section 5.7)."""
        return "IP6" if ":" in self.address else "IP4"

    def speaks(self, remote: str) -> bool:
        """``remote`` is a numeric address of the same family."""
        found = number(remote)
        return found is not None and found[0] == (6 if self.family == "IP6" else 4)


@valueclass
class LocalPort:
    """A bound UDP port that the plane reads."""

    handle: int
    at: LocalAddress
    number: int


class OutOfPorts(Exception):
    """No port could be opened. The text says why.

    ``exhausted``: all are in use, so another relay may have some. Otherwise
    something is wrong with this machine or its configuration.
    """

    def __init__(self, why: str, exhausted: bool) -> None:
        super().__init__(why)
        self.exhausted = exhausted


class KeysRefused(Exception):
    """The plane cannot do SRTP with these keys. The text says why.

    ``exhausted``: it has no place left, so another relay may have some.
    """

    def __init__(self, why: str, exhausted: bool = False) -> None:
        super().__init__(why)
        self.exhausted = exhausted


class Resources(Protocol):
    """Everything that calls ask for."""

    def open(self, at: LocalAddress, count: int, tos: int, worker: int) -> list[LocalPort]:
        """One port, or an even one and the next. Raises ``OutOfPorts``, and then nothing is open."""

    def close(self, *ports: LocalPort) -> None:
        """Give ports back."""

    def retag(self, port: LocalPort, tos: int) -> None:
        """Set the DSCP byte of what leaves this port, 0..255."""

    def allocate_rule(self) -> int:
        """A free rule id. Raises ``OutOfPorts``."""

    def apply(self, changes: Sequence[Change]) -> None:
        """Hand one batch of rules to the plane."""

    def send(self, port: int, remote: Address, datagram: bytes) -> None:
        """Send a STUN datagram from a local port."""

    def credentials(self) -> Credentials:
        """Fresh ICE credentials."""

    def identity(self) -> Identity:
        """The certificate for legs that begin now."""

    def suites(self) -> frozenset[str]:
        """The crypto suites (RFC 4568) that the plane can do."""

    def random_key(self, length: int) -> bytes:
        """A fresh master key and salt, ``length`` bytes."""

    def open_keys(
        self, profile: Profile, receive: MasterKey, send: MasterKey, after: int | None = None
    ) -> int:
        """Give the plane SRTP keys, in the place of ``after``. Raises ``KeysRefused``."""

    def close_keys(self, keys: int) -> None:
        """The plane may forget them."""

    def compute(self, job: Job) -> bool:
        """Have a job run, on any thread. False if too much waits already, for jobs that are optional."""

    def computed(self) -> list[Job]:
        """Jobs that have run since the last time."""

    def tie_breaker(self) -> int:
        """64 random bits (RFC 8445, section 7.1.1)."""
