"""What to tell an app before its next call: what not to gather, and what to have ready."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass

from relay.memory.arms import UDP
from relay.memory.decision import KNOWN_WELL, Snapshot, belief, direct_works
from relay.memory.identity import LONGEST_NETWORK, TRANSPORTS
from relay.memory.knowledge import comes_straight

WORKS = 0.5
"""Where UDP works in less than this share of the calls, TCP is tried first."""
TTL_KNOWN = 86400
"""Seconds: what is known takes nothing away and changes no order."""
TTL_UNKNOWN = 3600
TTL_BOLD = 3600
"""What departs from the usual may be wrong soon, and an app has no TURN until it asks again."""
LONGEST_AGENT = 256
"""Bytes of a User-Agent header."""
RATE = 500.0
"""Questions over HTTP per second that are answered: as many phones register when a proxy comes back."""
BURST = 1000.0


class AdviceError(ValueError):
    """Not answered. ``status`` is the HTTP status that says so."""

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


@dataclass(frozen=True, slots=True)
class Question:
    """Where an app is, as far as it or its proxy says."""

    network: str | None
    user_agent: str | None
    received_from: str | None
    """An IP address."""
    sip_transport: str = ""
    """One of ``TRANSPORTS``, or empty."""


def parse(body: object) -> Question:
    """Raises ``AdviceError`` that names what to change. Keys that are not known are passed over."""
    if not isinstance(body, Mapping):
        raise AdviceError("a question is a dictionary", 400)
    return Question(
        _text(body, "network", LONGEST_NETWORK),
        _text(body, "user-agent", LONGEST_AGENT),
        _address(body, "received-from"),
        _transport(body, "sip-transport"),
    )


def _address(body: Mapping[object, object], name: str) -> str | None:
    text = _text(body, name, 64)
    if text is None:
        return None
    try:
        if "%" in text:
            raise ValueError("an address with a scope means nothing elsewhere")
        return str(ipaddress.ip_address(text.removeprefix("[").removesuffix("]")))
    except ValueError as error:
        raise AdviceError(f"{name} is an IP address", 400) from error


def _transport(body: Mapping[object, object], name: str) -> str:
    value = body.get(name)
    if value is None or value == "":
        return ""
    if not isinstance(value, str) or value.lower() not in TRANSPORTS:
        raise AdviceError(f"{name} is one of {', '.join(TRANSPORTS)}", 400)
    return value.lower()


def _text(body: Mapping[object, object], name: str, longest: int) -> str | None:
    """None where there is none, or an empty one."""
    value = body.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value.encode("utf-8", "surrogateescape")) > longest:
        raise AdviceError(f"{name} is a string of at most {longest} bytes", 400)
    return value


@dataclass(slots=True)
class Throttle:
    """How many questions are answered. ``now`` is monotonic seconds."""

    _room: float = BURST
    _at: float = 0.0

    def admit(self, now: float) -> None:
        """One question more. Raises ``AdviceError`` where there are too many."""
        self._room = min(BURST, self._room + max(0.0, now - self._at) * RATE)
        self._at = now
        if self._room < 1.0:
            raise AdviceError("too many questions, try again later", 429)
        self._room -= 1.0


@dataclass(frozen=True, slots=True)
class Advice:
    """The dictionary of ng ``advice`` is this, field by field."""

    turn: tuple[str, ...]
    """URLs of TURN servers to gather in the background; empty: none is needed."""
    transports: tuple[str, ...]
    """What to try, the best first."""
    policy: str
    """``relay`` or ``assist``."""
    ttl: int
    """Seconds for which this holds."""

    def reply(self) -> dict[str, object]:
        """As an ng reply has it. Nobody needs to wait for gathering, or a STUN server: we see the address."""
        return {
            "wait-gathering": "no",
            "stun": "no",
            "turn": list(self.turn),
            "transports": list(self.transports),
            "policy": self.policy,
            "ttl": self.ttl,
        }


def advise(snapshot: Snapshot, turn: tuple[str, ...], now: float, site: bytes = b"") -> Advice:
    """For an app in the network of ``snapshot`` that signals from ``site``; ``turn``: the operator's servers.

    TURN is taken from an app only by what was seen of phones of its own site: what others do under the
    name of its network does not strand it.
    """
    network = snapshot.network
    usual = ("udp", "tcp") if turn else ("udp",)
    if network is None or network.rows < KNOWN_WELL:
        return Advice(turn, usual, "relay", TTL_UNKNOWN)
    policy = "assist" if direct_works(snapshot, now) else "relay"
    if comes_straight(network, site, now):
        return Advice((), ("udp",), policy, TTL_BOLD if turn else TTL_KNOWN)
    udp = [belief(snapshot, arm, now) for arm in sorted(UDP & network.ways.keys())]
    tried = [one for one in udp if one.rows]
    fails = any(one.rows >= KNOWN_WELL for one in tried) and all(one.mean < WORKS for one in tried)
    if fails and turn and site not in network.straight:
        return Advice(turn, ("tcp", "udp"), "relay", TTL_BOLD)
    return Advice(turn, usual, policy, TTL_KNOWN)
