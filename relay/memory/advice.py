"""What to tell an app before its next call: what not to gather, and what to have ready."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass

from relay.memory.arms import DIRECT, Arm
from relay.memory.beta import surely_above
from relay.memory.decision import DIRECT_WORKS, KNOWN_WELL, Snapshot, belief
from relay.memory.identity import LONGEST_NETWORK

WORKS = 0.5
"""UDP that works in more than this share of the calls, surely, needs no TURN server."""
TTL_KNOWN = 86400
"""Seconds."""
TTL_UNKNOWN = 3600
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


def parse(body: object) -> Question:
    """Raises ``AdviceError`` that names what to change. Keys that are not known are passed over."""
    if not isinstance(body, Mapping):
        raise AdviceError("a question is a dictionary", 400)
    source = _text(body, "received-from", 64)
    if source is not None:
        try:
            source = str(ipaddress.ip_address(source.removeprefix("[").removesuffix("]")))
        except ValueError as error:
            raise AdviceError("received-from is an IP address", 400) from error
    return Question(_text(body, "network", LONGEST_NETWORK), _text(body, "user-agent", LONGEST_AGENT), source)


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


def advise(snapshot: Snapshot, turn: tuple[str, ...], now: float) -> Advice:
    """For an app in the network of ``snapshot``; ``turn`` are the operator's servers."""
    network = snapshot.network
    if network is None or network.rows < KNOWN_WELL:
        return Advice(turn, ("udp", "tcp") if turn else ("udp",), "relay", TTL_UNKNOWN)
    udp = [belief(snapshot, arm, now) for arm in (Arm.U, Arm.V6, Arm.U443) if arm in network.ways]
    works = any(one.rows >= KNOWN_WELL and surely_above(WORKS, one.alpha, one.beta) for one in udp)
    said = [belief(snapshot, arm, now, with_feedback=True) for arm in DIRECT]
    direct = any(surely_above(DIRECT_WORKS, one.alpha, one.beta) for one in said)
    if works:
        return Advice((), ("udp",), "assist" if direct else "relay", TTL_KNOWN)
    fails = udp and all(one.rows >= KNOWN_WELL and one.mean < WORKS for one in udp)
    order = ("tcp", "udp") if fails and turn else ("udp", "tcp") if turn else ("udp",)
    return Advice(turn, order, "relay", TTL_KNOWN)
