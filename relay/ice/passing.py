"""STUN between two agents that use the relay as a candidate (end-to-end mode).

The relay forwards checks from one side to the other without answering them. It
knows both passwords from the SDP, so it forwards only what the receiver will
believe: requests that are signed with the receiver's password, and signed
responses to them. Nobody else's packets reach anyone.

The first checks of one side come before the relay has heard from the other and
knows where to send them. The last few are parked, and delivered the moment the
other side shows itself.

One ``Passer`` serves one component: one port towards each side.
"""

from __future__ import annotations

import enum
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TypeAlias

from relay.ice import stun
from relay.ice.agent import MAX_PATHS
from relay.ice.credentials import Credentials
from relay.ice.outputs import Path, Refused
from relay.ice.round_trip import RoundTrip
from relay.ice.stun import Class, Message, StunError

PARKED = 3
"""Requests kept per side: an agent repeats its checks, older ones add nothing."""
PARKING_TIME = 2.0
"""Seconds. After that the agent has sent newer ones."""
MAX_TRANSACTIONS = 256
"""Requests whose answer is awaited, per side that is to answer."""
TRANSACTION_TIME = 10.0
"""Seconds until nobody waits for the answer any more: agents repeat a check for some seconds."""


class Side(enum.IntEnum):
    """Who is meant: the party that made the offer, or the one that answered."""

    OFFERER = 0
    ANSWERER = 1

    @property
    def other(self) -> Side:
        return Side(1 - self)


@dataclass(frozen=True, slots=True)
class Forward:
    """Output: send this to ``side``, on ``path``, which is one of that side."""

    side: Side
    path: Path
    datagram: bytes


@dataclass(frozen=True, slots=True)
class Validated:
    """Output, once per path: ``side`` showed here that it knows the passwords."""

    side: Side
    path: Path


@dataclass(frozen=True, slots=True)
class Nominated:
    """Output: ``side`` is to be sent media here: a check with USE-CANDIDATE was answered between the two."""

    side: Side
    path: Path


Output: TypeAlias = Forward | Validated | Nominated | Refused


@dataclass(frozen=True, slots=True)
class _Request:
    """A verified request that waits to be sent on, or for its answer."""

    origin: Path
    datagram: bytes
    since: float
    towards: Path | None = None
    nominates: bool = False
    """It has USE-CANDIDATE."""
    once: bool = True
    """It was sent on once only, so that its answer tells the round trip."""


@dataclass(slots=True)
class _End:
    """What is known of one side."""

    credentials: Credentials | None = None
    paths: OrderedDict[Path, None] = field(default_factory=OrderedDict)
    """Where it was heard from; the last one is where it is reached."""
    answered: set[Path] = field(default_factory=set)
    """Of these paths, those from which a request that was sent there was answered."""
    parked: OrderedDict[bytes, _Request] = field(default_factory=OrderedDict)
    """Its requests that could not be delivered yet, by transaction."""
    awaited: OrderedDict[bytes, _Request] = field(default_factory=OrderedDict)
    """Requests that were sent to it, by transaction."""
    trip: RoundTrip = field(default_factory=RoundTrip)
    """Between it and us."""


class Passer:
    """Forwards what verifies, between the two sides of one component."""

    def __init__(self, offerer: Credentials | None = None, answerer: Credentials | None = None) -> None:
        self._ends = (_End(offerer), _End(answerer))

    def set_credentials(self, offerer: Credentials | None, answerer: Credentials | None) -> None:
        """The SDP of the sides said so."""
        for end, credentials in zip(self._ends, (offerer, answerer), strict=True):
            end.credentials = credentials

    def turn_round(self) -> None:
        """Who answered before makes the offers from now on."""
        self._ends = self._ends[::-1]

    def validated(self, side: Side) -> tuple[Path, ...]:
        """Where media of ``side`` may come from, at most ``MAX_PATHS``; the last one is the newest."""
        return tuple(self._ends[side].paths)

    def has_answered(self, side: Side, path: Path) -> bool:
        """A check was answered from there, so whoever was there is reached there."""
        return path in self._ends[side].answered

    def round_trip(self, side: Side) -> float | None:
        """Seconds from us to ``side`` and back; None: no check that was passed on was answered."""
        return self._ends[side].trip.seconds

    def received(self, side: Side, path: Path, datagram: bytes, now: float) -> list[Output]:
        """``side`` sent something that looks like STUN. Never raises."""
        try:
            message = stun.parse(datagram)
        except StunError as error:
            return [Refused(error.reason)]
        match message.type:
            case Class.REQUEST:
                return self._request(side, path, message, datagram, now)
            case Class.INDICATION:
                return []
            case _:
                return self._response(side, path, message, datagram, now)

    def _request(self, side: Side, path: Path, message: Message, datagram: bytes, now: float) -> list[Output]:
        sender, receiver = self._ends[side], self._ends[side.other]
        if not _is_between(message, sender.credentials, receiver.credentials):
            return [Refused("integrity")]
        output = self._heard(side, path, now)
        request = _Request(path, datagram, now, nominates="USE-CANDIDATE" in message.attributes)
        if receiver.paths:
            output.append(self._deliver(side.other, message.transaction, request, now))
        else:
            sender.parked.pop(message.transaction, None)
            sender.parked[message.transaction] = request
            _shrink(sender.parked, PARKED)
        return output

    def _response(
        self, side: Side, path: Path, message: Message, datagram: bytes, now: float
    ) -> list[Output]:
        end = self._ends[side]
        request = end.awaited.get(message.transaction)
        if request is None or request.towards != path or now - request.since > TRANSACTION_TIME:
            return [Refused("unknown transaction")]
        if end.credentials is None or not message.is_signed_with(end.credentials.key):
            return [Refused("integrity")]
        if request.once:
            end.trip.took(now - request.since)
        output = [*self._heard(side, path, now), Forward(side.other, request.origin, datagram)]
        end.answered.add(path)
        if request.nominates and message.type is Class.SUCCESS:
            output += [Nominated(side, path), Nominated(side.other, request.origin)]
        return output

    def _heard(self, side: Side, path: Path, now: float) -> list[Output]:
        """Something of ``side`` verified: what was parked for it can go."""
        end, far = self._ends[side], self._ends[side.other]
        output: list[Output] = [] if path in end.paths else [Validated(side, path)]
        end.paths[path] = None
        end.paths.move_to_end(path)
        _shrink(end.paths, MAX_PATHS)
        end.answered &= end.paths.keys()
        for transaction, request in far.parked.items():
            if now - request.since <= PARKING_TIME:
                output.append(self._deliver(side, transaction, request, now))
        far.parked.clear()
        return output

    def _deliver(self, side: Side, transaction: bytes, request: _Request, now: float) -> Forward:
        end = self._ends[side]
        path = next(reversed(end.paths))
        again = end.awaited.pop(transaction, None) is not None
        end.awaited[transaction] = _Request(request.origin, b"", now, path, request.nominates, not again)
        _shrink(end.awaited, MAX_TRANSACTIONS)
        return Forward(side, path, request.datagram)


def _is_between(message: Message, sender: Credentials | None, receiver: Credentials | None) -> bool:
    """Whether the receiver will believe this request. The sender's own ufrag may not be known yet."""
    username = message.username
    if receiver is None or username is None or username[0] != receiver.ufrag:
        return False
    if sender is not None and username[1] != sender.ufrag:
        return False
    return message.is_signed_with(receiver.key)


def _shrink(queue: OrderedDict[Path, None] | OrderedDict[bytes, _Request], size: int) -> None:
    while len(queue) > size:
        queue.popitem(last=False)
