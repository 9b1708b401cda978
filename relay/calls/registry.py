"""All calls: the commands change them, packets and time end them.

Every entry point leaves the plane in step with the calls: ``Holding.sync`` runs
before a reply goes out, also when a command fails.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from relay.calls import checks, deletion, keying, optimizing, widening
from relay.calls.closing import settle
from relay.calls.describe import handling
from relay.calls.distrust import UNANSWERED, Distrust
from relay.calls.holding import Holding
from relay.calls.ice_flaws import FLAWS
from relay.calls.interfaces import Interfaces
from relay.calls.negotiate import Exchange
from relay.calls.parties import find_parties
from relay.calls.passing_on import passed_on
from relay.calls.resources import KeysRefused, OutOfPorts, Resources
from relay.calls.rules import most_at_a_port
from relay.calls.state import Call, Leg, Media
from relay.calls.timers import Timers, expired
from relay.calls.trickle import Trickle
from relay.forward.rule import MAX_OUTPUTS, Address
from relay.ice.outputs import Output
from relay.ice.policy import Optimizer
from relay.ng.errors import (
    BAD_ASSOCIATION,
    BAD_SDP,
    NO_CALL_ID,
    NO_FROM_TAG,
    NO_PORTS,
    NO_SDP,
    NO_TO_TAG,
    REWRITE_FAILED,
    TOO_MANY_AT_A_PORT,
    UNKNOWN_CALL,
    NgError,
)
from relay.ng.request import Request
from sdp.fragment import Fragment
from sdp.rewrite import loop_id
from sdp.session import SdpError, Session
from sdp.values import valueclass

LastPacket = Callable[[int], float]
"""When a rule last received something."""

UNTIMED = "fault"
"""Why a call ends of which a fault of ours hides whether it is over: it would hold its ports for ever."""

RETRY = 1.0
"""Seconds after which agents and handshakes of a call are looked at again, when something went wrong."""

MAX_MEDIAS = 64
"""Of one description: each takes up to four ports of each family, and a conference has a dozen."""

LARGEST_SDP = 65_400
"""Bytes: with cookie and dictionary a reply must fit one datagram of 65,507."""


@valueclass
class Described:
    """A description for the other party, and what the log should know of it."""

    sdp: str
    notes: tuple[str, ...] = ()
    decided: str = ""
    """What ``ICE=optimize`` resulted in."""


@valueclass
class Times:
    """One moment on both clocks: monotonic seconds, and unix seconds."""

    now: float
    unix: float


def _raise(_call: Call, error: Exception) -> None:
    raise error


@dataclass(slots=True)
class Registry:
    """The calls of this process."""

    resources: Resources
    interfaces: Interfaces
    timers: Timers
    instance: str
    """Our name in ``a=rtpengine``."""
    optimizer: Optimizer = field(default_factory=Optimizer)
    """Of ``ICE=optimize``: policies, and what earlier calls taught."""
    default_tos: int = 0
    workers: int = 1
    calls: dict[str, Call] = field(default_factory=dict)
    created: int = 0
    on_end: Callable[[Call, Leg, str], object] = lambda call, leg, reason: None
    """Told of each leg before it goes, while it can still be read, and why it goes."""
    on_over: Callable[[Call], object] = lambda call: None
    """Told of each call after its last leg."""
    on_widen: Callable[[Call, Leg, tuple[int, ...]], object] = lambda call, leg, families: None
    """Told when a leg misses what it was not told of our addresses, and of which families those are."""
    on_fault: Callable[[Call, Exception], object] = _raise
    """Told of a fault of ours where no command can be refused for it. The other calls go on."""
    faults: int = 0
    closed: Counter[str] = field(default_factory=Counter)
    """Ended calls by reason."""
    serves: Callable[[Address], bool] = lambda remote: False
    """Whether a socket of ours listens for signalling there."""
    distrust: Distrust = field(init=False)
    """Of what parties say of themselves."""
    refused_stun: Counter[str] = field(default_factory=Counter)
    ice_flaws: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(FLAWS, 0)))
    """Descriptions of medias whose ICE is not as it should be, by word of ``FLAWS``."""
    handshakes: keying.Counts = field(default_factory=keying.Counts)
    trickle: Trickle = field(default_factory=Trickle)
    """Fragments of descriptions, with candidates."""
    _holdings: dict[str, Holding] = field(default_factory=dict)
    _by_port: dict[int, str] = field(default_factory=dict)
    _due: list[tuple[float, str]] = field(default_factory=list)
    _next_worker: Iterator[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.distrust = Distrust(self.interfaces, self.serves)

    def offer(self, request: Request, times: Times) -> Described:
        """The offer for the other party. Raises ``NgError``; then nothing has changed."""
        session = _session(request)
        if request.call_id is None:
            raise NgError(NO_CALL_ID)
        if request.from_tag is None:
            raise NgError(NO_FROM_TAG)
        if self._looped(request, session):
            return Described(str(session), notes=("looped back to us, returned as it came",))
        call = self.calls.get(request.call_id) or self._create(request.call_id, times)
        parties = (request.from_tag, request.to_tag)
        return self._exchange(call, request, session, parties, Exchange.offer, times)

    def answer(self, request: Request, times: Times) -> Described:
        """The answer for the offerer. Raises ``NgError``; then nothing has changed."""
        session = _session(request)
        if request.call_id is None:
            raise NgError(NO_CALL_ID)
        if request.from_tag is None:
            raise NgError(NO_FROM_TAG)
        if request.to_tag is None:
            raise NgError(NO_TO_TAG)
        call = self.calls.get(request.call_id)
        if call is None:
            raise NgError(UNKNOWN_CALL)
        if call.leg_of(request.from_tag) is None and call.leg_of(request.to_tag) is None:
            raise NgError(BAD_ASSOCIATION)
        parties = (request.to_tag, request.from_tag)
        return self._exchange(call, request, session, parties, Exchange.answer, times)

    def fragment(self, request: Request, sender: str | None, times: Times) -> str:
        """Candidates of the party ``sender`` (a tag) that come after its description, or before it.

        Returns a fragment for the other party, if that misses some of ours, else nothing. Raises ``NgError``
        where the request says too little, or the fragment is too long.
        """
        if not request.sdp:
            raise NgError(NO_SDP)
        if request.call_id is None:
            raise NgError(NO_CALL_ID)
        if sender is None:
            raise NgError(NO_FROM_TAG if request.command == "offer" else NO_TO_TAG)
        try:
            fragment = Fragment.parse(request.sdp)
        except SdpError as error:
            raise NgError(BAD_SDP) from error
        call = self.calls.get(request.call_id)
        leg = call.leg_of(sender) if call is not None else None
        if leg is not None:
            leg.allowance.described(request.sdp)
        found = self.trickle.received(request.call_id, call, sender, fragment, times.now, self.distrust)
        if call is None:
            return ""
        self._begin(call, found, times.now)
        return widening.missed(call, leg)

    def fragment_for_the_other(self, request: Request, sender: str | None) -> str | None:
        """What of a fragment that was taken in goes to the other party; None: it has no use for it."""
        call = self.calls.get(request.call_id or "")
        leg = call.leg_of(sender) if call is not None else None
        if call is None or leg is None or leg.partner is None:
            return None
        named = call.leg_of(request.to_tag if request.command == "offer" else request.from_tag)
        other = named if named is not None and named.id in leg.links else call.legs[leg.partner]
        text = request.sdp or ""
        return passed_on(leg, other, text, Fragment.parse(text), self.optimizer, self.interfaces)

    def find(self, call_id: str | None) -> Call:
        """The call with this id. Raises ``NgError``."""
        if call_id is None:
            raise NgError(NO_CALL_ID)
        call = self.calls.get(call_id)
        if call is None:
            raise NgError(UNKNOWN_CALL)
        return call

    def find_for_delete(self, request: Request) -> Call | None:
        """The call of which a delete names something."""
        if request.call_id is None:
            raise NgError(NO_CALL_ID)
        call = self.calls.get(request.call_id)
        return call if call is not None and deletion.find(call, request) is not None else None

    def delete(self, request: Request, times: Times) -> None:
        """End what the request names, at once or after the delay."""
        call = self.find_for_delete(request)
        found = deletion.find(call, request) if call is not None else None
        if call is None or found is None:
            return
        delay = self.timers.delete_delay if request.delete_delay is None else request.delete_delay
        if delay > 0:
            for one in found if isinstance(found, list) else [found]:
                one.hung_up_at, one.delete_at = times.now, times.now + delay
        elif isinstance(found, Call):
            self._end(call, "deleted")
        else:
            for leg in found:
                if leg.id in call.legs:
                    self._remove_leg(call, leg)

    def end_all(self) -> None:
        """The process stops."""
        for call in list(self.calls.values()):
            self._end(call, "shutdown")

    def stun(self, port: int, source: Address, datagram: bytes, now: float) -> None:
        """A STUN datagram arrived at one of our ports."""
        call = self.calls.get(self._by_port.get(port, ""))
        if call is None:
            return
        with self._guard(call):
            self.refused_stun.update(checks.received(call, port, source, datagram, now, self.resources))
            self._holdings[call.call_id].sync(call)
            keying.begin(call, now, self.resources, self.handshakes)
            self._plan(call)
        self.computed()

    def dtls(self, port: int, source: Address, datagram: bytes, now: float) -> None:
        """A DTLS datagram arrived from a source that we accept media from."""
        call = self.calls.get(self._by_port.get(port, ""))
        if call is None:
            return
        with self._guard(call):
            keying.received(call, (port, source), datagram, now, self.resources, self.handshakes)
        self.computed()

    def computed(self) -> None:
        """Take over what handshakes have computed: see ``Resources.compute``."""
        while jobs := self.resources.computed():
            for job in jobs:
                call = self.calls.get(job.call_id)
                if call is not None:
                    with self._guard(call):
                        holding = self._holdings[job.call_id]
                        keying.finished(call, job, holding, self.resources, self.handshakes)
                        self._plan(call)

    def tick(self, now: float, last_packet: LastPacket) -> list[tuple[str, str]]:
        """End what is over. Returns call-ids and reasons."""
        ended = []
        self.trickle.tick(now)
        for call in list(self.calls.values()):
            try:
                reason = expired(call, self.timers, now, last_packet)
            except Exception as error:
                self.fault(call, error)
                reason = UNTIMED
            if reason is not None:
                with self._guard(call):
                    self._end(call, reason)
                ended.append((call.call_id, reason))
                continue
            for step in (self._settle, self._keep_alive, self._widen, self._remove_legs):
                try:
                    step(call, now, last_packet)
                except Exception as error:
                    self.fault(call, error)
            if not call.legs:
                ended.append((call.call_id, "deleted"))
        return ended

    def _settle(self, call: Call, now: float, _last_packet: LastPacket) -> None:
        if call.settled_at is not None and now >= call.settled_at:
            settle(call)
            self._sync(call)

    def _keep_alive(self, call: Call, now: float, last_packet: LastPacket) -> None:
        if checks.alive(call, last_packet, now, self.resources):
            self._plan(call)

    def _widen(self, call: Call, now: float, _last_packet: LastPacket) -> None:
        if call.widen_at is not None and now >= call.widen_at:
            for leg, families in widening.widen(call, now):
                self.on_widen(call, leg, families)

    def _remove_legs(self, call: Call, now: float, _last_packet: LastPacket) -> None:
        for leg in list(call.legs.values()):
            if leg.id in call.legs and leg.delete_at is not None and now >= leg.delete_at:
                self._remove_leg(call, leg)

    def next_check(self) -> float | None:
        """When ``check`` is to be called, at the latest."""
        return self._due[0][0] if self._due else None

    def check(self, now: float) -> None:
        """Let the ICE agents and handshakes whose time has come repeat themselves."""
        due = set()
        while self._due and self._due[0][0] <= now:
            due.add(heapq.heappop(self._due)[1])
        for call in [self.calls[id] for id in due if id in self.calls]:
            with self._guard(call, retry_at=now + RETRY):
                for media in [media for media, deadline in checks.deadlines(call) if deadline <= now]:
                    assert media.ice is not None
                    assert media.ice.agent is not None
                    checks.carry_out(media, media.ice.agent.timeout(now), now, self.resources)
                keying.repeat(call, now, self.resources, self.handshakes)
                self._holdings[call.call_id].sync(call)
                self._plan(call)
        self.computed()

    def fault(self, call: Call, error: Exception) -> None:
        """Something of ours failed for this call."""
        self.faults += 1
        self.on_fault(call, error)

    @contextmanager
    def _guard(self, call: Call, retry_at: float | None = None) -> Iterator[None]:
        """A fault loses what it interrupts, and nothing of the other calls.

        The call goes on, for its media does not need us. ``retry_at``: when to ``check`` it again.
        """
        try:
            yield
        except Exception as error:
            if retry_at is not None:
                heapq.heappush(self._due, (retry_at, call.call_id))
            self.fault(call, error)

    def _plan(self, call: Call) -> None:
        """Note when this call next wants ``check``; what was noted before may come to nothing."""
        deadline = min(_deadlines(call), default=None)
        if deadline is not None:
            heapq.heappush(self._due, (deadline, call.call_id))

    # Inside.

    def _begin(self, call: Call, found: list[tuple[Media, list[Output]]], now: float) -> None:
        """Send the checks that ICE agents want to send; ``found`` is what changed in the call."""
        for media, outputs in found:
            checks.carry_out(media, outputs, now, self.resources)
        if found:
            self._holdings[call.call_id].sync(call)
        self._plan(call)

    def _looped(self, request: Request, session: Session) -> bool:
        """The description went through us before (``loop-protect``)."""
        return "loop-protect" in request.flags and self.instance in loop_id(session)

    def _create(self, call_id: str, times: Times) -> Call:
        worker = next(self._next_worker) % self.workers
        self._holdings[call_id] = Holding(self.resources, worker, self.default_tos)
        self.created += 1
        self.calls[call_id] = Call(call_id, times.unix, times.now, worker, times.now, times.unix)
        return self.calls[call_id]

    def _exchange(
        self,
        call: Call,
        request: Request,
        session: Session,
        parties: tuple[str, str | None],
        method: Callable[[Exchange], str],
        times: Times,
    ) -> Described:
        holding = self._holdings[call.call_id]
        before = call.snapshot() if call.legs else None
        tos = holding.tos
        try:
            if request.tos is not None or method is Exchange.offer:
                holding.mark(_tos(request.tos, self.default_tos))
            sender, receiver = find_parties(call, *parties, request.via_branch, times.now)
            exchange = Exchange(
                call, request, session, sender, receiver, holding, self.interfaces, self.resources,
                self.instance, times.now, self.optimizer, self.distrust,
            )  # fmt: skip
            sender.spoke, sender.label = True, request.label or sender.label
            text = method(exchange)
            if len(text.encode("utf-8", "surrogateescape")) > LARGEST_SDP:
                raise NgError(REWRITE_FAILED)
            if most_at_a_port(call) > MAX_OUTPUTS:
                raise NgError(TOO_MANY_AT_A_PORT)
            if method is Exchange.answer:
                call.answered_at = times.now if call.answered_at is None else call.answered_at
                widening.watch(call, times.now)
            self._sync(call)
            sender.allowance.described(request.sdp or "")
            if checks.learn(exchange.later, times.now, self.resources):
                holding.sync(call)
            if method is Exchange.answer:
                checks.resume(call, times.now, self.resources)
            keying.begin(call, times.now, self.resources, self.handshakes)
        except Exception as error:
            holding.mark(tos)
            self._undo(call, before)
            if isinstance(error, (NgError, SdpError, OutOfPorts, KeysRefused)):
                raise _as_ng_error(error) from error
            raise
        self._begin(call, self.trickle.described(call, times.now, self.distrust), times.now)
        self.computed()
        for one in (call, sender, receiver):
            one.hung_up_at = one.delete_at = None
        call.last_signal, call.last_signal_unix = times.now, times.unix
        call.metadata = request.metadata or call.metadata
        if method is Exchange.offer:
            exchange.notes.extend(_missing_families(sender, receiver))
        decided = optimizing.summary(exchange.decision, receiver) if exchange.decision is not None else ""
        self.ice_flaws.update(exchange.flaws)
        notes = (*exchange.notes, *(FLAWS[flaw] for flaw in dict.fromkeys(exchange.flaws)))
        return Described(text, notes, decided)

    def _sync(self, call: Call) -> None:
        holding = self._holdings[call.call_id]
        before = set(holding.ports)
        holding.sync(call)
        for handle in before - holding.ports.keys():
            self._by_port.pop(handle, None)
        self._by_port.update(dict.fromkeys(holding.ports, call.call_id))

    def _undo(self, call: Call, before: Call | None) -> None:
        """Go back to where the call was; one that did not exist goes."""
        if before is None:
            self.created -= 1
            self._forget(call)
        else:
            self.calls[call.call_id] = before
            self._sync(before)

    def _remove_leg(self, call: Call, leg: Leg) -> None:
        before = list(call.legs.values())
        deletion.remove(call, leg)
        for gone in before:
            if gone.id not in call.legs:
                gone.hung_up_at = leg.hung_up_at if gone.hung_up_at is None else gone.hung_up_at
                self._over(call, gone, "deleted")
        if call.legs:
            self._sync(call)
        else:
            self._end(call, "deleted")

    def _end(self, call: Call, reason: str) -> None:
        self.closed[reason] += 1
        for leg in call.legs.values():
            self._over(call, leg, reason)
        with self._guard(call):
            self.on_over(call)
        self.trickle.forget(call.call_id)
        self._forget(call)

    def _over(self, call: Call, leg: Leg, reason: str) -> None:
        self.distrust.counts[UNANSWERED] += leg.allowance.refused
        with self._guard(call):
            self.on_end(call, leg, reason)

    def _forget(self, call: Call) -> None:
        self.calls.pop(call.call_id, None)
        holding = self._holdings.pop(call.call_id)
        for handle in holding.ports:
            self._by_port.pop(handle, None)
        holding.sync(None)


def _missing_families(*legs: Leg) -> Iterator[str]:
    """For the log: who got addresses of another family than it was to have (ng ``address-family``)."""
    for leg in legs:
        paths = (stream.paths[0] for media in leg.medias for stream in media.streams)
        at = next((path.port.at for path in paths), None)
        if at is not None and at.family != leg.family:
            yield f"interface {at.name!r} has no address of {leg.family}: {at.family} is used instead"


def _deadlines(call: Call) -> Iterator[float]:
    yield from (deadline for _, deadline in checks.deadlines(call))
    yield from keying.deadlines(call)


def _session(request: Request) -> Session:
    """The description of an offer or answer, as far as it can be refused unseen."""
    if not request.sdp:
        raise NgError(NO_SDP)
    try:
        session = Session.parse(request.sdp)
        for section in session.medias:
            handling(section)
    except SdpError as error:
        raise NgError(BAD_SDP) from error
    if not session.medias:
        raise NgError(REWRITE_FAILED)
    if len(session.medias) > MAX_MEDIAS:
        raise NgError(BAD_SDP)
    return session


def _as_ng_error(error: NgError | SdpError | OutOfPorts | KeysRefused) -> NgError:
    if isinstance(error, (OutOfPorts, KeysRefused)):
        return NgError(NO_PORTS) if error.exhausted else NgError(str(error))
    return error if isinstance(error, NgError) else NgError(BAD_SDP)


def _tos(asked: int | None, default: int) -> int:
    """A negative one would leave packets as they came, which a relay cannot see: the default then."""
    return asked if asked is not None and 0 <= asked < 256 else default
