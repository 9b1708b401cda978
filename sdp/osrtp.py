"""Opportunistic SRTP: keys offered under a profile that does not ask for them (RFC 8643)."""

from __future__ import annotations

from sdp import crypto, dtls
from sdp.protocol import Profile
from sdp.session import Media, Session


def opportunistic(session: Session, media: Media) -> bool:
    """Whether the media is RTP/AVP or RTP/AVPF and comes with keys or a fingerprint that can be read.

    Raises SdpError for a malformed m= line.
    """
    return is_plain(media.protocol) and (bool(crypto.read(media)) or dtls.read(session, media).offered)


def is_plain(protocol: str) -> bool:
    """Whether the protocol of an m= line is a profile that does not ask for keys."""
    profile = Profile.of(protocol)
    return profile is not None and not profile.secure
