"""Which clock the timestamps of a stream count (RFC 3550, section 5.1), by what both parties described.

A party sends what the other one described, and in that what it can itself. So
of the formats that both have the first one is taken for the codec in use. Other
payload types with the same rate count as well: their timestamps go on in step.
"""

from __future__ import annotations

import re
from functools import lru_cache

import sdp
from relay.forward.rule import MAX_RATE, Clock

Rates = tuple[tuple[int, int], ...]
"""Payload types and their rates in Hz, the preferred one first."""

STATIC_CODECS = {
    "0": "PCMU/8000",
    "3": "GSM/8000",
    "4": "G723/8000",
    "8": "PCMA/8000",
    "9": "G722/8000",
    "13": "CN/8000",
    "15": "G728/8000",
    "18": "G729/8000",
    "26": "JPEG/90000",
    "31": "H261/90000",
    "34": "H263/90000",
}
"""Payload types that need no rtpmap (RFC 3551, section 6)."""

UNSAMPLED = frozenset({"telephone-event"})
"""Their timestamps say when something began, packet after packet the same (RFC 4733, section 2.2.1)."""

_RTPMAP = re.compile(r"\s*(\d{1,3})\s+([^/\s]+)/(\d{1,7})(?!\d)", re.ASCII)


def rates(section: sdp.Media) -> Rates:
    """Of an ``m=`` section, as far as somebody says them and timestamps tell when a packet was sampled."""
    return _rates(section.formats, tuple(section.attributes("rtpmap")))


@lru_cache(maxsize=1024)
def _rates(formats: tuple[str, ...], described: tuple[str, ...]) -> Rates:
    """Phones of one kind describe the same; and every call keeps what comes out."""
    codecs = {number: STATIC_CODECS[number] for number in formats if number in STATIC_CODECS}
    for value in described:
        number, _, codec = value.strip().partition(" ")
        codecs[number] = codec
    found = (_RTPMAP.match(f"{number} {codecs[number]}") for number in formats if number in codecs)
    return tuple(
        (int(match[1]), int(match[3]))
        for match in found
        if match is not None
        and match[2].lower() not in UNSAMPLED
        and int(match[1]) < 128
        and 0 < int(match[3]) <= MAX_RATE
    )


@lru_cache(maxsize=1024)
def agreed(theirs: Rates, ours: Rates) -> Clock | None:
    """Of a party with ``ours``, which is told ``theirs``; either is empty before its description."""
    mine = frozenset(number for number, _ in ours)
    common = [one for one in theirs if one[0] in mine] or theirs or ours
    if not common:
        return None
    rate = common[0][1]
    return Clock(rate, frozenset(number for number, other in common if other == rate))
