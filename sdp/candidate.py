"""ICE candidates as lines of text (RFC 8839, section 5.1)."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import field
from functools import lru_cache

from sdp.session import SdpError
from sdp.values import valueclass

TYPE_PREFERENCE = {"host": 126, "prflx": 110, "srflx": 100, "relay": 0}
"""RFC 8445, section 5.1.2.2."""

_CANDIDATE = re.compile(
    r"(\S{1,32})\s+(\d{1,3})\s+(\S+)\s+(\d{1,10})\s+(\S+)\s+(\d{1,5})\s+[Tt][Yy][Pp]\s+(\S+)(?:\s+(.*))?",
    re.ASCII | re.DOTALL,
)


@valueclass
class Candidate:
    """One transport address that a peer offers to receive on.

    ``extensions`` holds every word after the type, names and values in turn and uninterpreted (``raddr``,
    ``rport``, ``tcptype``, ``generation``, ``network-cost``...), so that a candidate we only relay comes
    out as it came in.
    """

    foundation: str  # 1 .. 32 characters; ice-chars in the RFC, any but white space here
    component: int  # 1 is RTP (and RTCP when muxed), 2 is RTCP; 1 .. 256
    transport: str  # "udp" or "tcp", in the peer's own letter case
    priority: int  # 1 .. 2**31 - 1 in the RFC; 0 .. 2**32 - 1 is read
    address: str  # numeric IPv4 or IPv6, or a name (mDNS)
    port: int  # 0 .. 65535
    type: str  # "host", "srflx", "prflx", "relay", or one we do not know
    extensions: tuple[str, ...] = ()
    _text: str = field(default="", init=False, repr=False, compare=False)

    @classmethod
    def parse(cls, value: str) -> Candidate:
        """Reads what follows ``a=candidate:``; ``str()`` gives it back. Raises SdpError."""
        foundation, component, transport, priority, address, port, type, rest = match(value).groups()
        extensions = tuple(rest.split()) if rest else ()
        found = cls(
            foundation, int(component), transport, int(priority), address, int(port), type, extensions
        )
        object.__setattr__(found, "_text", value)
        return found

    def extension(self, name: str) -> str | None:
        """The value of one extension (``raddr``, ``tcptype``...), None if absent."""
        pairs = zip(self.extensions[::2], self.extensions[1::2], strict=False)
        return next((value for key, value in pairs if key == name), None)

    def __str__(self) -> str:
        if self._text:
            return self._text
        words = (self.foundation, self.component, self.transport, self.priority, self.address, self.port)
        return " ".join([*map(str, words), "typ", self.type, *self.extensions])


def match(value: str) -> re.Match[str]:
    """The parts of what follows ``a=candidate:``, checked, for those who need few of them. Raises SdpError.

    Groups: foundation, component, transport, priority, address, port, type, and extensions or None.
    """
    found = _CANDIDATE.fullmatch(value)
    if found is None:
        raise SdpError("malformed candidate", f"a=candidate:{value}")
    if not 0 < int(found[2]) <= 256 or int(found[4]) >= 2**32 or int(found[6]) > 65535:
        raise SdpError("candidate with a number out of range", f"a=candidate:{value}")
    return found


def priority(type: str, component: int, local_preference: int = 65535) -> int:
    """Candidate priority, 0 .. 2**31 - 1 (RFC 8445, section 5.1.2.1).

    ``local_preference`` (0 .. 65535) orders candidates of one type.
    """
    return (TYPE_PREFERENCE[type] << 24) + (local_preference << 8) + (256 - component)


@lru_cache(maxsize=256)
def foundation(type: str, base_address: str, transport: str, stun_server: str = "") -> str:
    """13 ice-chars, the same for candidates that freeze together (RFC 8445, section 5.1.1.3).

    A digest, so that it needs no state and does not change while the process lives.
    """
    words = " ".join((type, base_address, transport.lower(), stun_server))
    return base64.b32encode(hashlib.sha256(words.encode()).digest()[:8]).decode().rstrip("=")
