"""Rules: what the forwarding plane does, as plain values.

A rule is both halves of one stream at one local port: what its peer sends in
is forwarded towards the rules named in ``rtp`` and ``rtcp``, and what others
forward towards it leaves from its local port to its peer. The peer is what was
latched, else ``remote``. Rules know no calls, no SDP and no ICE roles.
"""

from __future__ import annotations

import enum
from dataclasses import field

from sdp.values import valueclass

Address = tuple[str, int]
"""Numeric IP address (no brackets, no scope) and port."""

MAX_SOURCES = 32
"""Validated sources that one rule can hold: more would be an attack, not a phone."""

MAX_USERNAME = 265
"""Bytes of the USERNAME of a check: our ufrag, a colon, up to 256 of the peer's (RFC 8839, section 5.4)."""

CHECKS_PER_SECOND = 50
"""Answered for one source. Agents pace theirs, over all paths, 50 ms apart (RFC 8445, section 14.2)."""


MAX_MID = 32
"""Bytes of a mid that packets carry; browsers use one or two (RFC 9143, section 15)."""

MAX_ANNOUNCED = 16
"""SSRCs of one media that a rule can hold; those beyond are learnt from packets."""

MAX_OUTPUTS = 64
"""Outputs of each kind that a rule can have, and rules that can share a port: no call forks so widely."""

MAX_RATE = 1_000_000
"""Hz of the clock of RTP; the highest that is in use is 192,000."""


class Learn(enum.IntEnum):
    """Whom a stream is received from."""

    NOBODY = 0
    """Only ``Rule.sources``: ICE says who the peer is."""
    WINDOW = 1
    """Whoever wins the learn window (``relay.latching``)."""


@valueclass
class StunKeys:
    """What a plane has to know to answer the peer's checks as its ICE agent would (RFC 8445, section 7.3).

    It answers those that change nothing. All others are the agent's.
    """

    ufrag: str
    pwd: str = field(repr=False)
    """Ours, as ``ufrag`` is; requests and answers are signed with it."""
    remote_ufrag: str
    controlling: bool
    """Our role."""
    settled: tuple[Address, ...] = ()
    """The sources, among ``Rule.sources``, of which one more check is no news."""
    nominated: Address | None = None
    """The source that the peer nominated: from there, and only there, USE-CANDIDATE is no news either."""

    @property
    def username(self) -> bytes:
        """USERNAME of the peer's checks; at most ``MAX_USERNAME`` long, and ASCII."""
        return f"{self.ufrag}:{self.remote_ufrag}".encode("ascii")

    @property
    def key(self) -> bytes:
        """Of MESSAGE-INTEGRITY, both ways."""
        return self.pwd.encode("ascii")


@valueclass
class Marks:
    """What tells the packets of one media of a bundle from those of the others (RFC 9143, section 9.2)."""

    leader: int
    """The rule at the same port that the peer's packets come to, before each goes to the rule of its media.
    The leader names itself; the others learn from nobody, and have neither sources nor STUN."""
    mid: bytes = b""
    """As packets carry it, at most ``MAX_MID`` long."""
    mid_id: int = 0
    """Header extension that carries the mid, 1 .. 255; 0: none. The leader's counts."""
    payload_types: frozenset[int] = frozenset()
    """0 .. 127; such that no other media of the bundle has them."""
    ssrcs: tuple[int, ...] = ()
    """Announced ones, 0 .. 2**32 - 1, at most ``MAX_ANNOUNCED``."""


@valueclass
class Clock:
    """What the timestamps of RTP count, for jitter (RFC 3550, section 5.1)."""

    rate: int
    """Hz, 1 .. ``MAX_RATE``."""
    payload_types: frozenset[int]
    """0 .. 127; those that have this clock, and whose timestamps say when they were sampled."""


@valueclass
class Rule:
    """One stream at one local port: who may send to it, and who gets what is sent.

    ``id`` is the row in the plane's counters. ``port`` is a handle from
    ``Plane.open``. Several rules may share a port: a forked call in which one
    SDP went to several phones.
    """

    id: int
    port: int
    remote: Address | None
    learn: Learn
    hint: str | None = None
    """IP address that the peer's signalling came from: the second best source."""
    sources: tuple[Address, ...] = ()
    """Sources accepted without learning, at most ``MAX_SOURCES``."""
    asymmetric: bool = False
    """Learn whom to accept, but go on sending to ``remote``."""
    rtp: tuple[int, ...] = ()
    """Rules whose peers get our RTP, DTLS and opaque datagrams."""
    rtcp: tuple[int, ...] = ()
    """Rules whose peers get our RTCP."""
    stun: bool = False
    """STUN goes up as events; otherwise it is counted and dropped."""
    opaque: bool = False
    """Not RTP: every datagram is forwarded to ``rtp`` (T.38, data channels)."""
    generation: int = 0
    """A change forgets what was latched: the peer signalled a new address."""
    described: int = 0
    """A change lets a peer be found elsewhere (``Latch.reopen``): it has described itself again, with the
    same address. If ``hint`` changes with it, its signalling comes from elsewhere."""
    keys: int | None = None
    """Handle of ``Plane.open_keys``: the peer talks SRTP. What arrives is opened before anything is learnt
    from it; what leaves is protected. Only RTP and RTCP pass then."""
    dtls: bool = False
    """DTLS from a source that the rule accepts goes up as events. Until there are ``keys``, no media passes
    in either direction: it would be in the clear."""
    marks: Marks | None = None
    """Medias of a bundle share the port. A packet that is of none of them is counted ``no_media``."""
    plain_rtcp: bool = False
    """The peer's profile has no RTCP feedback: RTPFB and PSFB packets (RFC 4585) are taken out of what leaves
    towards it. Not for streams that pass as SRTP: what they hold is not to be read."""
    stun_keys: StunKeys | None = None
    """With ``stun``: checks that are no news are answered by the plane, and do not go up."""
    clock: Clock | None = None
    """Of the RTP that arrives; without it there is no jitter."""


@valueclass
class Drop:
    """The rule ends; its row of counters becomes free."""

    id: int


Change = Rule | Drop


def difference(before: dict[int, Rule], after: dict[int, Rule]) -> list[Change]:
    """What to tell the plane so that ``before`` becomes ``after``.

    Drops come last, so that no remaining rule ever names a missing one.

    >>> difference({1: Rule(1, 7, None, Learn.WINDOW)}, {})
    [Drop(id=1)]
    """
    changes: list[Change] = [rule for id, rule in after.items() if before.get(id) != rule]
    changes.extend(Drop(id) for id in before if id not in after)
    return changes
