"""What the packets at both phones say of a call: round trip, a move, a stranger. Pure; seconds.

Both ends are on one machine and so on one clock: the time that a packet takes is the
difference of two stamps. It is known again by SSRC and sequence number, which relays keep.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from bench.ice_lab.capture import Packet

LAST = 0.8
"""The round trip is that of the packets that were sent so long before the end."""
UNDER_WAY = 0.5
"""What was sent so long before the end is not missed."""
STRANGER = 0x57A1463A
"""The SSRC of what a stranger sends."""


@dataclass(frozen=True)
class End:
    """What passed one phone's interfaces."""

    checks: tuple[tuple[float, str], ...]
    sent: tuple[Packet, ...]
    got: tuple[Packet, ...]

    @classmethod
    def of(cls, reply: dict[str, list[list[float | str]]]) -> End:
        """From a phone's JSON."""
        return cls(
            tuple((float(at), str(own)) for at, own in reply["checks"]),
            tuple(Packet(*one) for one in reply["sent"]),  # type: ignore[arg-type]
            tuple(Packet(*one) for one in reply["got"]),  # type: ignore[arg-type]
        )

    @property
    def first(self) -> float | None:
        """When the first media came that is no stranger's."""
        return min((one.at for one in self.got if one.stream != STRANGER), default=None)

    @property
    def strange(self) -> int:
        """Packets of the stranger that came."""
        return sum(one.stream == STRANGER for one in self.got)

    def checks_until(self, end: float) -> int:
        return sum(at <= end for at, _ in self.checks)


def one_way(sender: End, receiver: End, since: float, until: float) -> float | None:
    """The median of what was sent in that time and arrived."""
    arrived = {(one.stream, one.number): one.at for one in reversed(receiver.got)}
    took = [
        arrived[one.stream, one.number] - one.at
        for one in sender.sent
        if since <= one.at < until and (one.stream, one.number) in arrived
    ]
    return statistics.median(took) if took else None


def round_trip(caller: End, callee: End, until: float) -> float | None:
    """Of media, through whatever is between; None unless both directions had some at the end."""
    there = one_way(caller, callee, until - LAST, until)
    back = one_way(callee, caller, until - LAST, until)
    return None if there is None or back is None else there + back


@dataclass(frozen=True)
class Move:
    """``returned``: from the first check at the new address until media came there; None for never.

    ``lost`` counts what the peer sent meanwhile and later, ``lost_there`` what the phone that moved
    sent from its new address; what was sent at the very end is left out.
    """

    returned: float | None
    lost: int
    lost_there: int
    sent: int

    @classmethod
    def of(cls, mover: End, peer: End, address: str, until: float) -> Move | None:
        """None if no check left the new address."""
        begun = min((at for at, own in mover.checks if own == address), default=None)
        if begun is None:
            return None
        here = {(one.stream, one.number): one.at for one in mover.got if one.own == address}
        wanted = [(one.stream, one.number) for one in peer.sent if begun <= one.at < until - UNDER_WAY]
        told = _keys(one for one in mover.sent if one.own == address and one.at < until - UNDER_WAY)
        kept = list(itertools.takewhile(lambda key: key in here, reversed(wanted)))
        return cls(
            here[kept[-1]] - begun if kept else None,
            sum(key not in here for key in wanted),
            len(told - _keys(peer.got)),
            len(wanted),
        )


def _keys(packets: Iterable[Packet]) -> set[tuple[int, int]]:
    return {(one.stream, one.number) for one in packets}
