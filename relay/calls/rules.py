"""Rules are a function of call state, and of nothing else.

    A's phone <--> A's leg, ports told to A  <==>  B's leg, ports told to B <--> B's phone

What A sends to A's port leaves from B's port towards B's phone. Each leg is
heard by its ``partner``: the leg it exchanged descriptions with last. So all
branches of a forked call are heard by the caller, and the branch that answered
last hears the caller.
"""

from __future__ import annotations

from relay.calls.state import Call, Leg, Media, MediaIce, Mode, Path, Stream
from relay.forward.rule import MAX_USERNAME, Learn, Rule, StunKeys
from sdp.protocol import Profile


def rules(call: Call) -> dict[int, Rule]:
    """Everything the plane has to know of this call, by rule id."""
    found: dict[int, Rule] = {}
    for leg in call.legs.values():
        partner = call.legs.get(leg.partner) if leg.partner is not None else None
        for media in leg.medias:
            heard_by = _media(partner, media.index)
            plain_rtcp = _lacks_feedback(media, heard_by)
            for stream in (*media.streams, *media.retiring):
                targets = _targets(heard_by, stream.component)
                for path in stream.paths:
                    found[path.rule] = _rule(leg, media, stream, path, targets, plain_rtcp)
    return found


Targets = tuple[tuple[int, ...], tuple[int, ...]]
"""Rules that get RTP, and rules that get RTCP."""


def _media(leg: Leg | None, index: int) -> Media | None:
    if leg is None or index >= len(leg.medias):
        return None
    media = leg.medias[index]
    return media if media.streams else None


def _targets(media: Media | None, component: int) -> Targets:
    """Where datagrams that arrived on ``component`` of the other side leave."""
    if media is None:
        return (), ()
    rtp = media.streams[0]
    rtcp = rtp if media.mux or len(media.streams) == 1 else media.streams[1]
    if rtp.held:
        return (), ()
    same = rtp if component == 1 else rtcp
    return (same.path.rule,), (rtcp.path.rule,)


def _is_locked(media: Media, stream: Stream) -> bool:
    """Media may pass protected only: a handshake is possible, or there are no keys, be it yet or for good."""
    security = media.security
    return security is not None and (security.identity is not None or stream.component not in security.keys)


def _lacks_feedback(media: Media, other: Media | None) -> bool:
    """Whether the other side may send RTCP feedback that this side's profile does not have (RFC 4585)."""
    if other is None or media.through:
        return False
    ours, theirs = Profile.of(media.protocol), Profile.of(other.protocol)
    return ours is not None and theirs is not None and theirs.feedback and not ours.feedback


def _rule(leg: Leg, media: Media, stream: Stream, path: Path, targets: Targets, plain_rtcp: bool) -> Rule:
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
        keys=media.security.keys.get(stream.component) if media.security is not None else None,
        dtls=_is_locked(media, stream),
        plain_rtcp=plain_rtcp,
        stun_keys=_stun_keys(media.ice, path) if media.ice is not None else None,
    )


def _stun_keys(ice: MediaIce, path: Path) -> StunKeys | None:
    """What the plane needs to answer checks; None while all of them are news, as in a restart.

    So they are to a peer whose ufrag is none by RFC 8839.
    """
    agent = ice.agent
    if agent is None or agent.remote is None or ice.previous is not None:
        return None
    port = path.port.handle
    settled = tuple(source for source in agent.settled(port) if source in path.sources)
    username = f"{agent.local.ufrag}:{agent.remote.ufrag}"
    if not settled or not username.isascii() or len(username) > MAX_USERNAME:
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
