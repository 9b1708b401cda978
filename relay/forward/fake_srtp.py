"""SRTP by pylibsrtp's public interface: the slow twin of ext/srtp.pxi.

Knows the profiles of that interface only, and packets up to 1,352 octets.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

import pylibsrtp

from relay.forward.srtp_library import public_policy
from relay.srtp.profiles import MasterKey, Profile

MAX_SSRCS = 128
"""SSRCs per direction: libsrtp keeps state for each, and nothing may grow without end."""


class Failure(enum.Enum):
    """Why a packet was not opened; the names of counters."""

    AUTH = "auth"
    REPLAY = "replay"


@dataclass(slots=True)
class Direction:
    """What arrives from a peer, or what leaves towards it."""

    session: pylibsrtp.Session
    key: tuple[Profile, MasterKey]
    ssrcs: set[int] = field(default_factory=set)

    @classmethod
    def open(cls, profile: Profile, master: MasterKey, inbound: bool, before: Direction | None) -> Direction:
        """The one of before if its key is the same."""
        if before is not None and before.key == (profile, master):
            return before
        session = pylibsrtp.Session(public_policy(profile, master, inbound=inbound))
        return cls(session, (profile, master))

    def protect(self, packet: bytes, rtcp: bool) -> bytes | None:
        """None if it cannot be protected."""
        ssrc = ssrc_of(packet, rtcp)
        if not self._has_room(ssrc):
            return None
        try:
            protected = self.session.protect_rtcp(packet) if rtcp else self.session.protect(packet)
        except pylibsrtp.Error:
            return None
        self.ssrcs.add(ssrc)
        return bytes(protected)

    def unprotect(self, packet: bytes, rtcp: bool) -> bytes | Failure:
        ssrc = ssrc_of(packet, rtcp)
        if not self._has_room(ssrc):
            return Failure.AUTH
        try:
            plain = self.session.unprotect_rtcp(packet) if rtcp else self.session.unprotect(packet)
        except pylibsrtp.Error as error:
            return Failure.REPLAY if str(error).startswith("replay check failed") else Failure.AUTH
        self.ssrcs.add(ssrc)
        return bytes(plain)

    def _has_room(self, ssrc: int) -> bool:
        return ssrc in self.ssrcs or len(self.ssrcs) < MAX_SSRCS


@dataclass(slots=True)
class Keys:
    """What ``open_keys`` made. ``worker`` is that of the first rule that names it."""

    arriving: Direction
    leaving: Direction
    worker: int | None = None

    @classmethod
    def open(cls, profile: Profile, receive: MasterKey, send: MasterKey, before: Keys | None = None) -> Keys:
        """A direction of ``before`` whose key stays goes on. Raises ``SrtpError`` and ``SrtpUnavailable``."""
        arriving = Direction.open(profile, receive, True, before.arriving if before else None)
        leaving = Direction.open(profile, send, False, before.leaving if before else None)
        return cls(arriving, leaving, before.worker if before else None)


def ssrc_of(packet: bytes, rtcp: bool) -> int:
    """The SSRC of a packet with a whole header.

    >>> ssrc_of(bytes([0x80, 200, 0, 1, 0, 0, 0, 7]), rtcp=True)
    7
    """
    return int.from_bytes(packet[4:8] if rtcp else packet[8:12], "big")
