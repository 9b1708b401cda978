"""What to tell an app before its next call: what not to gather, and what to have ready."""

from __future__ import annotations

from dataclasses import dataclass

from relay.memory.arms import DIRECT, Arm
from relay.memory.beta import surely_above
from relay.memory.decision import DIRECT_WORKS, KNOWN_WELL, Snapshot, belief

WORKS = 0.5
"""UDP that works in more than this share of the calls, surely, needs no TURN server."""
TTL_KNOWN = 86400
"""Seconds."""
TTL_UNKNOWN = 3600


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
