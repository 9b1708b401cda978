"""STUN of the calls: checks arrive, ICE moves, rules follow (RFC 8445).

The agents and passers of ``relay.ice`` decide; here their outputs become call
state, and datagrams to send.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from relay.calls.leg_ice import Later
from relay.calls.resources import Resources
from relay.calls.state import Call, Leg, Media, MediaIce, Path, Stream
from relay.dtls.handshake import AMPLIFICATION
from relay.forward.rule import MAX_SOURCES, Address
from relay.ice import passing
from relay.ice.agent import Agent
from relay.ice.outputs import ConsentLost, Output, Refused, Selected, Send, Usable
from relay.ice.outputs import Path as IcePath
from relay.ice.passing import Passer

REQUEST = b"\x00\x01"
"""How a Binding request begins (RFC 8489, section 5)."""

SUCCESS = b"\x01\x01"
"""How the answer to one begins that worked."""

RECENT = 2.0
"""Seconds since a packet that count as now: the counters are read once a second."""


def received(
    call: Call, port: int, source: Address, datagram: bytes, now: float, resources: Resources
) -> list[str]:
    """A STUN datagram arrived at a port of this call. Returns why it was refused, for the counters.

    Legs that share a port share credentials as well: the one whose peer wrote
    the datagram is the one that accepts it.
    """
    refused = ["no ice"]
    for media in _addressees(call, port):
        refused = _try(call, media, IcePath(port, source), datagram, now, resources)
        if not refused:
            break
    return refused


def _try(
    call: Call, media: Media, at: IcePath, datagram: bytes, now: float, resources: Resources
) -> list[str]:
    """The generation of ICE in ``media`` takes it, or else the one before, which serves for now."""
    assert media.ice is not None
    ice, previous = media.ice, media.ice.previous
    refused = _hear(call, (media, ice, previous is None), at, datagram, now, resources)
    if refused and previous is not None:
        refused = _hear(call, (media, previous, True), at, datagram, now, resources)
    return _counted(ice, datagram, refused)


def _hear(
    call: Call,
    end: tuple[Media, MediaIce, bool],
    at: IcePath,
    datagram: bytes,
    now: float,
    resources: Resources,
) -> list[str]:
    """One generation hears it. ``end`` has that, with its media and whether it is the last one to ask."""
    media, ice, is_last = end
    if ice.agent is None:
        found = _find(media, at.port)
        if found is None or not ice.passers:
            return ["no answer yet"]
        passer = ice.passers[found[0].component - 1]
        passed = passer.received(ice.side, at, datagram, now)
        if passer.has_answered(ice.side, at) and media.ice is not None:
            media.ice.seen.is_usable(at, now)
        return _pass_on(call, passer, passed, now, resources)
    outputs = ice.agent.received(at, datagram, now)
    refused = [output.reason for output in outputs if isinstance(output, Refused)]
    if refused and not is_last:
        return refused
    if outputs and not refused and media.ice is not None:
        media.allowance.checked(len(datagram))
        media.ice.last_check = now
        media.ice.seen.check_came(at, now)
    return carry_out(media, outputs, now, resources)


def _counted(ice: MediaIce, datagram: bytes, refused: list[str]) -> list[str]:
    ice.seen.refused += len(refused)
    if not refused:
        ice.seen.checks_in += datagram.startswith(REQUEST)
        ice.seen.answered += datagram.startswith(SUCCESS)
    return refused


def deadlines(call: Call) -> Iterator[tuple[Media, float]]:
    """Agents that wait for a time."""
    for media, agent in _agents(call):
        if agent.deadline is not None:
            yield media, agent.deadline


def alive(call: Call, last_packet: Callable[[int], float], now: float, resources: Resources) -> bool:
    """Media from validated sources is a sign of the peer: one that answers no checks is not cut off.

    Which of them sent it, the counters do not tell. It is taken for the one that we send to. In a bundle
    media of any kind is one. Returns whether checks were begun.
    """
    begun = False
    for leg in call.legs.values():
        for media, agent in _agents_of(leg):
            outputs: list[Output] = []
            latest = _last_packets(leg, media, last_packet)
            for path in [path for stream in media.streams for path in stream.paths]:
                at = _source(agent, path)
                if at is not None and now - latest[path.port.handle] < RECENT:
                    outputs += agent.alive(at, now)
            _send_all(media, outputs, resources)
            begun = begun or bool(outputs)
    return begun


def _last_packets(leg: Leg, lead: Media, last_packet: Callable[[int], float]) -> dict[int, float]:
    """When the ports of a media last received something, for itself or for a media that follows it."""
    latest: dict[int, float] = {}
    for media in leg.medias:
        if leg.carrier(media) is lead:
            for path in [path for stream in media.streams for path in stream.paths]:
                latest[path.port.handle] = max(latest.get(path.port.handle, 0.0), last_packet(path.rule))
    return latest


def _source(agent: Agent, path: Path) -> IcePath | None:
    selected = agent.selected.get(path.port.handle)
    if selected is None and path.sources:
        return IcePath(path.port.handle, path.sources[-1])
    return selected


def earned(media: Media, port: int, source: Address) -> float:
    """Bytes that may go to a source that may be forged, beside ``AMPLIFICATION`` times those that it sends.

    They are what its checks have earned, and any number once a check was answered from there. Before that
    a peer that knows our password may have put somebody else's address on them (RFC 9000, section 8.1).
    """
    at, ice = IcePath(port, source), media.ice
    if ice is None:
        return 0.0
    generations = [one for one in (ice, ice.previous) if one is not None]
    if any(passer.has_answered(one.side, at) for one in generations for passer in one.passers):
        return math.inf
    if _has_answered(ice, at):
        return math.inf
    exchanged = [agent.exchanged(at) for agent in _generations(ice)]
    return float(sum(AMPLIFICATION * received - sent for received, sent in exchanged))


def _generations(ice: MediaIce) -> list[Agent]:
    return [one.agent for one in (ice, ice.previous) if one is not None and one.agent is not None]


def _has_answered(ice: MediaIce, at: IcePath) -> bool:
    return any(agent.has_answered(at) for agent in _generations(ice))


def resume(call: Call, now: float, resources: Resources) -> None:
    """The answer is in: paths that nobody answered while the phone rang are checked again."""
    for media, agent in _agents(call):
        _send_all(media, agent.resume(now), resources)


def _agents(call: Call) -> Iterator[tuple[Media, Agent]]:
    for leg in call.legs.values():
        yield from _agents_of(leg)


def _agents_of(leg: Leg) -> Iterator[tuple[Media, Agent]]:
    for media in leg.medias:
        if media.ice is not None and media.ice.agent is not None:
            yield media, media.ice.agent


def _send_all(media: Media, outputs: list[Output], resources: Resources) -> None:
    """What an agent says that has found out nothing."""
    for output in outputs:
        if isinstance(output, Send):
            _send(media, output, resources)


def _send(media: Media, output: Send, resources: Resources) -> None:
    """A check to where nobody has answered yet may be one too many: then it counts as lost on the way."""
    path, datagram, ice = output.path, output.datagram, media.ice
    if ice is not None and datagram.startswith(REQUEST):
        if not _has_answered(ice, path) and not media.allowance.spend(path.remote[0], len(datagram)):
            return
        ice.seen.checks_out += 1
    resources.send(path.port, path.remote, datagram)


def carry_out(media: Media, outputs: list[Output], now: float, resources: Resources) -> list[str]:
    """Send what an agent wants sent, and take over what it found out."""
    refused = []
    for output in outputs:
        match output:
            case Send():
                _send(media, output, resources)
            case Selected(path):
                if media.ice is not None and media.ice.agent is not None:
                    media.ice.seen.is_selected(path, now)
                    _settle(media.ice, media.ice.agent, path)
                _select(media, path)
            case Usable(path):
                media.allowance.answered(path.remote[0])
                if media.ice is not None:
                    media.ice.seen.is_usable(path, now)
                _use_for_now(media, path)
            case ConsentLost(path):
                if media.ice is not None:
                    media.ice.seen.consent_lost += 1
                _lose(media, path)
            case Refused(reason):
                refused.append(reason)
    if media.ice is not None and media.ice.agent is not None:
        _accept(media, media.ice)
    return refused


def learn(later: list[tuple[Media, Later]], now: float, resources: Resources) -> bool:
    """Agents and passers learn what was agreed. Returns whether the rules have changed by that."""
    before = [_told_to_rules(media) for media, _ in later]
    for media, learns in later:
        carry_out(media, learns(), now, resources)
    return before != [_told_to_rules(media) for media, _ in later]


def _told_to_rules(media: Media) -> tuple[object, ...] | None:
    """What exchanges change of agents, as far as rules depend on it."""
    agent = media.ice.agent if media.ice is not None else None
    if agent is None or not agent.validated:
        return None
    sources = [path.sources for stream in media.streams for path in stream.paths]
    return agent.remote, agent.controlling, sources


def _settle(ice: MediaIce, agent: Agent, path: IcePath) -> None:
    """The generation before has served its time once this one has a path."""
    if agent.selected.get(path.port) == path:
        ice.previous = None


def _pass_on(
    call: Call, passer: Passer, outputs: list[passing.Output], now: float, resources: Resources
) -> list[str]:
    refused = []
    for output in outputs:
        match output:
            case passing.Forward(side, path, datagram):
                resources.send(path.port, path.remote, datagram)
                media = _end_of(call, passer, side)
                if media is not None and media.ice is not None:
                    media.ice.seen.checks_out += datagram.startswith(REQUEST)
                    if datagram.startswith(SUCCESS):  # there and back: media gets through as well
                        media.ice.seen.is_usable(path, now)
            case passing.Validated(side, path):
                media = _end_of(call, passer, side)
                if media is not None and media.ice is not None:
                    media.ice.last_check = now
                    media.ice.seen.check_came(path, now)
                    _accept(media, media.ice)
                    _use_for_now(media, path)
            case passing.Nominated(side, path):
                media = _end_of(call, passer, side)
                if media is not None and media.ice is not None:
                    media.ice.seen.is_selected(path, now)
                    if media.ice.previous is not None and passer in media.ice.passers:
                        media.ice.previous = None
                        _accept(media, media.ice)
                    _select(media, path)
            case Refused(reason):
                refused.append(reason)
    return refused


def _end_of(call: Call, passer: Passer, side: passing.Side) -> Media | None:
    """The media that is this side of the passer."""
    for leg in call.legs.values():
        for media in leg.medias:
            for ice in (media.ice, media.ice.previous) if media.ice is not None else ():
                if ice is not None and passer in ice.passers and ice.side is side:
                    return media
    return None


def _addressees(call: Call, port: int) -> list[Media]:
    """The medias with ICE at this port, those whose peer is known first."""
    found = [
        media
        for leg in call.legs.values()
        for media in leg.medias
        if media.ice is not None and _find(media, port) is not None
    ]
    return sorted(found, key=lambda media: media.ice is None or media.ice.remote is None)


def _find(media: Media, port: int) -> tuple[Stream, int] | None:
    for stream in media.streams:
        for number, path in enumerate(stream.paths):
            if path.port.handle == port:
                return stream, number
    return None


def _accept(media: Media, ice: MediaIce) -> None:
    """Receive media from the sources that have shown themselves, at the port where each did."""
    validated = _validated(ice) + (_validated(ice.previous) if ice.previous is not None else ())
    for stream in media.streams:
        for path in stream.paths:
            found = dict.fromkeys(at.remote for at in validated if at.port == path.port.handle)
            path.sources = tuple(found)[:MAX_SOURCES]


def _validated(ice: MediaIce) -> tuple[IcePath, ...]:
    if ice.agent is not None:
        return ice.agent.validated
    return tuple(path for passer in ice.passers for path in passer.validated(ice.side))


def _select(media: Media, at: IcePath) -> None:
    """Send media there."""
    found = _find(media, at.port)
    if found is not None:
        found[0].selected, found[0].chosen = found[1], at.remote


def _lose(media: Media, at: IcePath) -> None:
    """Send no media there; another address of ours may still have a path."""
    found = _find(media, at.port)
    if found is None or media.ice is None or media.ice.agent is None:
        return
    stream, number = found
    if (stream.selected, stream.chosen) != (number, at.remote):
        return
    stream.chosen = None
    for path in stream.paths:
        other = media.ice.agent.selected.get(path.port.handle)
        if other is not None:
            _select(media, other)


def _use_for_now(media: Media, at: IcePath) -> None:
    """Send media there until a path is selected."""
    found = _find(media, at.port)
    if found is not None and found[0].chosen is None:
        _select(media, at)
