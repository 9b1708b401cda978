"""Checks as a peer may write them, honest or not."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace

from aioice import stun as aioice_stun

from relay.forward.rule import StunKeys

KEYS = StunKeys("ours", "our-password-of-22-chars", "peer", controlling=False)

Attributes = tuple[tuple[int, bytes], ...]

USERNAME, PRIORITY, USE_CANDIDATE, SOFTWARE = 0x0006, 0x0024, 0x0025, 0x8022
CONTROLLED, CONTROLLING, NETWORK = 0x8029, 0x802A, 0xC057
ODD = (0, 1, 3, 8, 9, 0x1C, 0x20, 0x77, 0x7FFF, 0x8000, 0x8023, 0x8028, 0x802B, 0x802C, 0xC058, 0xFFFF)


@dataclass(frozen=True)
class Draft:
    """A request before it is signed."""

    attributes: Attributes
    key: bytes | None = KEYS.key
    fingerprint: bool = True
    behind: Attributes = ()
    """What follows the integrity."""
    type: int = 1
    transaction: bytes = bytes(range(12))

    def write(self) -> bytes:
        data = struct.pack("!HHI12s", self.type, 0, 0x2112A442, self.transaction) + packed(self.attributes)
        if self.key is not None:
            data += packed([(8, aioice_stun.message_integrity(data, self.key))])
        data += packed(self.behind)
        if self.fingerprint:
            data += packed([(0x8028, struct.pack("!I", aioice_stun.message_fingerprint(data)))])
        return aioice_stun.set_body_length(data, len(data) - 20)


def packed(attributes: Sequence[tuple[int, bytes]]) -> bytes:
    return b"".join(struct.pack("!HH", t, len(v)) + v + bytes(-len(v) % 4) for t, v in attributes)


def honest(rng: random.Random, keys: StunKeys = KEYS, nominate: bool = False) -> Draft:
    """A check of a peer in the right role, with what products add, in any order."""
    attributes = [
        (USERNAME, keys.username),
        (PRIORITY, rng.randbytes(4)),
        (CONTROLLED if keys.controlling else CONTROLLING, rng.randbytes(8)),
    ]
    if rng.random() < 0.4:
        attributes.append((NETWORK, rng.randbytes(4)))
    if rng.random() < 0.2:
        attributes.append((SOFTWARE, b"phone 1.0"[: rng.randrange(10)]))
    if nominate:
        attributes.append((USE_CANDIDATE, b""))
    rng.shuffle(attributes)
    return Draft(tuple(attributes), keys.key, fingerprint=rng.random() < 0.8, transaction=rng.randbytes(12))


def altered(rng: random.Random, draft: Draft) -> Draft:
    """One thing is different, and what the peer can sign is signed."""
    attributes = list(draft.attributes)
    place = rng.randrange(len(attributes))
    kind, value = attributes[place]
    match rng.randrange(12):
        case 0:
            del attributes[place]
        case 1:
            attributes.insert(place, rng.choice(attributes))
        case 2:
            attributes.insert(place, (rng.choice(ODD), rng.randbytes(rng.choice([0, 1, 4, 8, 20]))))
        case 3:
            attributes[place] = (kind, value[: rng.randrange(len(value) + 1)])
        case 4:
            attributes[place] = (kind, value + rng.randbytes(rng.randint(1, 5)))
        case 5:
            attributes[place] = (rng.choice([*ODD, SOFTWARE, CONTROLLED, CONTROLLING, USE_CANDIDATE]), value)
        case 6:
            names = (b"ours:other", b"ours", b"ours:peer:", b"other:peer", b"ours:\xff", b"", b"ours:Peer")
            attributes = [(k, rng.choice(names) if k == USERNAME else v) for k, v in attributes]
        case 7:
            odd = ((k, rng.randbytes(rng.choice([0, 4, 20]))) for k in (*ODD, USE_CANDIDATE, 8))
            return replace(draft, behind=tuple(rng.sample(list(odd), rng.randint(1, 2))))
        case 8:
            return replace(draft, key=rng.choice([None, b"", b"wrong", KEYS.key[:-1]]))
        case 9:
            return replace(draft, type=rng.choice([0x0002, 0x0003, 0x0011, 0x0101, 0x0111, 0x0201]))
        case 10:
            attributes += [(0xC100 + i, b"") for i in range(rng.randrange(10, 15))]
        case 11:
            attributes.insert(place, (USE_CANDIDATE, b""))
    return replace(draft, attributes=tuple(attributes))


def damaged(rng: random.Random, datagram: bytes) -> bytes:
    """Bits flip, octets go missing or are added; nothing is signed again."""
    data = bytearray(datagram)
    for _ in range(rng.choice([1, 1, 2, 5])):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    match rng.randrange(4):
        case 0:
            data = data[: 4 * rng.randrange(len(data) // 4 + 1)]
            data[2:4] = max(0, len(data) - 20).to_bytes(2, "big")
        case 1:
            data += packed([(rng.choice(ODD), rng.randbytes(4))])
            data[2:4] = (len(data) - 20).to_bytes(2, "big")
    return bytes(data)
