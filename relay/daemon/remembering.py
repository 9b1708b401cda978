"""The memory of networks in the daemon: asked by offers, fed by calls that end and by apps.

Whatever is wrong with the place where it is kept, calls go on with the static policy.
"""

from __future__ import annotations

import functools
import logging
import secrets
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import msgspec

from relay.calls.explain import candidates
from relay.calls.moves import went_to
from relay.calls.outcome import FAMILIES, record
from relay.calls.report import Readings, Reply
from relay.calls.state import Call, Leg
from relay.config import Settings
from relay.ice.policy import Order, Place, Remembered, Way, family_of
from relay.memory.advice import AdviceError, Throttle, advise
from relay.memory.advice import parse as parse_question
from relay.memory.arms import TCP, UDP, Arm
from relay.memory.beta import surely_above
from relay.memory.decision import KNOWN_WELL, Facts, Snapshot, belief, decide, direct_works
from relay.memory.feedback import Claims, FeedbackError, parse
from relay.memory.identity import NOWHERE, Identity, everyone, identify
from relay.memory.knowledge import (
    Network,
    Report,
    learn,
    maps_anew,
    relay_round_trip,
    told,
    widen,
)
from relay.memory.record import Record
from relay.ng.errors import NgError
from relay.ng.request import Request
from relay.store import secret
from relay.store.backend import Backend
from relay.store.keeper import PATIENCE, Keeper
from relay.store.sqlite import SqliteStore

log = logging.getLogger("icerelay.memory")

OFF = "off"
COMMANDS = frozenset(("advice", "feedback", "forget", "memory"))
SAID = {
    "off": "off by command, the static policy holds",
    "on": "on again by command",
    "rotate": "a new secret by command: nothing of what is stored can be read any more",
    "reload": "the secret was read again by command",
}
"""What the log says of actions of the command ``memory``."""
DAY = 86400.0
SHOWN = 4
"""Bytes of a network's hash that people are shown: enough to tell networks apart, too few to look one up."""
BUCKETS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4)
"""Upper bounds of the histogram of usable times, seconds."""
NO_CHECK = "no check"
NO_ANSWER = "no answer"
"""Checks came, and ours were not answered."""
NO_NETWORK = "No network in message"
NO_MEMORY = "Memory is off"


@dataclass(slots=True)
class Usable:
    """How long legs took from the answer until media could flow."""

    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    seconds: float = 0.0


@dataclass(slots=True)
class Counts:
    """For the metrics."""

    usable: dict[tuple[str, str, str], Usable] = field(default_factory=dict)
    """By mode, transport and way."""
    candidates: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By action and reason."""
    checks: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By direction (``in``, ``out``) and result."""
    moves: Counter[str] = field(default_factory=Counter)
    """By result."""
    unreached: Counter[str] = field(default_factory=lambda: Counter({NO_CHECK: 0, NO_ANSWER: 0}))
    """Legs that never had a usable path, by what came of their checks."""
    widened: int = 0
    """Legs that missed a way that they were not told."""
    consent_lost: int = 0
    records: int = 0
    advice: int = 0
    advice_refused: Counter[str] = field(default_factory=Counter)
    """Questions over HTTP that were not answered, by status."""
    feedback: Counter[str] = field(default_factory=Counter)
    """By result: ``ok``, or the HTTP status that refused it."""


@dataclass(slots=True)
class _Look:
    """What one command of the proxy asks of the memory."""

    patience: float = PATIENCE
    """Seconds that are left to wait."""
    snapshots: dict[Identity, Snapshot] = field(default_factory=dict)


class Remembering:
    """What the relay knows of networks. Never raises but where it says so.

    What is asked waits for ``PATIENCE`` at most, within ``one_look`` in all. What is told never waits.
    """

    def __init__(self, settings: Settings) -> None:
        self.counts = Counts()
        self.keeper: Keeper | None = None
        """None where the memory is off: by the configuration, by command, or for want of a secret."""
        self._kept: Keeper | None = None
        self._secret_file = settings.memory_secret or f"{settings.memory}.secret"
        self._secret = b""
        self._turn = settings.advice_turn
        self._claims = Claims()
        self._throttle = Throttle()
        self._look: _Look | None = None
        if settings.memory != OFF:
            try:
                self._secret = (secret.read if settings.memory_secret else secret.read_or_make)(
                    self._secret_file
                )
            except secret.SecretError as error:
                log.error("memory is off, the static policy holds: %s", error)
            else:
                self.keeper = self._kept = Keeper(_backend(settings))
        self._everyone = everyone(self._secret)

    def stop(self) -> None:
        """Store what waits."""
        if self._kept is not None:
            self._kept.stop()

    # Asked.

    def identity(self, place: Place) -> Identity:
        """The hashes that stand for a place."""
        return NOWHERE if self.keeper is None else self._identify(place)

    def _identify(self, place: Place) -> Identity:
        return identify(self._secret, place.network, place.address, place.family, place.transport)

    def snapshot(self, identity: Identity) -> Snapshot:
        """What is known of it, as far as it is at hand."""
        if self.keeper is None:
            return Snapshot()
        look = self._look or _Look()
        if identity not in look.snapshots:
            look.snapshots[identity] = self._snapshot(self.keeper, identity, look)
        return look.snapshots[identity]

    def _snapshot(self, keeper: Keeper, identity: Identity, look: _Look) -> Snapshot:
        network, family = identity.network, identity.family
        started = time.monotonic()
        found = keeper.recall_all(
            [key for key in (network, family, self._everyone) if key is not None], look.patience
        )
        look.patience = max(0.0, look.patience - (time.monotonic() - started))
        return Snapshot(
            found.get(network) if network is not None else None,
            found.get(family) if family is not None else None,
            found.get(self._everyone),
        )

    @contextmanager
    def one_look(self) -> Iterator[None]:
        """Within, each place is looked up once, and all look-ups together wait for ``PATIENCE`` at most."""
        self._look = _Look()
        try:
            yield
        finally:
            self._look = None

    def remembered(self, place: Place) -> Remembered:
        """See ``relay.ice.policy.Optimizer``."""
        known, now = self.snapshot(self.identity(place)), time.time()
        if known.network is None:
            return Remembered()
        udp = [belief(known, arm, now) for arm in sorted(UDP) if arm in known.network.ways]
        turn = belief(known, Arm.TURN, now)
        works = any(_works(one.rows, one.alpha, one.beta) for one in udp)
        fails = bool(udp) and all(one.rows >= KNOWN_WELL and one.mean < 0.5 for one in udp)
        needed = fails and turn.rows >= KNOWN_WELL and turn.mean > 0.5
        return Remembered(
            relay_rtt=relay_round_trip(known.network, now),
            needs_turn=needed,
            symmetric=maps_anew(known.network),
            udp_works=works,
            direct_works=direct_works(known, now),
        )

    def order(self, place: Place, families: tuple[int, ...], default: int) -> Order | None:
        """See ``relay.ice.policy.Optimizer``."""
        known = self.snapshot(self.identity(place))
        facts = Facts(tuple(FAMILIES[family] for family in families), FAMILIES[default])
        decision = decide(known, facts, time.time(), secrets.randbits(32))
        seen = tuple(
            Way(arm.value, one.rows, one.alpha, one.beta, one.median) for arm, one in decision.beliefs.items()
        )
        if not decision.learnt and not decision.explored:
            return Order((), ways=seen) if seen else None
        ways = {arm: family for family, arm in FAMILIES.items()}
        told, dropped, explored = (
            tuple(ways[arm] for arm in arms) for arms in (decision.order, decision.dropped, decision.explored)
        )
        return Order(told, dropped, explored, seen)

    def hashed(self, place: Place) -> str:
        """See ``relay.ice.policy.Optimizer``."""
        network = self.identity(place).network
        return network[:SHOWN].hex() if network is not None else ""

    def advice(self, place: Place) -> Reply:
        """What an app there should gather."""
        self.counts.advice += 1
        identity = self.identity(place)
        return advise(self.snapshot(identity), self._turn, time.time(), identity.site).reply()

    def advise(self, body: object) -> Reply:
        """The same for a question over HTTP, as JSON or decoded. Raises ``AdviceError``."""
        try:
            self._throttle.admit(time.monotonic())
            asked = parse_question(_decoded(body, AdviceError))
        except AdviceError as error:
            self.counts.advice_refused[str(error.status)] += 1
            raise
        agent = family_of(asked.user_agent)
        return self.advice(Place(asked.received_from, asked.network, agent, asked.sip_transport))

    # Told.

    def widened(self, leg: Leg, families: tuple[int, ...]) -> tuple[str, ...]:
        """A leg misses addresses of these families that it was not told: its network is open for a day.

        Returns the ways that they are.
        """
        self.counts.widened += 1
        missed = tuple(FAMILIES[family] for family in families)
        network = self.identity(leg.place).network
        if self.keeper is not None and network is not None:
            self.keeper.change(network, functools.partial(_widened, missed=missed, now=time.time()))
        return missed

    def leg_ended(self, call: Call, leg: Leg, reason: str, readings: Readings) -> Record | None:
        """Learn from a leg, which is still whole. Returns what is written down of it."""
        try:
            now = time.monotonic()
            identity = self.identity(leg.went_to or leg.place)
            known = record(call, leg, identity, reason, now, readings)
            self._count(known)
            self._count_medias(leg)
            if self.keeper is not None and call.answered_at is not None:
                self._claims.ended(call.call_id, leg.tag or "", identity, now)
            if self.keeper is not None and known.answered:
                self._learn(self.keeper, known, identity.site)
        except Exception:  # a fault of ours must not keep a call from ending
            log.exception("memory: no record of a leg of call-id=%s", call.call_id)
            return None
        return known

    def _learn(self, keeper: Keeper, known: Record, site: bytes) -> None:
        keeper.write_down(known)
        if not known.counts:
            return
        now = time.time()
        if known.network is not None:
            keeper.change(known.network, functools.partial(_learnt, known=known, now=now, site=site))
        common = msgspec.structs.replace(known, round_trip=None, maps_anew=None)  # those are of a place
        for key in (known.family, self._everyone):
            if key is not None:
                keeper.change(key, functools.partial(_learnt, known=common, now=now))

    def _count(self, known: Record) -> None:
        self.counts.records += known.answered
        self.counts.checks["in", "ok"] += known.checks_in
        self.counts.moves["moved"] += known.moves
        self.counts.consent_lost += known.consent_lost
        if known.unreached:
            self.counts.unreached[NO_CHECK if known.first_check is None else NO_ANSWER] += 1
        if known.chosen is not None and known.usable:
            labels = (known.mode, _transport(known.chosen), known.chosen.value)
            usable = self.counts.usable.setdefault(labels, Usable())
            seconds = known.usable.get(known.chosen, min(known.usable.values())) / 1000
            usable.buckets[bisect_left(BUCKETS, seconds)] += 1
            usable.seconds += seconds

    def _count_medias(self, leg: Leg) -> None:
        """What the record has no room for."""
        self.counts.candidates.update(candidates(leg))
        seen = [media.ice.seen for media in leg.medias if media.ice is not None]
        answered = sum(min(one.answered, one.checks_out) for one in seen)
        self.counts.checks["out", "answered"] += answered
        self.counts.checks["out", "unanswered"] += sum(one.checks_out for one in seen) - answered
        self.counts.checks["in", "refused"] += sum(one.refused for one in seen)
        self.counts.moves["unanswered"] += sum(one.moves_failed for one in seen)

    def feedback(self, body: object, find: Callable[[str], Call | None]) -> None:
        """What an app says of a leg, as JSON or decoded. ``find`` gives the call with an id.

        Raises ``FeedbackError``.
        """
        try:
            self._feedback(body, find)
        except FeedbackError as error:
            self.counts.feedback[str(error.status)] += 1
            raise
        self.counts.feedback["ok"] += 1

    def _feedback(self, body: object, find: Callable[[str], Call | None]) -> None:
        now = time.monotonic()
        self._claims.admit(now)
        said = parse(_decoded(body, FeedbackError))
        if self.keeper is None:
            return
        call = find(said.call_id)
        legs = (
            [leg for leg in call.legs.values() if leg.answered or call.answered] if call is not None else []
        )
        living = {leg.tag or "": self.identity(leg.place) for leg in legs}
        asked = self.identity(Place(network=said.network))
        tag, identity = self._claims.take(said, living, asked, now)
        report = said.report
        leg = next((leg for leg in legs if (leg.tag or "") == tag), None)
        if leg is not None:
            leg.said, leg.by_turn = report.said, report.ok and report.arm is Arm.TURN
            leg.went_to = went_to(leg, report)
        if leg is not None and leg.went_to is not None:
            identity = self.identity(leg.went_to)
        elif report.moved and report.cellular is not None:  # where to, nobody knows any more
            report = msgspec.structs.replace(report, cellular=not report.cellular)
        if identity.network is not None:
            change = functools.partial(_told, report=report, now=time.time())
            self.keeper.change(identity.network, change)

    # Commands.

    def execute(self, request: Request, find: Callable[[str], Call | None]) -> Reply:
        """One of ``COMMANDS``. Raises ``NgError``."""
        place = _place(request)
        if request.command == "advice":
            return {**self.advice(place), "result": "ok"}
        if request.command == "forget":
            return self._forget(place)
        if request.command == "memory":
            return self._memory(request.action)
        body = {**request.feedback, "call-id": request.call_id, "network": request.network}
        try:
            self.feedback(body, find)
        except FeedbackError as error:
            raise NgError(error.reason) from error
        return {"result": "ok"}

    def brought(self, request: Request, find: Callable[[str], Call | None]) -> str:
        """``ice-feedback`` of an offer, answer or delete: ``ok``, or why it was not used."""
        tag = request.to_tag if request.command == "answer" else request.from_tag
        body: dict[str, object] = {"call-id": request.call_id or "", **request.feedback}
        if "network" not in body:
            body.setdefault("tag", tag or "")
        try:
            self.feedback(body, find)
        except FeedbackError as error:
            return error.reason
        return "ok"

    def _forget(self, place: Place) -> Reply:
        if self._kept is None:
            raise NgError(NO_MEMORY)
        identity = self._identify(place)
        if identity.network is None:
            raise NgError(NO_NETWORK)
        self._kept.forget(identity.network)
        return {"result": "ok"}

    def _memory(self, action: str | None) -> Reply:
        """Whether it is on, after ``action``, if there is one."""
        if action is not None:
            self._act(action)
        return {"memory": "off" if self.keeper is None else "on", "result": "ok"}

    def _act(self, action: str) -> None:
        if self._kept is None:
            raise NgError(NO_MEMORY)
        if action in ("on", "off"):
            self.keeper = self._kept if action == "on" else None
        else:
            try:
                self._secret = (secret.renew if action == "rotate" else secret.read)(self._secret_file)
            except secret.SecretError as error:
                raise NgError(str(error)) from error
            self._everyone = everyone(self._secret)
        log.warning("memory: %s", SAID[action])


def _decoded(body: object, refused: type[AdviceError | FeedbackError]) -> object:
    """What came by HTTP is JSON yet."""
    if not isinstance(body, bytes):
        return body
    try:
        return msgspec.json.decode(body)
    except (ValueError, RecursionError) as error:
        raise refused("the body is not JSON", 400) from error


def _place(request: Request) -> Place:
    agent = family_of(request.user_agent)
    return Place(request.received_from, request.network, agent, request.sip_transport or "")


def _learnt(network: Network | None, known: Record, now: float, site: bytes = b"") -> Network:
    return learn(network, known, now, site)


def _widened(network: Network | None, missed: tuple[Arm, ...], now: float) -> Network:
    return widen(network or Network(at=now), missed, now)


def _transport(arm: Arm) -> str:
    """How the peer reached us, or its own TURN server, which may be either."""
    return "turn" if arm is Arm.TURN else "tcp" if arm in TCP else "udp"


def _told(network: Network | None, report: Report, now: float) -> Network:
    return told(network, report, now)


def _works(rows: int, alpha: float, beta: float) -> bool:
    return rows >= KNOWN_WELL and surely_above(0.5, alpha, beta)


def _backend(settings: Settings) -> Backend:
    retention = settings.memory_retention * DAY
    if "://" not in settings.memory:
        return SqliteStore(settings.memory, retention)
    from relay.store.redis import RedisStore  # redis-py is only needed, and only there, for this

    return RedisStore(settings.memory, retention)
