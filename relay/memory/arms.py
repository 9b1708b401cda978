"""The ways by which a peer may reach us, or the other peer."""

from __future__ import annotations

import enum


class Arm(enum.StrEnum):
    """One way. Statistics call what can be tried an arm."""

    U = "u"
    """UDP over IPv4, at any port of ours."""
    V6 = "v6"
    """UDP over IPv6."""
    U443 = "u443"
    """UDP, at our port 443."""
    T443 = "t443"
    """ICE-TCP (RFC 6544), at our port 443."""
    TURN = "turn"
    """Through the TURN server of the peer."""
    DIRECT_HOST = "direct-host"
    """To a host candidate of the other peer, without us."""
    DIRECT_SRFLX = "direct-srflx"
    """To a server-reflexive candidate of the other peer, without us."""


UDP = frozenset((Arm.U, Arm.V6, Arm.U443))
TCP = frozenset((Arm.T443,))
OWN = UDP | TCP
"""Ways to our own candidates: what we may leave out of a description."""
DIRECT = frozenset((Arm.DIRECT_HOST, Arm.DIRECT_SRFLX))
"""Ways past us. What happens there only the peers can tell."""
