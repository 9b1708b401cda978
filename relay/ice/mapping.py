"""Whether a peer's NAT maps each destination anew (RFC 4787, section 4.1), told from its own checks.

A STUN server told the peer how its NAT maps a socket: that is a server-reflexive
candidate. Its checks show us how the NAT maps the same socket towards us. If the
address is the same and the port another one, the NAT has a new mapping for us.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sdp.candidate import Candidate

Address = tuple[str, int]


def maps_anew(candidates: Iterable[Candidate], sources: Sequence[Address]) -> bool | None:
    """``candidates`` of one component, and where its checks came from, the first one first.

    None where that tells nothing: no NAT, no STUN server, an address that no
    candidate has, or a socket without a server-reflexive candidate, which may be
    the one that checked us.
    """
    udp = [one for one in candidates if one.transport.lower() == "udp"]
    mapped = {(one.address, one.port) for one in udp if one.type == "srflx"}
    if not mapped or not sources:
        return None
    if mapped.intersection(sources):
        return False
    host, _ = sources[0]
    named = {(one.address, one.port) for one in udp if one.type != "srflx"}
    if sources[0] in named or host not in {address for address, _ in mapped}:
        return None
    bases = sum(one.type == "host" and _may_be_base(one.address, host) for one in udp)
    return True if bases <= sum(address == host for address, _ in mapped) else None


def _may_be_base(address: str, mapped: str) -> bool:
    """A name (mDNS) may be of either family."""
    return address.endswith(".local") or (":" in address) == (":" in mapped)
