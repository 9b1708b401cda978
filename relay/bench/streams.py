"""What the generator is told: streams of packets, and how they leave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from relay.forward.rule import Address

CALLER, CALLEE = 0, 1
"""Sides: which of the generator's two sockets."""


@dataclass(frozen=True, slots=True)
class Check:
    """How the checks of one ICE leg are signed (RFC 8445, section 7.2)."""

    username: str
    their_password: str = field(repr=False)
    our_password: str = field(repr=False)
    controlling: bool


@dataclass(frozen=True, slots=True)
class Stream:
    """Packets from ``side`` to a port of the relay; the other side should get them from ``arrives_from``.

    With ``check`` they are ICE checks, and the answers come back from where the
    checks went. ``protect`` and ``unprotect`` are libsrtp's contexts, by address:
    of what is sent, and of what arrives; 0 for plain RTP.
    """

    side: int
    to: Address
    arrives_from: Address
    protect: int = 0
    unprotect: int = 0
    check: Check | None = None


@dataclass(frozen=True, slots=True)
class Keys:
    """Master keys of a call whose caller speaks SRTP: the caller's own, and the relay's for the caller."""

    suite: str
    caller: bytes = field(repr=False)
    relay: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Job:
    """Streams for the generator to hold ready. ``keys`` are as many as calls, or none.

    Streams of call i are 2 * i (from the caller) and 2 * i + 1.
    """

    streams: Sequence[Stream]
    size: int = 172
    burst: int = 1
    payload_type: int = 8
    direct: bool = False
    keys: Sequence[Keys] = ()


@dataclass(frozen=True, slots=True)
class Run:
    """Send for so many seconds, a packet or burst of each stream per interval."""

    seconds: float
    interval: float
