"""What apps say of their calls: who may say it, how often, and what it means.

The body is a dictionary: ``call-id``, and ``tag`` or ``network``, name the leg;
``ok`` is what everything is about, ``kind`` says which way it was, ``wifi/cell`` what network, or that the
phone went from one to the other. ``ms``, ``lost`` and ``rtt`` are the app's own figures: they are written
down, and decide nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from relay.memory.arms import Arm
from relay.memory.identity import Identity
from relay.memory.knowledge import Report
from relay.memory.record import MAX_MS, Said

LARGEST = 2048
"""Bytes of a body."""
PATIENCE = 120.0
"""Seconds after its end in which a leg may still be spoken of."""
REMEMBERED = 20_000
"""Calls that ended, and legs that were spoken of."""
RATE = 50.0
"""Reports per second that are listened to, from all apps together."""
BURST = 100.0

KINDS = {
    **{arm.value: arm for arm in Arm},
    "udp": Arm.U,
    "udp443": Arm.U443,
    "tcp443": Arm.T443,
    "relay": Arm.TURN,
    "host": Arm.DIRECT_HOST,
    "srflx": Arm.DIRECT_SRFLX,
}
"""Words of ``kind``."""
ACCESS = {
    "wifi": (False, False),
    "cell": (True, False),
    "wifi->cell": (True, True),
    "cell->wifi": (False, True),
}
"""Words of ``wifi/cell``: whether it is a mobile network, and whether the phone came there in mid-call."""
YES = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


class FeedbackError(ValueError):
    """Not used. ``status`` is the HTTP status that says so."""

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


@dataclass(frozen=True, slots=True)
class Feedback:
    """One report, as far as it is understood."""

    call_id: str
    tag: str | None
    network: str | None
    report: Report


def parse(body: object) -> Feedback:
    """Raises ``FeedbackError`` that names what to change. Keys that are not known are passed over."""
    if not isinstance(body, Mapping):
        raise FeedbackError("feedback is a dictionary", 400)
    call_id, tag, network = (_text(body, name) for name in ("call-id", "tag", "network"))
    if not call_id or (tag is None and network is None):
        raise FeedbackError("say which leg: call-id, and tag or network", 400)
    told = body.get("ok")
    ok = YES.get(told.lower()) if isinstance(told, str) else bool(told) if told in (0, 1) else None
    if ok is None:
        raise FeedbackError("say ok: yes or no", 400)
    kind = _text(body, "kind")
    if kind is not None and kind not in KINDS:
        raise FeedbackError(f"kind is one of {', '.join(sorted(KINDS))}", 400)
    access = _text(body, "wifi/cell")
    if access is not None and access not in ACCESS:
        raise FeedbackError(f"wifi/cell is one of {', '.join(ACCESS)}", 400)
    cellular, moved = ACCESS[access] if access is not None else (None, False)
    said = Said(
        ok=ok,
        ms=_number(body, "ms", MAX_MS),
        lost=_number(body, "lost", 100, 10),
        round_trip=_number(body, "rtt", MAX_MS),
    )
    report = Report(
        ok=ok, arm=KINDS[kind] if kind is not None else None, cellular=cellular, moved=moved, said=said
    )
    return Feedback(call_id, tag, network, report)


def _number(body: Mapping[object, object], name: str, most: int, times: int = 1) -> int | None:
    """A number from 0 to ``most``, or the text of one; ``times`` as much of it, whole."""
    value = body.get(name)
    if value is None:
        return None
    try:
        found = float(value) if isinstance(value, str | int | float) else -1.0
    except (ValueError, OverflowError):
        found = -1.0
    if not 0 <= found <= most:
        raise FeedbackError(f"{name} is a number from 0 to {most}", 400)
    return round(found * times)


def _text(body: Mapping[object, object], name: str) -> str | None:
    value = body.get(name)
    if value is None or isinstance(value, str):
        return value
    raise FeedbackError(f"{name} is a string", 400)


@dataclass(slots=True)
class Claims:
    """Which legs may still be spoken of. ``now`` is monotonic seconds."""

    _ended: OrderedDict[str, dict[str, tuple[Identity, float]]] = field(default_factory=OrderedDict)
    _spoken: OrderedDict[tuple[str, str], None] = field(default_factory=OrderedDict)
    _room: float = BURST
    _at: float = 0.0

    def ended(self, call_id: str, tag: str, identity: Identity, now: float) -> None:
        """The leg is no more, but its app may still speak."""
        self._ended.setdefault(call_id, {})[tag] = identity, now + PATIENCE
        while len(self._ended) > REMEMBERED:
            self._ended.popitem(last=False)

    def admit(self, now: float) -> None:
        """One report more. Raises ``FeedbackError`` where there are too many."""
        self._room = min(BURST, self._room + max(0.0, now - self._at) * RATE)
        self._at = now
        if self._room < 1.0:
            raise FeedbackError("too much feedback, try again later", 429)
        self._room -= 1.0

    def take(
        self, feedback: Feedback, living: Mapping[str, Identity], asked: Identity, now: float
    ) -> tuple[str, Identity]:
        """The tag and the network of the leg that is spoken of.

        ``living`` are the legs of the call that is there, by tag; ``asked`` is what
        ``feedback.network`` stands for.

        Raises ``FeedbackError``: no such leg, or it was spoken of before.
        """
        ended = self._ended.get(feedback.call_id, {})
        legs = {tag: identity for tag, (identity, until) in ended.items() if now < until} | dict(living)
        for tag, identity in legs.items():
            if tag == feedback.tag or (feedback.tag is None and _same(identity, asked)):
                self._once(feedback.call_id, tag)
                return tag, identity
        raise FeedbackError("no such leg, or it ended too long ago", 404)

    def _once(self, call_id: str, tag: str) -> None:
        if (call_id, tag) in self._spoken:
            raise FeedbackError("this leg was spoken of already", 409)
        self._spoken[call_id, tag] = None
        while len(self._spoken) > REMEMBERED:
            self._spoken.popitem(last=False)


def _same(one: Identity, other: Identity) -> bool:
    return one.network is not None and one.network == other.network
