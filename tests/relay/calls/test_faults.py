"""A fault of ours in one call: the others do not notice, and this one can be ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import pytest

from relay.calls.commands import Outcome, execute
from relay.calls.registry import RETRY, UNTIMED, Times
from relay.calls.report import Readings, Traffic
from relay.calls.resources import KeysRefused
from relay.calls.state import Call
from relay.calls.timers import Timers
from relay.forward.plane import Reported
from relay.ice.agent import Agent
from relay.ng.errors import NO_PORTS, NO_REPORT, NgError
from relay.ng.request import parse
from relay.srtp.profiles import MasterKey, Profile
from tests.relay.calls.desk import ALICE, BOB, ICE, PLAIN, UNIX, Box, Desk, sdp

SDES = "crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + "A" * 40


def reported(rule: int) -> Reported:
    return Reported(rule, blocks=1, fraction=1, lost=0, jitter=5, round_trips=0, round_trip=0)


class Fault(Exception):
    """Ours."""


def fail(*_: Any) -> NoReturn:
    raise Fault


@dataclass
class Night:
    """Calls of which one has a fault; the faults are noted."""

    desk: Desk = field(default_factory=lambda: Desk(PLAIN[:1], Timers(timeout=60.0)))
    faults: list[tuple[str, Exception]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.desk.registry.on_fault = lambda call, error: self.faults.append((call.call_id, error))

    def call(self, call_id: str, **options: Any) -> Call:
        self.desk.offer(sdp(ALICE, 10000, *ICE), call_id=call_id, **options)
        self.desk.answer(sdp(BOB, 20000), call_id=call_id)
        return self.desk.registry.calls[call_id]

    def faulty(self) -> set[str]:
        return {call_id for call_id, _ in self.faults}

    def delete(
        self, call_id: str, options: Mapping[str, str] | None = None, readings: Readings | None = None
    ) -> Outcome:
        quiet = Readings(lambda rule: Traffic(), lambda monotonic: monotonic + UNIX)
        request = parse({"command": "delete", "call-id": call_id, "delete-delay": 0, **(options or {})})
        times = Times(self.desk.now, self.desk.now + UNIX)
        return execute(request, self.desk.registry, times, readings or quiet)


def agent_of(call: Call) -> Agent:
    ice = call.legs[1].medias[0].ice
    assert ice is not None
    assert ice.agent is not None
    return ice.agent


def lite(call_id: str, night: Night) -> Call:
    """A call that is due to repeat a check."""
    text = sdp(ALICE, 10000, *ICE).replace("m=audio", "a=ice-lite\r\nm=audio")
    night.desk.offer(text, call_id=call_id, ICE="force")
    return night.desk.registry.calls[call_id]


def test_checks_of_other_calls_go_out_although_one_call_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    night = Night()
    calls = [lite(name, night) for name in ("one", "two", "three")]
    monkeypatch.setattr(agent_of(calls[1]), "timeout", fail)
    night.desk.box.sent.clear()
    night.desk.now += 0.1
    night.desk.registry.check(night.desk.now)
    assert len(night.desk.box.sent) == 2
    assert night.faulty() == {"two"}
    assert night.desk.registry.faults == 1


def test_a_call_that_failed_is_tried_again_later_and_not_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    night = Night()
    call = lite("one", night)
    monkeypatch.setattr(agent_of(call), "timeout", fail)
    night.desk.now += 0.1
    night.desk.registry.check(night.desk.now)
    assert night.desk.registry.next_check() == night.desk.now + RETRY
    monkeypatch.undo()
    night.desk.box.sent.clear()
    night.desk.now += RETRY
    night.desk.registry.check(night.desk.now)
    assert len(night.desk.box.sent) == 1


def test_a_datagram_that_makes_us_fail_is_lost_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    night = Night()
    call = night.call("one")
    monkeypatch.setattr(agent_of(call), "received", fail)
    port = call.legs[1].medias[0].streams[0].path.port.handle
    rules = dict(night.desk.box.rules)
    night.desk.registry.stun(port, (ALICE, 1), b"\0\1\0\0", night.desk.now)
    assert night.faulty() == {"one"}
    assert night.desk.box.rules == rules
    night.delete("one")
    assert not night.desk.box.ports


def test_other_calls_end_in_time_although_nobody_can_tell_whether_one_is_over() -> None:
    night = Night()
    calls = [night.call(name) for name in ("one", "two", "three")]
    rules = {path.rule for leg in calls[1].legs.values() for path in leg.medias[0].streams[0].paths}

    def last_packet(rule: int) -> float:
        if rule in rules:
            raise Fault
        return 0.0

    ended = night.desk.registry.tick(night.desk.now + 61, last_packet)
    assert ended == [("one", "timeout"), ("two", UNTIMED), ("three", "timeout")]
    assert night.faulty() == {"two"}
    assert not night.desk.box.ports


def test_legs_are_removed_in_time_although_something_else_of_their_call_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    night = Night()
    one, two = night.call("one"), night.call("two")
    monkeypatch.setattr(agent_of(one), "alive", fail)
    path = one.legs[1].medias[0].streams[0].paths[0]
    path.sources = ((ALICE, 10000),)
    for call in (one, two):
        for leg in call.legs.values():
            leg.delete_at = night.desk.now
    ended = night.desk.registry.tick(night.desk.now, lambda rule: night.desk.now)
    assert ended == [("one", "deleted"), ("two", "deleted")]
    assert night.faulty() == {"one"}


@pytest.mark.parametrize("keys", [{}, {"from-tag": "A"}])
def test_a_delete_deletes_although_its_report_fails(keys: dict[str, str]) -> None:
    night = Night()
    night.call("one")
    reply = night.delete("one", keys, Readings(fail, lambda monotonic: monotonic + UNIX)).reply
    assert (reply["result"], reply["warning"]) == ("ok", NO_REPORT)
    assert reply["created"] == int(night.desk.now + UNIX)
    assert not night.desk.registry.calls
    assert not night.desk.box.ports
    assert night.faulty() == {"one"}


@pytest.mark.parametrize("keys", [{}, {"from-tag": "A"}])
@pytest.mark.parametrize("told", ["on_end", "on_over"])
def test_a_delete_deletes_although_its_record_fails(told: str, keys: dict[str, str]) -> None:
    night = Night()
    night.call("one")
    setattr(night.desk.registry, told, fail)
    reply = night.delete("one", keys).reply
    assert "tags" in reply
    assert not night.desk.registry.calls
    assert not night.desk.box.ports
    assert night.faulty() == {"one"}


@pytest.mark.parametrize("digits", [8, 309, 4301, 20_000])
@pytest.mark.parametrize("command", ["query", "delete"])
def test_a_clock_rate_of_thousands_of_digits_is_none(digits: int, command: str) -> None:
    desk = Desk(PLAIN[:1])
    desk.offer(sdp(ALICE, 10000, f"rtpmap:0 PCMU/{'9' * digits}"))
    desk.answer(sdp(BOB, 20000))
    readings = Readings(lambda rule: Traffic(), lambda at: at + UNIX, lambda rule: (reported(rule),))
    request = parse({"command": command, "call-id": "call", "delete-delay": 0})
    reply = execute(request, desk.registry, Times(desk.now, desk.now + UNIX), readings).reply
    scores = [entry["average MOS"] for entry in reply["SSRC"].values()]
    assert ["jitter" in score for score in scores] == [False, False, True, True]
    assert "warning" not in reply


@dataclass
class Full(Box):
    """Has no place for another pair of keys, once it is ``full``."""

    full: bool = False
    exhausted: bool = True

    def open_keys(
        self, profile: Profile, receive: MasterKey, send: MasterKey, after: int | None = None
    ) -> int:
        if self.full:
            raise KeysRefused("no place for another pair of keys", self.exhausted)
        return super().open_keys(profile, receive, send, after)


@pytest.mark.parametrize(
    ("exhausted", "reason"), [(True, NO_PORTS), (False, "no place for another pair of keys")]
)
def test_a_proxy_hears_that_there_is_no_place_for_keys(exhausted: bool, reason: str) -> None:
    desk = Desk(PLAIN[:1])
    box = desk.box = desk.registry.resources = Full(exhausted=exhausted)
    desk.offer(sdp(ALICE, 10000, SDES, protocol="RTP/SAVP"), transport_protocol="RTP/AVP")
    box.full = True
    ports, rules = set(box.ports), dict(box.rules)
    with pytest.raises(NgError) as refused:
        desk.answer(sdp(BOB))
    assert refused.value.reason == reason
    assert (set(box.ports), box.rules) == (ports, rules)
    box.full = False
    desk.answer(sdp(BOB))
    assert box.keys
