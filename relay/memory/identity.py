"""Which network a party is in, without remembering which one it is.

What is kept is a keyed hash. Whoever has the memory but not the secret cannot
tell the networks, and whoever has both can only try those that he knows.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from dataclasses import dataclass

LONGEST_NETWORK = 64
"""Bytes of an id that the client gave itself."""
HASH = 16
"""Bytes of a hash: with two million networks, two of them share one in 10**26 cases."""
SITE = 8
"""Bytes of the hash of a site; it tells apart a few within one network."""
LONGEST_FAMILY = 24
"""Letters of a user-agent family."""
TRANSPORTS = ("udp", "tcp", "tls", "sctp", "ws", "wss")
"""How signalling may come: those of SIP, as Kamailio writes them."""

_PRODUCT = re.compile(r"[A-Za-z][A-Za-z0-9._+-]*")
_VERSION = re.compile(r"[-._]?v?[0-9].*$")


@dataclass(frozen=True, slots=True)
class Identity:
    """A network as far as we know it."""

    network: bytes | None
    """Hash of its key, 16 bytes; None: nothing is known, and only what is true of most networks holds."""
    family: bytes | None
    """Hash of the user agent's family, under which its common knowledge is kept."""
    named: bool = False
    """The client named it. Otherwise it is an address prefix, which many networks may share."""
    agent: str = ""
    """The family in clear."""
    site: bytes = b""
    """Hash of the address (IPv4) or /64 (IPv6) that the signalling came from, 8 bytes; empty: not known."""


NOWHERE = Identity(None, None)


def identify(
    secret: bytes, network: str | None, source: str | None, agent: str | None, transport: str = ""
) -> Identity:
    """The identity of a party.

    ``network`` is what its client calls its network, ``source`` the address that
    its signalling came from, ``transport`` how it came, ``agent`` its User-Agent header. A ``network``
    that is too long counts as none.
    """
    family = agent_family(agent)
    hashed = _hash(secret, "agent", family) if family else None
    within = _prefix(source, 32, 64) if source else None
    site = _hash(secret, "site", within)[:SITE] if within is not None else b""
    if network and len(network.encode("utf-8", "surrogateescape")) <= LONGEST_NETWORK:
        return Identity(_hash(secret, "network", network), hashed, True, family, site)
    prefix = _prefix(source) if source else None
    if prefix is None:
        return Identity(None, hashed, False, family)
    told = (transport,) if transport else ()
    return Identity(_hash(secret, "prefix", prefix, family, *told), hashed, False, family, site)


def same_prefix(one: str, other: str) -> bool:
    """Whether two addresses stand for one network."""
    return _prefix(one) == _prefix(other)


def everyone(secret: bytes) -> bytes:
    """The hash under which is kept what is true of all networks together."""
    return _hash(secret, "everyone")


def agent_family(agent: str | None) -> str:
    """The first product of a User-Agent header without its version, in lower case; empty if there is none.

    >>> agent_family("Linphone/5.2.1 (Android 14)"), agent_family("baresip v3.1"), agent_family("Z 5.4-rc")
    ('linphone', 'baresip', 'z')
    """
    found = _PRODUCT.match((agent or "").strip())
    return _VERSION.sub("", found[0]).lower()[:LONGEST_FAMILY] if found else ""


def _prefix(source: str, ipv4: int = 24, ipv6: int = 48) -> str | None:
    try:
        address = ipaddress.ip_address(source)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    length = ipv4 if address.version == 4 else ipv6
    return str(ipaddress.ip_network((address, length), strict=False))


def _hash(secret: bytes, *parts: str) -> bytes:
    text = "\0".join(parts).encode("utf-8", "surrogateescape")
    return hmac.digest(secret, text, hashlib.sha256)[:HASH]
