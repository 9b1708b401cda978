"""Numeric addresses of peers: read often, so without an object for each."""

from __future__ import annotations

import enum
import ipaddress
import re
from bisect import bisect_right

_OCTET = r"(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = re.compile(rf"{_OCTET}\.{_OCTET}\.{_OCTET}\.{_OCTET}")

Number = tuple[int, int]
"""Version, 4 or 6, and the address as a number."""


def number(address: str) -> Number | None:
    """None for a name, and for an address with a scope, which means nothing elsewhere.

    >>> number("192.0.2.1"), number("2001:db8::1%eth0")
    ((4, 3221225985), None)
    """
    match = _IPV4.fullmatch(address)
    if match is not None:
        a, b, c, d = match.groups()
        return 4, int(a) << 24 | int(b) << 16 | int(c) << 8 | int(d)
    if ":" not in address or "%" in address:
        return None
    try:
        return 6, int(ipaddress.IPv6Address(address))
    except ValueError:
        return None


_MAPPED = 0xFFFF
"""The bits before an IPv4 address that is written as an IPv6 one (RFC 4291, section 2.5.5.2)."""


def host(address: str) -> Number | None:
    """As ``number``, and one for both ways to write an IPv4 address.

    >>> host("::ffff:192.0.2.1") == host("192.0.2.1")
    True
    """
    found = number(address)
    if found is not None and found[0] == 6 and found[1] >> 32 == _MAPPED:
        return 4, found[1] & 0xFFFFFFFF
    return found


class Scope(enum.Enum):
    """How far an address reaches (RFC 4007; RFC 6890 for IPv4)."""

    NOBODY = "nobody"
    """It is not that of one host, or no address."""
    HOST = "host"
    """Loopback."""
    LINK = "link"
    WIDER = "wider"


def scope(address: str) -> Scope:
    """How far ``address`` reaches.

    >>> [scope(text).value for text in ("0.0.0.0", "127.0.0.9", "169.254.0.1", "10.0.0.1", "233.252.0.1")]
    ['nobody', 'host', 'link', 'wider', 'nobody']
    >>> [scope(text).value for text in ("::", "::1", "fe80::1", "2001:db8::1", "ff02::1", "::ffff:127.0.0.1")]
    ['nobody', 'host', 'link', 'wider', 'nobody', 'host']
    """
    match host(address):
        case (4, value):
            first = value >> 24
            if first == 0 or first >= 224:  # sent to 0.0.0.0, Linux delivers to this host
                return Scope.NOBODY
            if first == 127:
                return Scope.HOST
            return Scope.LINK if value >> 16 == 0xA9FE else Scope.WIDER
        case (6, value):
            if value in (0, 1):
                return Scope.HOST if value else Scope.NOBODY
            if value >> 120 == 0xFF:
                return Scope.NOBODY
            return Scope.LINK if value >> 118 == 0xFE80 >> 6 else Scope.WIDER
    return Scope.NOBODY


_LOCAL = sorted(
    (network.version, int(network.network_address), int(network.broadcast_address))
    for network in map(
        ipaddress.ip_network,
        (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
            *("192.168.0.0/16", "224.0.0.0/3", "::/8", "fc00::/7", "fe80::/10", "ff00::/8"),
        ),
    )
)
"""Version, first and last address. What is there means something else here than it does where the peer is
(RFC 6890), or is not for one host only."""
_FIRST = [(version, first) for version, first, _ in _LOCAL]


def is_public(address: str) -> bool:
    """It means the same everywhere.

    >>> [is_public(text) for text in ("192.0.2.1", "2001:db8::1", "10.0.0.1", "::ffff:10.0.0.1", "a.local")]
    [True, True, False, False, False]
    >>> is_public("2001:db8::1%eth0")
    False
    """
    found = number(address)
    if found is None:
        return False
    before = bisect_right(_FIRST, found) - 1
    if before < 0:
        return True
    version, _, last = _LOCAL[before]
    return version != found[0] or found[1] > last
