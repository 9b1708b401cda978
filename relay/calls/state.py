"""What we know of a call: call > leg > media > stream.

Everything that the plane has and every description that we write is derived
from this tree; nothing else remembers a call. Times are seconds: ``created``
is unix time, all others are on the monotonic clock that ``now`` comes from.

A leg is one party, known by its tag. ``Leg.medias[i]`` describes the i-th
``m=`` section between us and that party: the local ports that the party sends
*to*, and the addresses that it receives on.
"""

from __future__ import annotations

import enum
from collections.abc import Container
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import TypeVar

from relay.calls.allowance import Allowance
from relay.calls.resources import LocalPort
from relay.calls.sightings import Sightings
from relay.dtls.association import Association, Where
from relay.dtls.fingerprint import Fingerprint
from relay.dtls.identity import Identity
from relay.forward.rule import Address
from relay.ice.agent import Agent
from relay.ice.credentials import Credentials
from relay.ice.passing import Passer, Side
from relay.ice.policy import Decision, Order, Place, Result, family_of
from relay.memory.record import Said
from relay.ng.errors import TOO_MANY_CALLS, NgError
from relay.ng.request import Request
from sdp.candidate import Candidate
from sdp.choose import Verdict
from sdp.crypto import Crypto
from sdp.dtls import Setup
from sdp.session import Media as Section
from sdp.session import Session
from sdp.values import valueclass

MAX_LEGS = 64
"""Of one call: no phone number rings more devices."""


class Mode(enum.Enum):
    """What we do with the ICE of one media of one leg (``ice-optimizer.md``, section 1)."""

    OFF = "off"
    TERMINATED = "terminated"
    """Checks end here; the peer sees our candidates only."""
    PASSED = "passed"
    """Checks pass through between the peers, verified on the way."""


@dataclass(slots=True)
class Path:
    """One local port of a stream and whom ICE validated there."""

    port: LocalPort
    rule: int
    sources: tuple[Address, ...] = ()


@dataclass(slots=True)
class Stream:
    """One component of a media: its local ports and its peer."""

    component: int
    paths: list[Path]
    """One for each address of the interface under ICE, else one."""
    remote: Address | None = None
    """What the peer signalled; None before its description, and where it is no address."""
    held: bool = False
    """On hold by zero address: the peer is not sent to."""
    unresolved: bool = False
    """The peer signalled a host name: send nothing until its first packets show the address."""
    generation: int = 0
    """Raised when the signalled address changes: what was latched is forgotten."""
    described: int = 0
    """Descriptions in which the peer said that it sends: it may do so from elsewhere than before."""
    selected: int = 0
    """Index of the path that we send from."""
    chosen: Address | None = None
    """With ICE: the peer's address on the selected path."""

    def snapshot(self) -> Stream:
        """See ``Call.snapshot``."""
        copy = _copy(self)
        copy.paths = [_copy(path) for path in self.paths]
        return copy

    @property
    def path(self) -> Path:
        """The path that we send from."""
        return self.paths[self.selected]


@dataclass(slots=True)
class MediaIce:
    """ICE of one media of one leg."""

    mode: Mode
    local: Credentials
    remote: Credentials | None = None
    candidates: tuple[Candidate, ...] = ()
    """What the peer told of where it is, in its description and in fragments."""
    ended: bool = False
    """It said that no more of them come (RFC 8840, section 8)."""
    lite: bool = False
    """The peer is ICE-lite."""
    agent: Agent | None = None
    """Ours, when the mode is ``TERMINATED``."""
    passers: tuple[Passer, ...] = ()
    """One for each component, shared by both legs, when the mode is ``PASSED``."""
    side: Side = Side.OFFERER
    """Which side of the passers this leg is."""
    previous: MediaIce | None = None
    """The generation before, which serves until this one has selected a path (RFC 8445, section 9)."""
    last_check: float = 0.0
    """When the last authenticated check came."""
    seen: Sightings = field(default_factory=Sightings)
    """For the record of the leg."""


@dataclass(slots=True)
class Security:
    """SRTP between us and the peer of one media: keys by SDES or by DTLS, per leg.

    Until the peer has answered an offer of both, both are possible.
    """

    offered: tuple[Crypto, ...] = ()
    """``a=crypto`` lines that we wrote to this peer: the keys that we may send with."""
    identity: Identity | None = None
    """The certificate that we promised; None rules DTLS out."""
    setup: Setup = Setup.ACTPASS
    """Our role in the handshake, ``ACTPASS`` before the answer."""
    expected: tuple[Fingerprint, ...] = ()
    """What the peer promised."""
    tls_id: str | None = None
    """The peer's."""
    own_tls_id: str | None = None
    """What we call the association that is there, or wanted (RFC 8842, section 4)."""
    remote: Crypto | None = None
    """The peer's SDES line that is in use."""
    alternative: Crypto | None = None
    """The SDES line of an offerer that has DTLS as well, should the answer refuse that."""
    handshakes: dict[int, Association] = field(default_factory=dict)
    """By component."""
    keys: dict[int, int] = field(default_factory=dict)
    """By component: the plane's handle."""
    keyed: dict[int, int] = field(default_factory=dict)
    """By component: generation of the stream when its keys came from a handshake."""
    lines: dict[int, tuple[Crypto, Crypto]] = field(default_factory=dict)
    """By component: our line and the peer's, where the keys are those."""
    failed: bool = False
    """There are no keys, and the log says why."""

    def keep_only(self, components: Container[int]) -> None:
        """The ports of all other components are gone: who comes back to one begins anew."""
        for table in (self.handshakes, self.keys, self.keyed, self.lines):
            for component in [component for component in table if component not in components]:
                del table[component]

    def snapshot(self) -> Security:
        """See ``Call.snapshot``. Handshakes are shared."""
        copy = _copy(self)
        copy.handshakes, copy.keys = self.handshakes.copy(), self.keys.copy()
        copy.keyed, copy.lines = self.keyed.copy(), self.lines.copy()
        return copy


@valueclass
class Aside:
    """What an offerer is told if ICE and keys end here, while they do not (``relay.calls.turning``)."""

    local: Credentials | None
    security: Security | None
    """Without handshakes and keys."""


@valueclass
class Told:
    """What the latest offer told of one media. Every phone that got it may hold us to it."""

    ports: tuple[tuple[LocalPort, ...], ...]
    """By component; one for each address of the interface under ICE."""
    ice: MediaIce | None
    security: Security | None


@valueclass
class Offered:
    """An offer of something that is not RTP, while RTP goes on (``relay.calls.replacing``)."""

    session: Session
    section: Section
    request: Request


@valueclass
class Traits:
    """How the peer's packets of one media tell that they are of this one (RFC 9143, section 9.2); clocks."""

    mid_id: int = 0
    """Header extension that carries the mid; 0: none."""
    payload_types: frozenset[int] = frozenset()
    """What the peer described for itself."""
    ssrcs: frozenset[int] = frozenset()
    """What the peer announced."""
    rates: tuple[tuple[int, int], ...] = ()
    """See ``relay.calls.clocks``."""


NO_TRAITS = Traits()


@dataclass(slots=True)
class Media:
    """One ``m=`` section of one leg."""

    index: int
    kind: str
    protocol: str
    allowance: Allowance
    """Of its leg."""
    codec: str = ""
    """First codec of the peer's list, as ``query`` names it: ``PCMU/8000``."""
    streams: list[Stream] = field(default_factory=list)
    """RTP first; RTCP where it has a port of its own. Empty: no port of ours (rejected, TCP)."""
    retiring: list[Stream] = field(default_factory=list)
    """Ports replaced by an offer that is not answered yet: the peer still sends there."""
    offered: Offered | None = None
    """By the peer, and not answered yet."""
    told: Told | None = None
    """Until the answers are in: an answerer that wants less than the first one must not lose its ports."""
    described: bool = False
    """The peer's own description of this media has been seen."""
    opaque: bool = False
    """Not RTP: datagrams are forwarded as they are."""
    direction: str = "sendrecv"
    """What the peer said of itself."""
    mux_offered: bool = False
    """The peer's latest offer had ``a=rtcp-mux``."""
    mux: bool = False
    """RTP and RTCP share a port between us and this peer (RFC 5761)."""
    mux_words: frozenset[str] = frozenset()
    """The ng ``rtcp-mux`` words of the offer, kept for its answer."""
    mux_advertised: bool = False
    """We wrote ``a=rtcp-mux`` to this peer."""
    mid: str | None = None
    """What the peer calls this media (RFC 5888)."""
    bundle: int | None = None
    """Index of the media whose ports, ICE and keys it uses (RFC 9143), its own if it leads; None: no bundle.
    One that follows has no ``ice`` and no ``security``, and its streams only say which rules are its own."""
    bundle_told: bool = False
    """Our latest offer to the peer had it in a bundle."""
    traits: Traits = NO_TRAITS
    """Of the peer's packets."""
    trickles: bool = False
    """The peer understands that candidates may come later (RFC 8840)."""
    asymmetric: bool = False
    ice: MediaIce | None = None
    decision: Decision | None = None
    """Of ``ICE=optimize``; None where another value of the option holds."""
    verdicts: tuple[Verdict, ...] = ()
    """With a decision: what the peer was told of the other party's candidates, and what it was not."""
    own: tuple[Candidate, ...] = ()
    """With a decision: what it was told of ours."""
    order: Order | None = None
    """With a decision: what earlier calls taught about that, when it was first told."""
    spare: tuple[Candidate, ...] = ()
    """With a decision: what it was not told of ours, for that seems to be dead in its network."""
    widened_at: float | None = None
    """When that seemed to have been wrong (``relay.calls.widening``)."""
    security: Security | None = None
    """None: media is plain here, or passes through encrypted as it is."""
    aside: Aside | None = None
    opportunistic: bool = False
    """Keys stand beside a plain profile (RFC 8643). The offerer's are used if the other party takes some."""
    through: bool = False
    """Keys are end to end: what the peers say of them passes as it is."""

    @property
    def assisted(self) -> bool:
        """Its peer may send media past us."""
        passed = self.ice is not None and self.ice.mode is Mode.PASSED
        return passed and self.decision is not None and self.decision.result is Result.ASSIST

    @property
    def follows(self) -> bool:
        """It uses the ports, ICE and keys of another media."""
        return self.bundle is not None and self.bundle != self.index

    def snapshot(self) -> Media:
        """See ``Call.snapshot``."""
        copy = _copy(self)
        copy.streams = [stream.snapshot() for stream in self.streams]
        copy.retiring = self.retiring.copy()
        copy.ice = _copy(self.ice) if self.ice is not None else None
        copy.security = self.security.snapshot() if self.security is not None else None
        return copy


@dataclass(slots=True)
class Names:
    """What earlier descriptions told this leg, for the ``replace`` words that keep it."""

    username: str | None = None
    session_name: str | None = None
    version: int | None = None
    text: str = ""
    """The last description, to see whether the next one differs."""


@dataclass(slots=True)
class Leg:
    """One party of a call."""

    id: int
    tag: str | None
    created: float
    via_branch: str | None = None
    label: str | None = None
    interface: str = ""
    family: str = "IP4"
    hint: str | None = None
    """IP address that its signalling came from (ng ``received-from``)."""
    network: str | None = None
    """Id of its network (ng ``network``, ``network-legs``)."""
    transport: str = ""
    """Of its signalling (ng ``sip-transport``)."""
    user_agent: str | None = None
    went_to: Place | None = None
    """Where its app says that the phone is now, if it left ``place`` without any signalling."""
    said: Said | None = None
    """What its app said of how the call goes."""
    by_turn: bool = False
    """And that it goes by the phone's TURN server."""
    policy: str | None = None
    """Of the configuration, as the ng ``ice-policy`` says."""
    allowance: Allowance = field(default_factory=Allowance)
    """For checks to where its peer is said to be."""
    lite: bool = False
    """We are ICE-lite towards it."""
    ice_option: str | None = None
    """The ng ``ICE`` value under which this leg was offered to."""
    ice_asked: str | None = None
    """The ng ``ICE`` value of the latest offer that it sent or got."""
    medias: list[Media] = field(default_factory=list)
    links: list[int] = field(default_factory=list)
    """Legs that it exchanged descriptions with, the latest first: the first one hears it."""
    names: Names = field(default_factory=Names)
    answered: bool = False
    spoke: bool = False
    """Its peer described itself, be it as an offer or as an answer."""
    shares: int | None = None
    """The leg whose ports its peer was told as well: one description went to several phones."""
    hung_up_at: float | None = None
    """When the proxy deleted it, to be gone at ``delete_at``."""
    delete_at: float | None = None

    def snapshot(self) -> Leg:
        """See ``Call.snapshot``."""
        copy = _copy(self)
        copy.medias = [media.snapshot() for media in self.medias]
        copy.links, copy.names = self.links.copy(), _copy(self.names)
        return copy

    def carrier(self, media: Media) -> Media:
        """The media of this leg that has the ports, ICE and keys which ``media`` uses."""
        return self.medias[media.bundle] if media.bundle is not None else media

    @property
    def place(self) -> Place:
        """Where its peer is."""
        return Place(self.hint, self.network, family_of(self.user_agent), self.transport)

    @property
    def partner(self) -> int | None:
        """The leg that hears this one."""
        return self.links[0] if self.links else None


@dataclass(slots=True)
class Call:
    """One SIP Call-ID."""

    call_id: str
    created: float
    started: float
    """``created`` on the monotonic clock."""
    worker: int
    """Plane worker that owns all ports of this call."""
    last_signal: float
    last_signal_unix: float
    legs: dict[int, Leg] = field(default_factory=dict)
    next_leg: int = 1
    metadata: str | None = None
    hung_up_at: float | None = None
    """As of a leg."""
    delete_at: float | None = None
    settled_at: float | None = None
    """When the last answer to an open offer is thought to be in."""
    answered_at: float | None = None
    """When the first answer came."""
    widen_at: float | None = None
    """When to look whether somebody misses what it was not told of ours (``relay.calls.widening``)."""
    early: dict[Where, list[bytes]] = field(default_factory=dict)
    """First flights of DTLS peers whose answer is not here yet, by where they came from."""

    def snapshot(self) -> Call:
        """A copy to go back to when an offer or answer fails half-way. ICE agents are shared."""
        copy = _copy(self)
        copy.legs = {id: leg.snapshot() for id, leg in self.legs.items()}
        return copy

    def leg_of(self, tag: str | None) -> Leg | None:
        """The leg with this tag."""
        if tag is None:
            return None
        return next((leg for leg in self.legs.values() if leg.tag == tag), None)

    def branch(self, via_branch: str | None) -> Leg | None:
        """The leg that was offered to with this Via branch; the latest if several tags answered it."""
        if not via_branch:
            return None
        found = [leg for leg in self.legs.values() if leg.via_branch == via_branch]
        return found[-1] if found else None

    def add_leg(self, tag: str | None, now: float, via_branch: str | None = None) -> Leg:
        """A new leg without medias. Raises ``NgError`` when there are ``MAX_LEGS``."""
        if len(self.legs) >= MAX_LEGS:
            raise NgError(TOO_MANY_CALLS)
        leg = Leg(self.next_leg, tag, now, via_branch=via_branch)
        self.next_leg += 1
        self.legs[leg.id] = leg
        return leg

    def reserved(self) -> set[int]:
        """Handles of ports that an offer told and that no stream may use at the moment."""
        return {
            port.handle
            for leg in self.legs.values()
            for media in leg.medias
            if media.told is not None
            for ports in media.told.ports
            for port in ports
        }

    def settle(self) -> None:
        """No further answer is expected."""
        self.settled_at = None
        self.early.clear()
        for leg in self.legs.values():
            for media in leg.medias:
                media.told = media.aside = None

    @property
    def answered(self) -> bool:
        """Some leg answered."""
        return any(leg.answered for leg in self.legs.values())

    @property
    def established(self) -> bool:
        """Two parties that talk to each other are known. A proxy may have called the answer an offer."""
        spoke = {leg.id for leg in self.legs.values() if leg.spoke}
        return self.answered or any(not spoke.isdisjoint(self.legs[id].links) for id in spoke)


def link(one: Leg, other: Leg) -> None:
    """They exchanged a description: each is now what the other hears."""
    for leg, peer in ((one, other.id), (other, one.id)):
        if peer in leg.links:
            leg.links.remove(peer)
        leg.links.insert(0, peer)


_State = TypeVar("_State", Path, Stream, MediaIce, Security, Media, Names, Leg, Call)


def _copy(state: _State) -> _State:
    """As ``copy.copy``, in a fraction of its time: every answer takes a snapshot."""
    kind = type(state)
    copy: _State = kind(*_FIELDS[kind](state))
    return copy


_FIELDS = {
    kind: attrgetter(*[field.name for field in fields(kind)])
    for kind in (Path, Stream, MediaIce, Security, Media, Names, Leg, Call)
}
"""Reads all fields at once, in the order in which the class takes them."""
