"""Session descriptions: read what is asked for, change what must change, pass everything else as it came."""

from sdp.candidate import Candidate, foundation, priority
from sdp.ice import IceDescription, own_priority
from sdp.media import (
    Connection,
    Direction,
    Origin,
    connection,
    direction,
    is_rtp,
    is_udp,
    origin,
    rtcp,
    rtcp_mux,
)
from sdp.reason import Reason
from sdp.rewrite import (
    Change,
    IceOut,
    Keep,
    MediaOut,
    Rewritten,
    SessionOut,
    loop_id,
    rewrite,
)
from sdp.session import Media, MediaLine, SdpError, Section, Session

__all__ = [
    "Candidate",
    "Change",
    "Connection",
    "Direction",
    "IceDescription",
    "IceOut",
    "Keep",
    "Media",
    "MediaLine",
    "MediaOut",
    "Origin",
    "Reason",
    "Rewritten",
    "SdpError",
    "Section",
    "Session",
    "SessionOut",
    "connection",
    "direction",
    "foundation",
    "is_rtp",
    "is_udp",
    "loop_id",
    "origin",
    "own_priority",
    "priority",
    "rewrite",
    "rtcp",
    "rtcp_mux",
]
