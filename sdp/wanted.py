"""What we want said to the other side, in place of what the peer said: the input of ``sdp.rewrite``."""

from __future__ import annotations

import enum

from sdp.candidate import Candidate
from sdp.choose import Verdict
from sdp.crypto import Crypto
from sdp.dtls import Fingerprint
from sdp.media import Connection
from sdp.values import valueclass


class Keep(enum.Enum):
    """Which of the peer's candidates survive."""

    NONE = enum.auto()
    NOT_RELAY = enum.auto()  # all but typ relay
    ALL = enum.auto()


@valueclass
class IceOut:
    """ICE of one media.

    ``ufrag`` None is end-to-end mode: the peer's ufrag, pwd, ice-options, end-of-candidates and the like
    stay, and ``trickle`` is not looked at, since all of these describe the peer's agent. Only the option
    ``renomination`` goes.
    """

    ufrag: str | None
    pwd: str | None
    candidates: tuple[Candidate, ...]  # ours, after the kept ones
    keep: Keep = Keep.NONE
    trickle: bool = False  # a=ice-options:trickle ice2 (RFC 8445, section 10) and a=end-of-candidates
    verdicts: tuple[Verdict, ...] | None = None  # one for each a=candidate, in order, in place of ``keep``
    may_follow: bool = False  # of ours, some may follow in a fragment: no a=end-of-candidates yet


@valueclass
class SecurityOut:
    """Keys of one media, in place of the peer's. Nothing in it: the media has none (plain, or bundled)."""

    crypto: tuple[Crypto, ...] = ()  # never under a protocol that says DTLS
    fingerprint: Fingerprint | None = None
    setup: str | None = None
    tls_id: str | None = None


@valueclass
class MediaOut:
    """One media that goes through the relay."""

    port: int
    connection: Connection
    rtcp: int | None  # port of a=rtcp; None: no a=rtcp
    rtcp_connection: Connection | None = None  # full form of a=rtcp
    rtcp_mux: bool = False
    direction: str | None = None  # None: leave what is there
    protocol: str | None = None  # None: as offered
    mid: str | None = None  # in place of the peer's; empty: none. None: leave what is there
    ice: IceOut | None = None  # None: all ICE attributes are removed
    security: SecurityOut | None = None  # None: a=crypto, a=fingerprint, a=setup, a=tls-id stay
    bundle_only: bool = False  # a=bundle-only; port 0 is the caller's to say


@valueclass
class SessionOut:
    """The session level. None leaves a part as it is."""

    relay: Connection | None = None  # what c= is to name where no media of ours says so: nobody's phone
    origin: Connection | None = None
    username: str | None = None
    session_name: str | None = None
    version: int | None = None
    loop: str | None = None  # a=rtpengine:<loop> is added
    ice_lite: bool = False  # a=ice-lite is written, or else removed
    keep_bundle: bool = False  # a=group:BUNDLE and a=bundle-only stay (end-to-end mode), or else are removed
    bundle: tuple[tuple[str, ...], ...] | None = None  # mids of our groups, in place of the peer's
