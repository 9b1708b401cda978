"""DTLS of the calls: handshakes run, keys come out, rules follow (RFC 5763, RFC 5764).

``relay.dtls`` decides; here its outputs become call state, and datagrams to
send. A handshake goes to where ICE, or else the media address, says the peer is.
"""

from __future__ import annotations

from collections.abc import Iterator

from relay.calls.holding import Holding
from relay.calls.resources import KeysRefused, Resources
from relay.calls.state import Call, Media, Security, Stream
from relay.dtls.handshake import Failed, Handshake, Keys, Output, Restart, Send, State
from relay.forward.rule import Address
from relay.srtp.profiles import MasterKey, profile_of_dtls


def received(
    call: Call,
    holding: Holding,
    port: int,
    source: Address,
    datagram: bytes,
    now: float,
    resources: Resources,
) -> list[str]:
    """A DTLS datagram from an accepted source. Returns why a handshake failed, for the counters."""
    for media, security, stream in _secured(call):
        handshake = security.handshakes.get(stream.component)
        if handshake is None or all(path.port.handle != port for path in stream.paths):
            continue
        security.towards[stream.component] = (port, source)
        outputs: list[Output] = []
        if handshake.state is State.IDLE:
            outputs += handshake.start(now)
        outputs += handshake.received(datagram, now)
        if Restart() in outputs and security.identity is not None:
            # Unauthenticated so far: what is keyed stays until the new handshake yields keys.
            again = Handshake(security.identity, handshake.role, security.expected)
            security.handshakes[stream.component] = again
            outputs += [*again.start(now), *again.received(datagram, now)]
        return _carry_out(media, stream, outputs, holding, resources)
    return ["no handshake"]


def begin(call: Call, holding: Holding, now: float, resources: Resources) -> list[str]:
    """Start the handshakes whose peer can be reached by now, and knows our certificate."""
    failed: list[str] = []
    if not call.answered:
        return failed
    for media, security, stream in _secured(call):
        handshake = security.handshakes.get(stream.component)
        remote = _reached_at(media, stream)
        if handshake is not None and handshake.state is State.IDLE and remote is not None:
            security.towards[stream.component] = (stream.path.port.handle, remote)
            failed += _carry_out(media, stream, handshake.start(now), holding, resources)
    return failed


def _reached_at(media: Media, stream: Stream) -> Address | None:
    """Where handshakes go. Not along a path from before a restart of ICE: there may be nobody any more."""
    if media.ice is None:
        return stream.remote
    return stream.chosen if media.ice.previous is None else None


def deadlines(call: Call) -> Iterator[float]:
    """When handshakes want ``repeat`` called."""
    for _, security, stream in _secured(call):
        handshake = security.handshakes.get(stream.component)
        if handshake is not None and handshake.deadline is not None:
            yield handshake.deadline


def repeat(call: Call, holding: Holding, now: float, resources: Resources) -> list[str]:
    """Send again what was not answered."""
    failed = []
    for media, security, stream in _secured(call):
        handshake = security.handshakes.get(stream.component)
        if handshake is not None and handshake.deadline is not None and handshake.deadline <= now:
            if media.ice is not None and stream.chosen is not None:
                security.towards[stream.component] = (stream.path.port.handle, stream.chosen)
            failed += _carry_out(media, stream, handshake.timeout(now), holding, resources)
    return failed


def _secured(call: Call) -> Iterator[tuple[Media, Security, Stream]]:
    for leg in call.legs.values():
        for media in leg.medias:
            if media.security is not None and media.security.handshakes:
                for stream in media.streams:
                    yield media, media.security, stream


def _carry_out(
    media: Media, stream: Stream, outputs: list[Output], holding: Holding, resources: Resources
) -> list[str]:
    security = media.security
    assert security is not None
    failed = []
    for output in outputs:
        match output:
            case Send(datagram) if stream.component in security.towards:
                port, remote = security.towards[stream.component]
                resources.send(port, remote, datagram)
            case Keys():
                try:
                    security.keys[stream.component] = _open(output, holding)
                except KeysRefused as error:
                    failed.append(str(error))
            case Failed(reason):
                failed.append(str(reason))
    return failed


def _open(keys: Keys, holding: Holding) -> int:
    profile = profile_of_dtls(keys.profile.name)
    receive = MasterKey.split(profile, keys.remote)
    return holding.open_keys(profile, receive, MasterKey.split(profile, keys.local))
