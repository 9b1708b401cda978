"""What tells the medias of a bundle apart in its packets (RFC 9143, section 9.2)."""

from __future__ import annotations

import re
from functools import lru_cache

from sdp.session import Media, Session

MID = "urn:ietf:params:rtp-hdrext:sdes:mid"

_EXTMAP = re.compile(r"\s*(\d{1,4})(?:/\S*)?\s+(\S+)", re.ASCII)
_SSRC = re.compile(r"\s*(\d{1,10})(?!\S)", re.ASCII)
_NONE: frozenset[int] = frozenset()


def extensions(session: Session, media: Media) -> dict[int, str]:
    """RTP header extensions, id to URI (RFC 8285): the media's own, and the session's where it has none.

    Only ids that a packet can carry, 1 .. 255: those from 4096 on wait for an answer to give them a small
    one. Lines that cannot be read are left out.
    """
    found: dict[int, str] = {}
    for value in media.attributes("extmap") or session.attributes("extmap"):
        match = _EXTMAP.match(value)
        if match is not None and 1 <= int(match[1]) <= 255:
            found.setdefault(int(match[1]), match[2])
    return found


def mid_extension_id(session: Session, media: Media) -> int | None:
    """The id under which packets carry the mid, 1 .. 255; None if they do not."""
    found = extensions(session, media)
    return next((id for id, uri in found.items() if uri.lower() == MID), None)


def payload_types(media: Media) -> frozenset[int]:
    """The RTP payload types of the m= line, 0 .. 127. Raises SdpError if the line is malformed."""
    short = (word for word in media.formats if word.isascii() and word.isdecimal() and len(word) <= 3)
    return _same(frozenset(number for number in map(int, short) if number <= 127))


def ssrcs(media: Media) -> frozenset[int]:
    """The SSRCs that the author announces (``a=ssrc``, RFC 5576), 0 .. 2**32 - 1."""
    found = map(_SSRC.match, media.attributes("ssrc"))
    numbers = (int(match[1]) for match in found if match is not None)
    return frozenset(number for number in numbers if number < 2**32) or _NONE


@lru_cache(maxsize=1024)
def _same(numbers: frozenset[int]) -> frozenset[int]:
    """One object for equal sets: most phones have the same payload types, and every call keeps its own."""
    return numbers
