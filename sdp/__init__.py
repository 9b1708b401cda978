"""Session descriptions: read what is asked for, change what must change, pass everything else as it came."""

from sdp.bundle import bundle_only, bundled, groups, leaders, mid
from sdp.candidate import Candidate, foundation, priority
from sdp.crypto import SUITES, Crypto, Mki, Suite
from sdp.dtls import DtlsDescription, Fingerprint, Setup, answer_setup, offerer_role
from sdp.extmap import mid_extension_id, payload_types, ssrcs
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
from sdp.osrtp import opportunistic
from sdp.protocol import Profile
from sdp.reason import Reason
from sdp.rewrite import (
    Change,
    IceOut,
    Keep,
    MediaOut,
    Rewritten,
    SecurityOut,
    SessionOut,
    loop_id,
    rewrite,
)
from sdp.session import Media, MediaLine, SdpError, Section, Session

__all__ = [
    "SUITES",
    "Candidate",
    "Change",
    "Connection",
    "Crypto",
    "Direction",
    "DtlsDescription",
    "Fingerprint",
    "IceDescription",
    "IceOut",
    "Keep",
    "Media",
    "MediaLine",
    "MediaOut",
    "Mki",
    "Origin",
    "Profile",
    "Reason",
    "Rewritten",
    "SdpError",
    "Section",
    "SecurityOut",
    "Session",
    "SessionOut",
    "Setup",
    "Suite",
    "answer_setup",
    "bundle_only",
    "bundled",
    "connection",
    "direction",
    "foundation",
    "groups",
    "is_rtp",
    "is_udp",
    "leaders",
    "loop_id",
    "mid",
    "mid_extension_id",
    "offerer_role",
    "opportunistic",
    "origin",
    "own_priority",
    "payload_types",
    "priority",
    "rewrite",
    "rtcp",
    "rtcp_mux",
    "ssrcs",
]
