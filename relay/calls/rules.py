"""Rules are a function of call state, and of nothing else.

    A's phone <--> A's leg, ports told to A  <==>  B's leg, ports told to B <--> B's phone

What A sends to A's port leaves from B's port towards B's phone. Each leg is
heard by its ``partner``: the leg it exchanged descriptions with last. So all
branches of a forked call are heard by the caller, and the branch that answered
last hears the caller.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from relay.calls.clocks import agreed
from relay.calls.state import Call, Leg, Media, MediaIce, Mode, Path, Stream
from relay.forward.rule import MAX_ANNOUNCED, MAX_MID, Clock, Learn, Marks, Rule, StunKeys
from sdp.protocol import Profile


def rules(call: Call) -> dict[int, Rule]:
    """Everything the plane has to know of this call, by rule id."""
    found: dict[int, Rule] = {}
    for leg in call.legs.values():
        partner = call.legs.get(leg.partner) if leg.partner is not None else None
        alone = _own_payload_types(leg, partner)
        for media in leg.medias:
            heard_by = _media(partner, media.index)
            plain_rtcp = _lacks_feedback(media, heard_by)
            lead = leg.carrier(media)
            for stream, carrier in zip(
                (*media.streams, *media.retiring), (*lead.streams, *lead.retiring), strict=False
            ):
                targets = _targets(partner, heard_by, stream.component)
                clock = _clock(media, heard_by) if stream.component == 1 else None
                for path, carried in zip(stream.paths, carrier.paths, strict=False):
                    locked = _is_locked(media, lead, stream)
                    rule = _rule(leg, lead, carrier, carried, targets, plain_rtcp, locked, clock)
                    if media.index in alone:
                        rule = _shared(rule, path.rule, _marks(media, carried.rule, alone[media.index]))
                    found[path.rule] = rule
    return found


def most_at_a_port(call: Call) -> int:
    """How many rules listen at the port that has most of them; a plane takes ``MAX_OUTPUTS``."""
    streams = (
        stream
        for leg in call.legs.values()
        for media in leg.medias
        for stream in (*media.streams, *media.retiring)
    )
    handles = Counter(path.port.handle for stream in streams for path in stream.paths)
    return max(handles.values(), default=0)


Targets = tuple[tuple[int, ...], tuple[int, ...]]
"""Rules that get RTP, and rules that get RTCP."""


def _media(leg: Leg | None, index: int) -> Media | None:
    if leg is None or index >= len(leg.medias):
        return None
    media = leg.medias[index]
    return media if media.streams else None


def _targets(leg: Leg | None, media: Media | None, component: int) -> Targets:
    """Where datagrams that arrived on ``component`` of the other side leave."""
    if leg is None or media is None:
        return (), ()
    rtp, lead = media.streams[0], leg.carrier(media)
    rtcp = rtp if media.mux or len(media.streams) == 1 else media.streams[1]
    if lead.streams[0].held:
        return (), ()
    same = rtp if component == 1 else rtcp
    return (_leaving(lead, same),), (_leaving(lead, rtcp),)


def _leaving(lead: Media, stream: Stream) -> int:
    """The rule of ``stream`` on the path that its leader sends from."""
    return stream.paths[lead.streams[stream.component - 1].selected].rule


def _shared(rule: Rule, id: int, marks: Marks) -> Rule:
    """A rule of a bundle's leader, as the rule of one of its medias."""
    if id == marks.leader:
        return replace(rule, marks=marks)
    return replace(
        rule, id=id, learn=Learn.NOBODY, hint=None, sources=(), stun=False, stun_keys=None, marks=marks
    )


def _marks(media: Media, leader: int, payload_types: frozenset[int]) -> Marks:
    mid = media.mid.encode("utf-8", "surrogateescape") if media.mid else b""
    return Marks(
        leader,
        mid if len(mid) <= MAX_MID else b"",
        media.traits.mid_id,
        payload_types,
        tuple(sorted(media.traits.ssrcs)[:MAX_ANNOUNCED]),
    )


def _own_payload_types(leg: Leg, partner: Leg | None) -> dict[int, frozenset[int]]:
    """By index, for each media that shares ports: the payload types that no other media there has."""
    bundled = [media for media in leg.medias if media.bundle is not None]
    if len(bundled) < 2:
        return {}
    members = Counter(media.bundle for media in bundled)
    found = {
        media.index: (media.bundle, _payload_types(partner, media))
        for media in bundled
        if members[media.bundle] > 1
    }
    uses = Counter((bundle, number) for bundle, numbers in found.values() for number in numbers)
    return {
        index: frozenset(number for number in numbers if uses[bundle, number] == 1)
        for index, (bundle, numbers) in found.items()
    }


def _payload_types(partner: Leg | None, media: Media) -> frozenset[int]:
    """What the peer may send: it described some numbers, and was told the others (RFC 3264, section 5.1)."""
    theirs = _media(partner, media.index)
    return media.traits.payload_types | (theirs.traits.payload_types if theirs is not None else frozenset())


def _clock(media: Media, heard_by: Media | None) -> Clock | None:
    """Of the RTP that the peer sends."""
    if media.opaque:
        return None
    return agreed(heard_by.traits.rates if heard_by is not None else (), media.traits.rates)


def _is_locked(media: Media, lead: Media, stream: Stream) -> bool:
    """Media may pass protected only: a handshake is possible, or there are no keys, be it yet or for good."""
    security = lead.security
    if security is None:
        return _is_without_keys(media) or (lead is not media and _is_without_keys(lead))
    return security.identity is not None or stream.component not in security.keys


def _is_without_keys(media: Media) -> bool:
    """Its profile wants keys, and nobody agreed on any. Where keys are end to end, the parties have them."""
    profile = Profile.of(media.protocol)
    return profile is not None and profile.secure and not media.through


def _lacks_feedback(media: Media, other: Media | None) -> bool:
    """Whether the other side may send RTCP feedback that this side's profile does not have (RFC 4585)."""
    if other is None or media.through:
        return False
    ours, theirs = Profile.of(media.protocol), Profile.of(other.protocol)
    return ours is not None and theirs is not None and theirs.feedback and not ours.feedback


def _rule(
    leg: Leg,
    media: Media,
    stream: Stream,
    path: Path,
    targets: Targets,
    plain_rtcp: bool,
    locked: bool,
    clock: Clock | None,
) -> Rule:
    rtp, rtcp = targets
    with_ice = media.ice is not None
    if with_ice:
        remote = stream.chosen if path is stream.path else (path.sources[-1] if path.sources else None)
    else:
        remote = stream.remote
    learn = Learn.WINDOW if media.described and not with_ice and _may_learn(stream) else Learn.NOBODY
    return Rule(
        id=path.rule,
        port=path.port.handle,
        remote=remote,
        learn=learn,
        hint=leg.hint,
        sources=path.sources,
        asymmetric=media.asymmetric,
        rtp=rtp,
        rtcp=rtcp,
        stun=media.ice is not None and media.ice.mode is not Mode.OFF,
        opaque=media.opaque,
        generation=stream.generation,
        described=stream.described if learn is Learn.WINDOW else 0,
        keys=media.security.keys.get(stream.component) if media.security is not None else None,
        dtls=locked,
        plain_rtcp=plain_rtcp,
        stun_keys=_stun_keys(media.ice, path) if media.ice is not None else None,
        clock=clock,
    )


def _stun_keys(ice: MediaIce, path: Path) -> StunKeys | None:
    """What the plane needs to answer checks; None while all of them are news, as in a restart."""
    agent = ice.agent
    if agent is None or agent.remote is None or ice.previous is not None:
        return None
    port = path.port.handle
    settled = tuple(source for source in agent.settled(port) if source in path.sources)
    if not settled:
        return None
    selected = agent.selected.get(port)
    return StunKeys(
        ufrag=agent.local.ufrag,
        pwd=agent.local.pwd,
        remote_ufrag=agent.remote.ufrag,
        controlling=agent.controlling,
        settled=settled,
        nominated=selected.remote if selected is not None else None,
    )


def _may_learn(stream: Stream) -> bool:
    """A peer on hold by zero address has nothing to learn; a host name has."""
    return stream.remote is not None or stream.unresolved
