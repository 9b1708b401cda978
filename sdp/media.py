"""What the lines of a description say: typed views, pure functions of a session and one of its medias."""

from __future__ import annotations

import enum

from sdp.session import Media, SdpError, Section, Session
from sdp.values import valueclass


class Direction(enum.StrEnum):
    """Who sends, seen from the author of the description (RFC 8866, section 6.7)."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"


@valueclass
class Connection:
    """An address as c=, o= and a=rtcp write it: ``IN IP4 192.0.2.1``."""

    family: str  # "IP4" or "IP6"
    address: str  # numeric, or a name; without the /ttl of a multicast address

    @classmethod
    def parse(cls, text: str, line: str) -> Connection:
        """Reads ``IN IP4 192.0.2.1``. Raises SdpError, which names ``line``."""
        fields = text.split()
        if len(fields) != 3 or fields[0].upper() != "IN" or fields[1].upper() not in ("IP4", "IP6"):
            raise SdpError("not an address like IN IP4 192.0.2.1", line)
        return cls(fields[1].upper(), fields[2].partition("/")[0])

    @property
    def unspecified(self) -> bool:
        """0.0.0.0 or ::, which means hold (RFC 3264, section 8.4), or not known yet (RFC 8840)."""
        return self.address in ("0.0.0.0", "::")

    def __str__(self) -> str:
        return f"IN {self.family} {self.address}"


@valueclass
class Origin:
    """The o= line (RFC 8866, section 5.2). Numbers stay text: they may be longer than any integer type."""

    username: str
    session_id: str
    version: str
    connection: Connection

    def __str__(self) -> str:
        return f"{self.username} {self.session_id} {self.version} {self.connection}"


def origin(session: Session) -> Origin | None:
    """The o= line; None without one. Raises SdpError if it has not six fields."""
    value = session.value("o")
    if value is None:
        return None
    fields = value.split()
    if len(fields) != 6:
        raise SdpError(f"o= line with {len(fields)} fields instead of 6", f"o={value}")
    return Origin(fields[0], fields[1], fields[2], Connection.parse(" ".join(fields[3:]), f"o={value}"))


def connection(session: Session, media: Media) -> Connection | None:
    """Where the media is to be sent, the media's own c= before the session's; None if neither exists.

    Raises SdpError if the line that counts is malformed.
    """
    value = media.value("c")
    if value is None:
        value = session.value("c")
    return None if value is None else Connection.parse(value, f"c={value}")


def direction(session: Session, media: Media) -> Direction | None:
    """The media's own direction, else the session's; None if neither says (which means sendrecv)."""
    return _direction(media) or _direction(session)


def _direction(section: Section) -> Direction | None:
    found = (word for word in Direction if section.attribute(word) is not None)
    return next(found, None)


def rtcp(media: Media) -> tuple[int, Connection | None] | None:
    """Port (0 .. 65535) and address of ``a=rtcp`` (RFC 3605); None without one. Raises SdpError."""
    value = media.attribute("rtcp")
    if value is None:
        return None
    line = f"a=rtcp:{value}"
    port, _, address = value.strip().partition(" ")
    if not (port.isascii() and port.isdecimal() and len(port) <= 5 and int(port) <= 65535):
        raise SdpError("a=rtcp without a port", line)
    return int(port), Connection.parse(address, line) if address.strip() else None


def rtcp_mux(media: Media) -> bool:
    """Whether the author takes RTCP on the RTP port (RFC 5761; RFC 8858 for ``rtcp-mux-only``)."""
    return media.attribute("rtcp-mux") is not None or media.attribute("rtcp-mux-only") is not None


def is_rtp(protocol: str) -> bool:
    """Whether the media is RTP, plain or secured, over whatever."""
    return "RTP" in protocol.upper().split("/")


def is_udp(protocol: str) -> bool:
    """Whether the packets are UDP datagrams: ``RTP/..``, ``UDP/..``, ``udptl``, the old ``DTLS/SCTP``."""
    return protocol.upper().split("/")[0] in ("RTP", "UDP", "UDPTL", "DTLS")
