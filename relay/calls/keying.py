"""DTLS of the calls: handshakes run, keys come out, rules follow (RFC 5763, RFC 5764).

``relay.dtls`` decides; here its outputs become call state, and datagrams to
send. A handshake is answered where it came from, and begun where ICE, or else
the media address, says the peer is.

What has to be computed goes to ``Resources.compute`` as a job, and comes back to
``finished`` some time later. By then the call may be gone, or the peer another
one: a job of an association that the call does not have any more is dropped.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from relay.calls import checks
from relay.calls.holding import Holding
from relay.calls.resources import KeysRefused, Resources
from relay.calls.state import Call, Leg, Media, Security, Stream
from relay.dtls.association import Association, Job, Step, Where
from relay.dtls.handshake import Failed, Keys, Reason, Role, Send, State
from relay.dtls.peering import Ignored, Output, Unfinished
from relay.dtls.records import client_random, read_records
from relay.forward.rule import Address
from relay.srtp.profiles import MasterKey, profile_of_dtls
from sdp.values import valueclass

MAX_EARLY_PEERS = 4
"""Of a call, whose first flight is kept until the answer: one for each phone that rings, within reason."""
MAX_EARLY_DATAGRAMS = 4
"""Of one first flight: a ClientHello of 1 kB needs one, or a few if it comes in fragments."""


FAILURES = (*Reason, "srtp")
"""Why there are no keys; the last one: the plane cannot use them."""

DROPS = ("busy", "client hello", "early", "no handshake", "overload", "restart")
"""Why datagrams were not acted upon: see docs/operator.md."""


@valueclass
class Failure:
    """A leg that has no keys, for the log: the first time only."""

    call_id: str
    tag: str | None
    media: int
    reason: str


@dataclass(slots=True)
class Counts:
    """Of all handshakes since the start."""

    done: int = 0
    failed: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(FAILURES, 0)))
    """Handshakes without keys, by reason."""
    dropped: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(DROPS, 0)))
    """DTLS datagrams that were not acted upon, by reason."""
    failures: list[Failure] = field(default_factory=list)
    """Not logged yet."""


@valueclass
class _End:
    """Our end of one component, with the security of its media."""

    leg: Leg
    media: Media
    security: Security
    stream: Stream

    @property
    def association(self) -> Association | None:
        return self.security.handshakes.get(self.stream.component)

    def accepts(self, port: int, source: Address) -> bool:
        """ICE, or the description, has named this source at this port."""
        named = any(path.port.handle == port and source in path.sources for path in self.stream.paths)
        return named or (self.is_at(port) and source == self.stream.remote)

    def step(self, now: float, at: Where, datagram: bytes | None = None) -> Step:
        return Step(now, at, datagram, checks.earned(self.media, *at))

    def is_at(self, port: int) -> bool:
        return any(path.port.handle == port for path in self.stream.paths)


def received(
    call: Call, at: Where, datagram: bytes, now: float, resources: Resources, counts: Counts
) -> None:
    """A DTLS datagram from a source that the plane accepts."""
    port, source = at
    here = [end for end in _ends(call) if end.is_at(port)]
    waiting = [end for end in here if end.association is not None]
    found = next((end for end in waiting if end.accepts(port, source)), waiting[0] if waiting else None)
    if found is not None and found.association is not None:
        if not found.association.put(found.step(now, at, datagram)):
            counts.dropped["busy"] += 1
        _hand_out(call, found.association, resources, counts)
    elif not here:
        counts.dropped["no handshake"] += 1
    elif not _keep(call, at, datagram):
        counts.dropped["early"] += 1


def begin(call: Call, now: float, resources: Resources, counts: Counts) -> None:
    """Start the handshakes whose peer can be reached by now, and knows our certificate."""
    if not call.answered:
        return
    for end in _ends(call):
        association = end.association
        if association is not None and association.at is not None:
            _let_go(call, end, association, now, resources, counts)
        if association is None or association.at is not None:
            continue
        for at in [at for at in call.early if end.accepts(*at)]:
            for datagram in call.early.pop(at):
                if association.role is Role.PASSIVE:
                    association.put(end.step(now, at, datagram))
        remote = _reached_at(end.media, end.stream)
        if association.role is Role.ACTIVE and remote is not None:
            association.put(end.step(now, (end.stream.path.port.handle, remote)))
        _hand_out(call, association, resources, counts)


def _let_go(
    call: Call, end: _End, association: Association, now: float, resources: Resources, counts: Counts
) -> None:
    """A flight that was held back may leave by now: a check was answered from where it goes."""
    at = association.at
    if association.holds_back and at is not None and math.isinf(checks.earned(end.media, *at)):
        association.put(end.step(now, at))
        _hand_out(call, association, resources, counts)


def _reached_at(media: Media, stream: Stream) -> Address | None:
    """Where handshakes go. Not along a path from before a restart of ICE: there may be nobody any more."""
    if media.ice is None:
        return stream.remote
    return stream.chosen if media.ice.previous is None else None


def deadlines(call: Call) -> Iterator[float]:
    """When handshakes want ``repeat`` called."""
    for end in _ends(call):
        if end.association is not None and end.association.deadline is not None:
            yield end.association.deadline


def repeat(call: Call, now: float, resources: Resources, counts: Counts) -> None:
    """Send again what was not answered."""
    for end in _ends(call):
        association = end.association
        if association is None or association.deadline is None or association.deadline > now:
            continue
        at = association.at
        if end.media.ice is not None and end.stream.chosen is not None:
            at = (end.stream.path.port.handle, end.stream.chosen)
        if at is not None:
            association.put(end.step(now, at))
            _hand_out(call, association, resources, counts)


def finished(call: Call, job: Job, holding: Holding, resources: Resources, counts: Counts) -> None:
    """A job of this call was computed.

    Keys are in place before our last flight leaves: the peer's media follows it at once.
    """
    found = next((end for end in _ends(call) if end.association is job.association), None)
    if found is None:
        return
    outputs = job.association.finish(job)
    for _, output in outputs:
        _take(call, found, output, holding, counts)
    holding.sync(call)
    for at, output in outputs:
        if isinstance(output, Send):
            resources.send(*at, output.datagram)
    _let_go(call, found, job.association, job.steps[-1].now, resources, counts)
    _hand_out(call, job.association, resources, counts)


def open_handshakes(call: Call) -> int:
    """How many run at the moment."""
    return sum(end.association is not None and end.association.state is State.SHAKING for end in _ends(call))


def _ends(call: Call) -> Iterator[_End]:
    """All with a certificate of ours."""
    for leg in call.legs.values():
        for media in leg.medias:
            if media.security is not None and media.security.identity is not None:
                for stream in media.streams:
                    yield _End(leg, media, media.security, stream)


def _hand_out(call: Call, association: Association, resources: Resources, counts: Counts) -> None:
    job = association.job(call.call_id)
    if job is not None and not resources.compute(job):
        association.forget(job)
        counts.dropped["overload"] += len(job.steps)


def _keep(call: Call, at: Where, datagram: bytes) -> bool:
    """The peer's answer is not here yet, and with it its fingerprint and its role: keep its first flight."""
    if client_random(read_records(datagram)) is not None:
        call.early.pop(at, None)
        if len(call.early) >= MAX_EARLY_PEERS:
            del call.early[next(iter(call.early))]
        call.early[at] = [datagram]
        return True
    flight = call.early.get(at, [])
    if not 0 < len(flight) < MAX_EARLY_DATAGRAMS:
        return False
    flight.append(datagram)
    return True


def _take(call: Call, end: _End, output: Output, holding: Holding, counts: Counts) -> None:
    match output:
        case Keys():
            try:
                end.security.keys[end.stream.component] = _open(output, holding)
                end.security.keyed[end.stream.component] = end.stream.generation
                end.security.failed = False
                counts.done += 1
            except KeysRefused as error:
                _fail(call, end, "srtp", str(error), counts)
        case Failed(reason):
            _fail(call, end, reason, reason, counts)
        case Unfinished():
            counts.dropped["restart"] += 1
        case Ignored():
            counts.dropped["client hello"] += 1


def _fail(call: Call, end: _End, reason: str, text: str, counts: Counts) -> None:
    """This peer gets no keys, and those of the peer before it are not its own."""
    end.security.keys.pop(end.stream.component, None)
    counts.failed[reason] += 1
    if not end.security.failed:
        end.security.failed = True
        counts.failures.append(Failure(call.call_id, end.leg.tag, end.media.index, text))


def _open(keys: Keys, holding: Holding) -> int:
    profile = profile_of_dtls(keys.profile.name)
    receive = MasterKey.split(profile, keys.remote)
    return holding.open_keys(profile, receive, MasterKey.split(profile, keys.local))
