"""Which checks a plane answers by itself, and how. The specification of ext/stun.pxi.

A check is answered if the agent in Python would answer it with success and do
nothing else. What looks unusual goes up, be it right or wrong.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from relay.forward.rule import CHECKS_PER_SECOND, Address, StunKeys
from relay.ice import stun
from relay.ice.stun import Attribute, Class, StunError

MAX_ATTRIBUTES = 16
"""In front of the integrity; browsers send five."""

SOFTWARE = 0x8022
RESPONSE_ORIGIN = 0x802B
OTHER_ADDRESS = 0x802C

SIZES = {
    Attribute.PRIORITY: 4,
    Attribute.USE_CANDIDATE: 0,
    Attribute.ICE_CONTROLLED: 8,
    Attribute.ICE_CONTROLLING: 8,
}


@dataclass(slots=True)
class Allowance:
    """How many checks of one source were answered in the second from ``since`` on."""

    since: float = float("-inf")
    count: int = 0

    def take(self, now: float) -> bool:
        """One more, if there is one left."""
        if now - self.since >= 1.0:
            self.since, self.count = now, 0
        if self.count == CHECKS_PER_SECOND:
            return False
        self.count += 1
        return True


def answer(keys: StunKeys, source: Address, datagram: bytes) -> bytes | None:
    """The answer to a check; None for what goes up."""
    try:
        message = stun.parse(datagram)
    except StunError:
        return None
    if source not in keys.settled or message.type is not Class.REQUEST or not _is_usual(datagram):
        return None
    said = message.attributes
    ours, theirs = "ICE-CONTROLLED", "ICE-CONTROLLING"
    if keys.controlling:
        ours, theirs = theirs, ours
    if message.username != (keys.ufrag, keys.remote_ufrag) or ours in said or theirs not in said:
        return None
    if "USE-CANDIDATE" in said and source != keys.nominated:
        return None
    return stun.success(message, source, keys.key) if message.is_signed_with(keys.key) else None


def _is_usual(datagram: bytes) -> bool:
    """No attribute that a check does not need, and FINGERPRINT alone behind the integrity."""
    attributes = list(_attributes(datagram))
    kinds = [kind for kind, _ in attributes]
    if Attribute.MESSAGE_INTEGRITY not in kinds:
        return False
    at = kinds.index(Attribute.MESSAGE_INTEGRITY)
    return (
        at <= MAX_ATTRIBUTES
        and len(attributes[at][1]) == 20
        and kinds[at + 1 :] in ([], [Attribute.FINGERPRINT])
        and all(_is_expected(kind, value) for kind, value in attributes[:at])
    )


def _attributes(datagram: bytes) -> Iterator[tuple[int, bytes]]:
    position = stun.HEADER
    while position < len(datagram):
        kind, size = struct.unpack_from("!HH", datagram, position)
        yield kind, datagram[position + 4 : position + 4 + size]
        position += 4 + size + -size % 4


def _is_expected(kind: int, value: bytes) -> bool:
    if kind in SIZES:
        return len(value) == SIZES[Attribute(kind)]
    if kind == SOFTWARE:
        return value.isascii()
    others = (Attribute.FINGERPRINT, RESPONSE_ORIGIN, OTHER_ADDRESS)
    return kind == Attribute.USERNAME or (kind >= 0x8000 and kind not in others)
