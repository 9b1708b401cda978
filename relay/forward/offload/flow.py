"""Which streams may be forwarded by the kernel, and what it has to know of them.

The list of what may is complete: a rule with a field that is not in ``KNOWN``,
and that says more than nothing, stays in user space. So whoever adds one to
``Rule`` breaks no call; to have such streams in the kernel, judge it here.
"""

from __future__ import annotations

import dataclasses
import enum
import socket
import struct
from dataclasses import dataclass

from relay.forward.offload.gates import Gate
from relay.forward.offload.kernel import Kind
from relay.forward.rule import Address, Clock, Learn, Rule
from relay.latching import State

KNOWN = frozenset(
    {"id", "port", "remote", "learn", "hint", "sources", "asymmetric", "rtp", "rtcp"}
    | {"stun", "stun_keys", "dtls", "keys", "opaque", "generation", "described", "plain_rtcp", "clock"}
)
"""Fields of ``Rule`` that ``judge`` takes into account, or that do not matter to RTP of a settled source."""

UNKNOWN = tuple((field.name, field.default) for field in dataclasses.fields(Rule) if field.name not in KNOWN)
"""The others, and what they are when they say nothing."""


class Why(enum.Enum):
    """Why a stream is forwarded in user space; the value is a label in the metrics."""

    INTERFACE = "interface"
    """An address of the stream has no program; the log said at start why."""
    SRTP = "srtp"
    """Keys end here, or will: the kernel does no cryptography for us."""
    OPAQUE = "opaque"
    """Not RTP."""
    OUTPUTS = "outputs"
    """It goes nowhere (hold), or to several."""
    SHARED = "shared_port"
    """Several rules listen at its port, and only user space tells their senders apart."""
    ASYMMETRIC = "asymmetric"
    OTHER = "other"
    """The rule asks for something that the kernel's program does not know."""
    FAMILIES = "families"
    """It comes as IPv4 and leaves as IPv6, or the other way round."""
    DEVICES = "devices"
    """It comes by a device with XDP and leaves through another."""
    UNSETTLED = "unsettled"
    """It is not certain yet who the sender or the receiver is."""
    QUIET = "no_rtp"
    """No RTP came so far: a stream of RTCP, or one that has not begun."""
    NO_WAY = "no_way"
    """The kernel was given it, and has forwarded nothing so far: there was no packet since, the way out is
    through another device than its address is on, or the neighbour is not known."""
    FULL = "full"
    """The kernel's table is full."""


@dataclass(frozen=True, slots=True)
class End:
    """One rule, and what the user-space plane knows about it."""

    rule: Rule
    local: Address
    gate: Gate
    alone: bool
    """No other rule listens at its port."""
    state: State
    """Of its latch."""
    heard: bool
    """RTP has come from its peer."""
    peer: Address | None
    """Where it sends to."""
    tos: int
    """Of what leaves from its port, 0 .. 255."""


@dataclass(frozen=True, slots=True)
class Flow:
    """What the kernel does: datagrams to ``at`` from ``peer`` go on from ``source`` to ``destination``."""

    at: Address
    peer: Address
    source: Address
    destination: Address
    tos: int
    device: int
    clock: Clock | None = None

    def key(self) -> bytes:
        """struct flow_key."""
        family = socket.AF_INET6 if ":" in self.at[0] else socket.AF_INET
        return _host(self.at) + _port(self.at) + struct.pack("<H", family)

    def value(self, slot: int) -> bytes:
        """struct flow."""
        ends = (self.peer, self.source, self.destination)
        hosts, ports = b"".join(map(_host, ends)), b"".join(map(_port, ends))
        low, high = _bits(self.clock)
        rate = self.clock.rate if self.clock is not None else 0
        return hosts + ports + struct.pack("<BxIIQQIxxxx", self.tos, self.device, slot, low, high, rate)


def judge(end: End, out: End | None) -> Flow | Why:
    """Whether what comes in at ``end`` may go by the kernel. ``out`` is its output, if it has just one."""
    if out is None:
        return Why.OUTPUTS
    if end.gate.kind is None or out.gate.kind is None:
        return Why.INTERFACE
    for one in (end, out):
        if (why := _special(one.rule)) is not None:
            return why
    if not end.alone:
        return Why.SHARED
    if (":" in end.local[0]) != (":" in out.local[0]):
        return Why.FAMILIES
    if end.gate.kind is Kind.XDP and end.gate.index != out.gate.index:
        return Why.DEVICES
    if not end.heard:
        return Why.QUIET
    sender, receiver = _sender(end), _receiver(out)
    if sender is None or receiver is None:
        return Why.UNSETTLED
    return Flow(end.local, sender, out.local, receiver, out.tos, out.gate.index, end.rule.clock)


def _special(rule: Rule) -> Why | None:
    """What makes a rule more than plain forwarding."""
    if rule.keys is not None or rule.dtls:
        return Why.SRTP
    if rule.opaque:
        return Why.OPAQUE
    if rule.asymmetric:
        return Why.ASYMMETRIC
    if any(getattr(rule, name) != nothing for name, nothing in UNKNOWN):
        return Why.OTHER
    return None


def _sender(end: End) -> Address | None:
    """The one source whose packets need no more thought. Others go up, and user space thinks."""
    if end.rule.learn is Learn.WINDOW:
        return end.peer if end.state is State.LOCKED else None
    return end.rule.remote if end.rule.remote in end.rule.sources else None


def _receiver(out: End) -> Address | None:
    """Where to send to: somebody settled, or as long as he is silent whom signalling named."""
    return out.peer if out.rule.learn is Learn.NOBODY or out.state is not State.LATCHED else None


def _bits(clock: Clock | None) -> tuple[int, int]:
    """A bit for each payload type, 64 to a word."""
    whole = sum(1 << number for number in clock.payload_types) if clock is not None else 0
    return whole & (1 << 64) - 1, whole >> 64


def _host(address: Address) -> bytes:
    if ":" in address[0]:
        return socket.inet_pton(socket.AF_INET6, address[0])
    return socket.inet_pton(socket.AF_INET, address[0]) + bytes(12)


def _port(address: Address) -> bytes:
    return struct.pack("!H", address[1])
