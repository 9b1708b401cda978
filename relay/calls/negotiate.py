"""Offer and answer: one party's description in, the other's out (RFC 3264).

The *sender* is the leg whose peer wrote the description, the *receiver* the leg
whose peer gets it rewritten. An option of an offer acts on the receiver's leg;
an option of an answer acts on the receiver's leg as well, which is then the
offerer's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import sdp
from relay.calls import (
    bundles,
    closing,
    ice_flaws,
    leg_ice,
    leg_security,
    mux,
    optimizing,
    replacing,
    turning,
    versions,
)
from relay.calls.describe import Announced, Handling, handling, is_zero, listen
from relay.calls.distrust import Distrust
from relay.calls.holding import Holding
from relay.calls.interfaces import Interfaces
from relay.calls.resources import LocalAddress, LocalPort, Resources
from relay.calls.state import Call, Leg, Media, Mode, Offered, Path, Stream, Told, link
from relay.ice.policy import Decision, Optimizer, Result
from relay.ng.request import Request
from sdp.bundle import leaders
from sdp.ice import IceDescription, candidate_values
from sdp.ice import read as read_ice
from sdp.media import Connection, is_rtp, origin, rtcp_mux
from sdp.protocol import Profile
from sdp.rewrite import MediaOut, SecurityOut, SessionOut, rewrite


@dataclass(slots=True)
class Exchange:
    """One description on its way from ``sender`` to ``receiver``."""

    call: Call
    request: Request
    session: sdp.Session
    sender: Leg
    receiver: Leg
    holding: Holding
    interfaces: Interfaces
    resources: Resources
    instance: str
    """Our name in ``a=rtpengine`` (``loop-protect``)."""
    now: float
    optimizer: Optimizer
    distrust: Distrust
    decision: Decision | None = None
    """Of an offer under ``ICE=optimize``."""
    passed_elsewhere: frozenset[int] = frozenset()
    """Of an offer: medias in which another phone may check the offerer."""
    handling: list[Handling] = field(default_factory=list)
    """Of each media."""
    notes: list[str] = field(default_factory=list)
    """For the log: what was ignored and why."""
    flaws: list[str] = field(default_factory=list)
    """Words of ``ice_flaws.FLAWS``."""
    later: list[tuple[Media, leg_ice.Later]] = field(default_factory=list)
    """What agents and passers are to learn as soon as nothing can fail any more: they have no way back."""

    def offer(self) -> str:
        """The offer for the receiver. Raises ``NgError``, ``SdpError`` and ``OutOfPorts``."""
        self._note_what_has_no_effect()
        self._choose_interfaces()
        optimizing.note_place(self.sender, self.receiver, self.request)
        self._optimize()
        self._adopt_shared_ports()
        link(self.sender, self.receiver)
        self.passed_elsewhere = turning.passes_elsewhere(self.call, self.sender, self.receiver)
        self._prepare(bundles.offered(self.session, self._fits_in_bundle))
        return self._write(self._exchange_medias(self._offer_media))

    def answer(self) -> str:
        """The answer for the receiver. Raises as ``offer``."""
        optimizing.note_place(self.sender, self.receiver, self.request)
        self._adopt_shared_ports()
        link(self.sender, self.receiver)
        self.sender.answered = True
        self.call.settled_at = self.now + ANSWERS_WITHIN
        self._prepare(bundles.answered(self.session, self._with_medias(self.sender)))
        return self._write(self._exchange_medias(self._answer_media))

    def _prepare(self, wanted: bundles.Leaders) -> None:
        """Bundle the sender's medias as ``wanted``; the receiver's bundles lose what is rejected."""
        self.handling = [
            Handling.RTP if leader is not None and section.port == 0 else handling(section)
            for leader, section in zip(wanted, self.session.medias, strict=True)
        ]
        bundles.regroup(self._with_medias(self.sender), wanted)
        receiver = self._with_medias(self.receiver)
        live = [
            how is Handling.RTP or (how is Handling.OPAQUE and not bundles.is_shared(receiver, media))
            for how, media in zip(self.handling, receiver.medias, strict=False)
        ]
        left = bundles.remaining if self.request.command == "offer" else bundles.led_by_live
        bundles.regroup(receiver, left(receiver, live))

    def _with_medias(self, leg: Leg) -> Leg:
        """The leg, with a media for each that is described."""
        for index, section in enumerate(self.session.medias):
            _media(leg, index, section)
        return leg

    def _exchange_medias(self, method: Callable[[int, sdp.Media], Terms | None]) -> list[MediaOut | None]:
        """Both ends of every media take the description in; then all is there that the receiver is told."""
        terms = [method(index, section) for index, section in enumerate(self.session.medias)]
        for leg in (self.sender, self.receiver):
            bundles.follow(leg, self.holding.allocate_rule)
            closing.forget_closed(leg)
        for media, told in zip(self.receiver.medias, terms, strict=False):
            if told is not None and media.follows:
                lead = dict(enumerate(terms)).get(self.receiver.carrier(media).index)
                keys = lead.security if lead is not None else None
                told.security = leg_security.fitting(keys, media.protocol) if keys is not None else None
        return [
            self._describe(theirs, ours, told) if told is not None else None
            for theirs, ours, told in zip(self.receiver.medias, self.sender.medias, terms, strict=False)
        ]

    def _fits_in_bundle(self, index: int) -> bool:
        """Whether an offered media can share a port: checks end here, and keys, if any, are of DTLS."""
        section, leader = self.session.medias[index], self.session.medias[leaders(self.session)[index] or 0]
        keys = leg_security.read(self.session, section)
        said = read_ice(self.session, leader)
        theirs = self._with_medias(self.receiver).medias[index]
        with_ice, mode = self._offered_ice(theirs, said)
        ended = with_ice and mode is not Mode.PASSED and not self.passed_elsewhere
        muxed = rtcp_mux(leader) and "reject" not in self.request.rtcp_mux
        alike = is_rtp(section.protocol) and _is_secure(section) == _is_secure(leader)
        return alike and ended and muxed and (keys.dtls.offered or not keys.secure)

    # The offer.

    def _note_what_has_no_effect(self) -> None:
        request = self.request
        self.notes.extend(f"{flag} has no effect yet" for flag in sorted(request.flags & NO_EFFECT_YET))

    def _choose_interfaces(self) -> None:
        names = self.request.direction
        for leg, name in zip((self.sender, self.receiver), (*names, "", "")[:2], strict=True):
            if name and not self.interfaces.known(name):
                self.notes.append(f"unknown interface {name!r}, {self.interfaces.default!r} used instead")
            elif name:
                leg.interface = name
            leg.interface = leg.interface or self.interfaces.default
        lite = self.request.ice_lite
        if lite is not None:
            self.receiver.lite = lite in ("forward", "both")
            self.sender.lite = lite in ("backward", "both")
        self.receiver.ice_option = self.request.ice or self.receiver.ice_option
        self.sender.ice_asked = self.receiver.ice_asked = self.request.ice or self.receiver.ice_asked

    def _optimize(self) -> None:
        request, named = self.request, self.request.ice_policy
        if named is not None and self.optimizer.named(named) is None:
            self.notes.append(f"unknown ice-policy {named[:64]!r}, the one that fits is used instead")
        if request.ice == "optimize":
            self.decision = optimizing.decide_offer(
                self.session, request, self.sender, self.receiver, self.optimizer
            )

    def _offer_media(self, index: int, section: sdp.Media) -> Terms | None:
        ours, theirs = self.sender.medias[index], self.receiver.medias[index]
        if self.handling[index] is Handling.UNTOUCHED:
            for media in (ours, theirs):
                closing.abandon(media)
                media.told = None
            return None
        ours.offered = theirs.offered = None
        if replacing.waits(self.handling[index], (self.sender, ours), (self.receiver, theirs)):
            return self._offer_instead(ours, theirs, section)
        listen(self.sender, ours, self.session, section, self.request)
        theirs.kind, theirs.opaque = ours.kind, ours.opaque
        ours.mux_offered = rtcp_mux(self._leading(ours, section))
        ours.mux = ours.mux and ours.mux_offered
        said = read_ice(self.session, self._leading(ours, section))
        keys = leg_security.read(self.session, section)
        ours.trickles = said.trickle
        announced = Announced(self.session, section, self.request, ours.mux, said.offered)
        words = self.request.rtcp_mux
        theirs.mux_words = words

        with_ice, mode = self._offered_ice(theirs, said)
        moved = False
        if ours.follows:
            ours.described = True
        else:
            stays = mode is Mode.PASSED or (turning.passes(ours) and index in self.passed_elsewhere)
            own_mode = Mode.OFF if not with_ice else Mode.PASSED if stays else Mode.TERMINATED
            self.flaws += ice_flaws.found(ours, said)
            restart = leg_ice.restarted(ours, said)
            leg_ice.settle(ours, self.sender, own_mode, False, self.resources, restart)
            self.sender.family = announced.family
            single = ours.mux or bundles.is_shared(self.sender, ours)
            self._ensure_ports(self.sender, ours, 1 if single else 2)
            moved = self._announce(ours, announced)
            self._later(ours, leg_ice.heard(ours, said, self.now, self.distrust))

        require = mux.require(words, theirs.mux)
        theirs.mux_advertised = not theirs.opaque and mux.advertise(ours.mux_offered, words, theirs.mux)
        single = theirs.mux_advertised and require
        if not theirs.follows:
            family = self.request.address_family or self._family_of(self.receiver, announced.family)
            self.receiver.family = family
            leg_ice.settle(theirs, self.receiver, mode, True, self.resources)
            keep = self._keeps_ports(ours, theirs, moved)
            self._ensure_ports(self.receiver, theirs, 1 if single else 2, keep)
            if mode is Mode.PASSED:
                self._later(theirs, leg_ice.pass_between(ours, theirs))
        if turning.passes(ours) and mode is not Mode.PASSED:
            ended = turning.ended(ours, self.resources)
            security = self._offer_security(ended, theirs, keys)
            turning.put_aside(ours, ended)
        else:
            ours.aside = None
            security = self._offer_security(ours, theirs, keys)
        for media in (ours, theirs):
            media.told = None if media.follows else _told(media)
            if self.request.ice is not None and (media is theirs or ours.aside is None):
                media.decision = self.decision
        return Terms(
            said, announced, single, theirs.mux_advertised, self.receiver.ice_option, security,
            bundles.name(self.receiver, theirs, ours, "generate-mid" in self.request.flags),
        )  # fmt: skip

    def _offer_instead(self, ours: Media, theirs: Media, section: sdp.Media) -> Terms:
        """Something else than RTP, which goes on until the answer."""
        ours.offered = Offered(self.session, section, self.request)
        said = read_ice(self.session, section)
        announced = Announced(self.session, section, self.request, with_mux=False, with_ice=said.offered)
        option = self.receiver.ice_option
        return Terms(
            said,
            announced,
            True,
            False,
            option,
            None,
            bundles.name(self.receiver, theirs, ours, "generate-mid" in self.request.flags),
            section.protocol,
        )

    def _offered_ice(self, theirs: Media, said: IceDescription) -> tuple[bool, Mode]:
        """Whether the offerer's leg has ICE, and what the receiver's does with it."""
        with_ice = said.offered and "ice-reject" not in self.request.flags
        lead, forgets = self.receiver.carrier(theirs), "reset" in self.request.flags
        assists = self.decision is not None and self.decision.result is Result.ASSIST
        return with_ice, leg_ice.mode_offered(self.request.ice, lead, with_ice, forgets, assists)

    def _leading(self, media: Media, section: sdp.Media) -> sdp.Media:
        """Where the sender describes the transport of ``media`` (RFC 9143, section 7.1.3)."""
        return section if media.bundle is None else self.session.medias[media.bundle]

    def _offer_security(self, ours: Media, theirs: Media, keys: leg_security.Said) -> SecurityOut | None:
        target = leg_security.target_protocol(self.request, keys.protocol, theirs)
        ours.through = theirs.through = leg_security.passes_through(ours, theirs, keys, target, self.request)
        if theirs.through:
            theirs.protocol = keys.protocol
            if theirs.opaque:
                ours.security = theirs.security = None
            return None
        theirs.protocol = target
        if not ours.follows:
            leg_security.hear_offer(ours, keys, self.request, self.resources)
        if theirs.follows:
            return None
        return leg_security.make_offer(theirs, keys, self.request, self.resources)

    def _answer_security(self, ours: Media, theirs: Media, keys: leg_security.Said) -> SecurityOut | None:
        if ours.through:
            ours.security = theirs.security = None
            return None
        if ours.opaque:
            ours.security = None
        elif not ours.follows:
            leg_security.hear_answer(ours, keys, self.resources)
        if not theirs.follows:
            lead = self.sender.carrier(ours)
            leg_security.settle_offerer(theirs, lead, keys.protocol, self.request, self.resources)
        for media in (ours, theirs):
            leg_security.key_up(media, self.holding)
        return None if theirs.follows else leg_security.make_answer(theirs, self.request, self.resources)

    def _family_of(self, leg: Leg, wanted: str) -> str:
        """The family a leg speaks stays; a new leg takes the offerer's."""
        return leg.family if any(media.streams for media in leg.medias) else wanted

    def _keeps_ports(self, ours: Media, theirs: Media, moved: bool) -> bool:
        """Whether the other side goes on with its ports though this side may have moved.

        As rtpengine: a moved offerer gets the answerer new ports, unless a leg
        has ICE, or the answerer does not receive.
        """
        flags = self.request.flags
        if not moved or "port-latching" in flags:
            return True
        if "no-port-latching" in flags:
            return False
        with_ice = ours.ice is not None or theirs.ice is not None
        return with_ice or theirs.direction in ("sendonly", "inactive")

    # The answer.

    def _adopt_shared_ports(self) -> None:
        """A leg whose peer was told another leg's ports starts with those."""
        first = self.call.legs.get(self.sender.shares) if self.sender.shares is not None else None
        if first is None or self.sender.medias:
            return
        for media in first.medias:
            copy = _media(self.sender, media.index, None)
            copy.kind, copy.protocol, copy.opaque = media.kind, media.protocol, media.opaque
            copy.mux_words, copy.mux_advertised = media.mux_words, media.mux_advertised
            copy.through, copy.opportunistic = media.through, media.opportunistic
            copy.decision = media.decision
            copy.bundle, copy.bundle_told = media.bundle if media.told is None else None, media.bundle_told
            if media.told is not None:
                copy.told = media.told
                self._take_up(self.sender, copy, media.told)

    def _take_up(self, leg: Leg, media: Media, told: Told) -> None:
        """Start with what the offer told: ports, and promises of ICE and of keys."""
        media.streams = self._streams(self._promised(leg, media))
        media.security = leg_security.adopt(told.security) if not media.opaque else None
        if told.ice is not None:
            leg_ice.adopt(told.ice, media, leg, self.resources)

    def _answer_media(self, index: int, section: sdp.Media) -> Terms | None:
        ours, theirs = self.sender.medias[index], self.receiver.medias[index]
        if self.handling[index] is Handling.UNTOUCHED:
            closing.abandon(ours)  # not theirs: another phone may accept, or this one in its next answer
            return None
        if not ours.streams and not ours.follows and ours.told is not None:
            self._take_up(self.sender, ours, ours.told)
        self._replace(ours, theirs)
        listen(self.sender, ours, self.session, section, self.request)
        accepted = rtcp_mux(section) or ours.follows
        said = ice_flaws.believed(answer := read_ice(self.session, self._leading(ours, section)))
        keys = leg_security.read(self.session, section)
        ours.trickles = said.trickle
        ours.mux = accepted and ours.mux_advertised
        theirs.mux = not ours.opaque and mux.agree(theirs.mux_offered, ours.mux_words, accepted)
        theirs.mux = theirs.mux or bundles.is_shared(self.receiver, theirs)
        announced = Announced(self.session, section, self.request, ours.mux, said.offered)
        if ours.follows:
            ours.described = True
        else:
            self.flaws += ice_flaws.found(ours, answer)
            self._answer_ice(ours, theirs, said)
            self._ensure_ports(self.sender, ours, 1 if ours.mux else 2)
            self._announce(ours, announced)
            self._later(ours, leg_ice.heard(ours, said, self.now, self.distrust))
        if not theirs.follows:
            self._ensure_ports(self.receiver, theirs, 1 if theirs.mux else 2)
        if turning.passes(ours):
            self._later(theirs, leg_ice.pass_between(theirs, ours))
        security = self._answer_security(ours, theirs, keys)
        option = self.request.ice or self.sender.ice_option
        return Terms(said, announced, theirs.mux, theirs.mux, option, security, theirs.mid or "")

    def _replace(self, ours: Media, theirs: Media) -> None:
        """What was offered in the place of RTP and is accepted now, if anything, holds for the offerer."""
        offered, theirs.offered = theirs.offered, None
        if offered is None or self.handling[theirs.index] is not Handling.OPAQUE:
            return
        ours.through = True
        said = read_ice(offered.session, offered.section)
        replacing.take_over(theirs, offered, said, self.receiver, self.resources)
        where = Announced(offered.session, offered.section, offered.request, False, said.offered)
        self._announce(theirs, where)
        self._later(theirs, leg_ice.heard(theirs, said, self.now, self.distrust))

    def _answer_ice(self, ours: Media, theirs: Media, said: IceDescription) -> None:
        if ours.ice is not None and not said.offered:
            ended, assisted = turning.passes(ours), ours.assisted
            leg_ice.settle(ours, self.sender, Mode.OFF, True, self.resources)
            if assisted:
                turning.without_ice(theirs, self.receiver, self.now, self.resources)
            elif ended:
                leg_ice.settle(theirs, self.receiver, Mode.OFF, False, self.resources)
        elif ours.ice is not None and leg_ice.restarted(ours, said):
            leg_ice.adopt(ours.ice, ours, self.sender, self.resources)
        turning.follow(theirs, ours, self.receiver, self.now, self.resources)
        if self.request.ice == "remove":
            leg_ice.settle(theirs, self.receiver, Mode.OFF, False, self.resources)

    # Both.

    def _later(self, media: Media, learns: leg_ice.Later | None) -> None:
        if learns is not None:
            self.later.append((media, learns))

    def _announce(self, media: Media, announced: Announced) -> bool:
        """Take over where the peer receives. True if it received elsewhere before."""
        moved = False
        for stream, remote in zip(media.streams, (announced.rtp, announced.rtcp), strict=False):
            stream.held = announced.held
            if announced.held:
                continue
            stream.described += media.direction in ("sendrecv", "sendonly")
            remote = self.distrust.believed(remote, stream.path.port.at, self.notes)
            if stream.remote != remote or stream.unresolved != announced.unresolved:
                stream.generation += 1
                moved = moved or (media.described and stream.component == 1)
            stream.remote, stream.unresolved = remote, announced.unresolved
        media.described = media.described or not announced.held
        return moved

    def _ensure_ports(self, leg: Leg, media: Media, components: int, keep: bool = True) -> None:
        """Local ports for ``media``: those it has or was told if they fit, and ``keep`` allows."""
        if media.opaque:
            components = 1
        choice = self.interfaces.choose(
            leg.interface or self.interfaces.default, leg.family, media.ice is not None
        )
        if keep and media.streams and _fits(media, components, choice):
            del media.streams[components:]
            for stream in media.streams:
                del stream.paths[len(choice) :]
            return
        told = self._promised(leg, media) if keep else ()
        if len(told) >= components and _at(told) == list(choice):
            streams = self._streams(told[:components])
        else:
            opened = [self.holding.open(at, components) for at in choice]
            streams = self._streams(tuple(zip(*opened, strict=True)))
            if not media.retiring:  # else what was told last was never answered: nobody sends there
                media.retiring = media.streams
        for new, old in zip(streams, media.streams, strict=False):
            new.remote, new.unresolved, new.held = old.remote, old.unresolved, old.held
            new.generation, new.described = old.generation, old.described
        media.streams = streams

    def _promised(self, leg: Leg, media: Media) -> Sequence[Sequence[LocalPort]]:
        """The ports that the offer told, unless a bundle has taken them over meanwhile."""
        told = media.told.ports if media.told is not None else ()
        others = (stream for other in leg.medias if other is not media for stream in other.streams)
        taken = {path.port.handle for stream in others for path in stream.paths}
        return () if any(port.handle in taken for ports in told for port in ports) else told

    def _streams(self, ports: Sequence[Sequence[LocalPort]]) -> list[Stream]:
        """Streams over open ports, which are given by component."""
        return [
            Stream(component, [Path(port, self.holding.allocate_rule()) for port in those])
            for component, those in enumerate(ports, 1)
        ]

    def _describe(self, theirs: Media, ours: Media, told: Terms) -> MediaOut:
        """What the receiver is told of this media."""
        flags, lead = self.request.flags, self.receiver.carrier(theirs)
        opaque, section = theirs.opaque or told.instead is not None, self.session.medias[theirs.index]
        port = theirs.streams[0].paths[0].port
        rtcp = port if told.single_port or len(theirs.streams) == 1 else theirs.streams[1].paths[0].port
        held = told.announced.held and lead.ice is None and "zero-address" not in self.request.replace
        connection = Connection(port.at.family, ZERO[port.at.family]) if held else self._connection(port.at)
        wording = leg_ice.Wording(
            told.ice_option,
            with_rtcp=not told.single_port,
            trickle=theirs.trickles or "trickle-ice" in flags,
            address=self.request.media_address,
            candidates=not theirs.follows,
            values=candidate_values(section) if turning.passes(lead) else (),
        )
        if lead.decision is not None:
            between = optimizing.Between(self.sender, self.receiver, self.request.command)
            wording = optimizing.judged(
                wording, between, theirs.index, section, told.said.ufrag, self.optimizer, self.interfaces
            )
        direction = "sendonly" if held and ours.direction == "sendrecv" else ours.direction
        return MediaOut(
            port=port.number,
            connection=connection,
            rtcp=None if opaque or "no-rtcp-attribute" in flags else rtcp.number,
            rtcp_connection=connection if "full-rtcp-attribute" in flags else None,
            rtcp_mux=told.mux,
            direction=None if opaque or "original-sendrecv" in flags else direction,
            protocol=told.instead or theirs.protocol,
            security=told.security,
            mid=told.mid,
            ice=leg_ice.describe(lead, told.said, wording),
        )

    def _connection(self, at: LocalAddress) -> Connection:
        """The address that the receiver is told to send to."""
        if self.request.media_address:
            family = "IP6" if ":" in self.request.media_address else "IP4"
            return Connection(family, self.request.media_address)
        return Connection(at.family, at.advertised)

    def _write(self, medias: list[MediaOut | None]) -> str:
        told, words = self.receiver.names, self.request.replace
        ours = next((media for media in medias if media is not None), None)
        written = origin(self.session)
        if told.session_name is None:
            told.session_name = self.session.value("s")
        if written is not None and told.username is None:
            told.username = written.username
        passed = any(turning.passes(media) for media in self.receiver.medias)
        groups = bundles.told_in_offer if self.request.command == "offer" else bundles.told_in_answer
        relay = self._origin(ours)
        out = SessionOut(
            relay=relay,
            origin=relay if "origin" in words else None,
            username=told.username if "username" in words else None,
            session_name=told.session_name if "session-name" in words else None,
            loop=self.instance if "loop-protect" in self.request.flags else None,
            ice_lite=self.session.attribute("ice-lite") is not None if passed else self.receiver.lite,
            keep_bundle=passed,
            bundle=None if passed else groups(self.receiver, medias),
        )
        if "sdp-version" in words and written is not None:
            out = replace(out, version=versions.version(self.session, out, medias, told, written.version))
        return rewrite(self.session, out, medias).text

    def _origin(self, ours: MediaOut | None) -> Connection | None:
        """Our address in ``o=`` and ``c=``, also where every media is rejected or on hold."""
        if ours is not None and not is_zero(ours.connection.address):
            return ours.connection
        name = self.receiver.interface or self.interfaces.default
        return self._connection(self.interfaces.choose(name, self.receiver.family, every=False)[0])


ANSWERS_WITHIN = 30.0
"""Seconds after an answer in which another phone may answer the same offer: its 200 crossed our CANCEL."""

NO_EFFECT_YET = frozenset({"media-handover"})
"""Flags that a proxy may send for good reasons, and that the log names once."""

ZERO = {"IP4": "0.0.0.0", "IP6": "::"}
"""Nobody's address: media is on hold."""


@dataclass(slots=True)
class Terms:
    """What the receiver is told of one media, beyond what its leg knows."""

    said: IceDescription
    announced: Announced
    single_port: bool
    """RTCP has no port of its own."""
    mux: bool
    ice_option: str | None
    security: SecurityOut | None
    """None: the parties' own keys stay. In a bundle all have the leader's."""
    mid: str | None
    """What the receiver calls this media; empty if it has no name there, None to leave it."""
    instead: str | None = None
    """The protocol that is to replace RTP, which goes on until the answer."""


def _media(leg: Leg, index: int, section: sdp.Media | None) -> Media:
    """The leg's media of this index; missing ones are added."""
    while len(leg.medias) <= index:
        leg.medias.append(Media(len(leg.medias), "", "", leg.allowance))
    media = leg.medias[index]
    if section is not None and not media.kind:
        media.kind, media.protocol = section.kind, section.protocol
    return media


def _told(media: Media) -> Told:
    """What is told of this media now, for later answers."""
    ports = tuple(tuple(path.port for path in stream.paths) for stream in media.streams)
    ice = replace(media.ice) if media.ice is not None else None
    return Told(ports, ice, leg_security.adopt(media.security))


def _at(ports: Sequence[Sequence[LocalPort]]) -> list[LocalAddress]:
    return [port.at for port in ports[0]]


def _is_secure(section: sdp.Media) -> bool:
    profile = Profile.of(section.protocol)
    return profile is not None and profile.secure


def _fits(media: Media, components: int, choice: Sequence[LocalAddress]) -> bool:
    """The ports that a media has serve for ``components`` at these addresses."""
    if len(media.streams) < components:
        return False
    have = [path.port.at for path in media.streams[0].paths]
    return have[: len(choice)] == list(choice)
