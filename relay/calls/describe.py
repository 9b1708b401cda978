"""Taking in what a party says of itself in one ``m=`` section."""

from __future__ import annotations

import enum
import ipaddress
from functools import lru_cache

import sdp
from relay.calls.clocks import STATIC_CODECS, rates
from relay.calls.state import Leg, Media, Traits
from relay.forward.rule import Address
from relay.ng.errors import INCOMPLETE_SDP, NgError
from relay.ng.request import Request
from sdp import media as views
from sdp.bundle import mid
from sdp.extmap import mid_extension_id, payload_types, ssrcs


class Handling(enum.Enum):
    """What we do with an ``m=`` section."""

    RTP = "rtp"
    OPAQUE = "opaque"
    """Datagrams that are not RTP: forwarded as they are."""
    UNTOUCHED = "untouched"
    """Rejected, or not over UDP: the section passes as it is."""


def handling(section: sdp.Media) -> Handling:
    """Decided by port and protocol alone."""
    if section.port == 0:
        return Handling.UNTOUCHED
    if views.is_rtp(section.protocol):
        return Handling.RTP
    return Handling.OPAQUE if views.is_udp(section.protocol) else Handling.UNTOUCHED


def listen(leg: Leg, media: Media, session: sdp.Session, section: sdp.Media, request: Request) -> None:
    """Note what the peer of ``leg`` says of ``media``, all but its addresses and ICE."""
    media.kind = section.kind
    media.protocol = section.protocol
    media.opaque = handling(section) is Handling.OPAQUE
    media.traits = Traits(
        mid_extension_id(session, section) or 0, payload_types(section), ssrcs(section), rates(section)
    )
    media.codec = first_codec(section)
    media.direction = views.direction(session, section) or "sendrecv"
    media.asymmetric = "asymmetric" in request.flags
    media.retiring = []
    media.mid = mid(section)
    leg.hint = request.received_from or leg.hint


def first_codec(section: sdp.Media) -> str:
    """``NAME/RATE`` of the first payload type, empty where nobody says."""
    first = section.formats[0] if section.formats else ""
    for value in section.attributes("rtpmap"):
        number, _, codec = value.partition(" ")
        if number == first:
            return codec.strip()
    return STATIC_CODECS.get(first, "")


class Announced:
    """Where a peer says it receives one media.

    ``rtp`` and ``rtcp`` are None on hold by zero address (with ICE it only means
    that the address comes later) and where the address is not an address;
    ``unresolved`` tells the second case.
    """

    __slots__ = ("family", "held", "rtcp", "rtp", "unresolved")

    def __init__(
        self, session: sdp.Session, section: sdp.Media, request: Request, with_mux: bool, with_ice: bool
    ) -> None:
        connection = views.connection(session, section)
        if connection is None:
            raise NgError(INCOMPLETE_SDP)
        self.family = connection.family
        ip = connection.address
        self.held = is_zero(ip) and not with_ice
        trusted = "sip-source-address" not in request.flags or not request.received_from
        if not trusted and request.received_from:
            ip = request.received_from
        self.rtp = _usable(ip, section.port)
        self.unresolved = self.rtp is None and _numeric(ip) is None
        self.rtcp = self.rtp if with_mux else self._rtcp(section, ip, trusted)

    @staticmethod
    def _rtcp(section: sdp.Media, ip: str, trusted: bool) -> Address | None:
        """``a=rtcp`` (RFC 3605), else the next port; its address only where addresses are trusted."""
        said = views.rtcp(section)
        if said is None:
            return _usable(ip, section.port + 1)
        port, connection = said
        return _usable(connection.address if connection and trusted else ip, port)


def is_zero(ip: str) -> bool:
    """The address that means hold (RFC 2543 style, RFC 3264 section 8.4)."""
    return ip in ("0.0.0.0", "::")


_parsed = lru_cache(maxsize=4096)(ipaddress.ip_address)
"""A relay hears of the same phones and gateways again and again. What is no address is not remembered."""


def _numeric(ip: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address that means the same everywhere: one with a scope (``fe80::1%eth0``) does not."""
    try:
        return _parsed(ip) if "%" not in ip else None
    except ValueError:
        return None


def _usable(ip: str, port: int) -> Address | None:
    """An address that one can send to: not zero, not a group of hosts."""
    address = _numeric(ip) if 0 < port < 65536 else None
    if address is None or address.is_unspecified or address.is_multicast or ip == "255.255.255.255":
        return None
    return str(address), port
