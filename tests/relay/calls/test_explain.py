"""What ``query`` says of ICE, and the line for the log."""

from __future__ import annotations

from typing import Any

import pytest

from relay.calls.explain import candidates, story, without_ice
from relay.calls.outcome import record
from relay.calls.report import Readings, Traffic
from relay.calls.sightings import Sightings
from relay.calls.state import Call, Leg
from relay.ice import stun
from relay.ice.outputs import Path as IcePath
from relay.ice.outputs import Send
from relay.ice.policy import Optimizer, Order, Place, Way
from relay.memory.identity import NOWHERE
from relay.memory.record import Record
from sdp.ice import candidate_values
from tests.relay.calls.desk import ALICE, BOB, ICE, PLAIN, RELAY, RELAY6, UNIX, Desk, sdp
from tests.relay.calls.test_ice import ALICE_KEYS, BOB_ICE, BOB_KEYS, NAT, WITH_ICE, Phone
from tests.relay.calls.test_optimize import assisted

WAYS = (Way("v6", 12, 0.5, 12.5, None), Way("u", 40, 39.5, 0.5, 180.0))
MOVED = ("198.51.100.7", 7000)


def legs(desk: Desk) -> dict[str, Any]:
    found: dict[str, Any] = desk.command("query", call_id="call").reply["tags"]
    return found


def ice(desk: Desk, tag: str, media: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = legs(desk)[tag]["medias"][media]["ICE"]
    return found


def talk(desk: Desk, mode: str = "optimize") -> Phone:
    """Alice checks the relay a quarter of a second after the answer."""
    desk.offer(WITH_ICE, ICE=mode, network_legs="home,office")
    desk.now += 20.0
    answer = desk.answer(sdp(BOB, 20000, *BOB_ICE))
    desk.now += 0.25
    alice = Phone(desk, NAT, ALICE_KEYS, True, answer)
    alice.check()
    return alice


def test_a_leg_that_checked_says_when_where_and_what_came_of_it() -> None:
    desk = Desk(PLAIN[:1])
    alice = talk(desk)
    found = ice(desk, "A")
    port = legs(desk)["A"]["medias"][0]["streams"][0]["local port"]
    assert found["pairs"] == [
        {
            "local": f"{RELAY}:{port}",
            "remote": f"{NAT[0]}:{NAT[1]}",
            "type": "prflx",
            "way": "u",
            "state": "selected",
        }
    ]
    assert (found["first check"], found["usable"], found["way"]) == (250, 250, "u")
    assert (found["moves"], found["moves failed"], found["consent lost"]) == (0, 0, 0)
    assert found["checks in"] >= 1
    assert found["checks answered"] == found["checks out"] >= 1
    assert found["checks refused"] == 0
    desk.registry.stun(alice.port, NAT, b"\x00\x01" + bytes(30), desk.now)
    assert ice(desk, "A")["checks refused"] == 1


def test_a_leg_that_never_checked_has_no_times() -> None:
    desk = Desk(PLAIN[:1])
    talk(desk)
    found = ice(desk, "B")
    assert found["pairs"] == []
    assert not {"first check", "usable", "way"} & found.keys()
    assert (found["checks in"], found["moves"]) == (0, 0)


def test_what_came_before_the_answer_took_no_time_and_without_an_answer_there_are_no_times() -> None:
    desk = Desk(PLAIN[:1])
    offer = desk.offer(WITH_ICE, ICE="force")
    bob = Phone(desk, (BOB, 20000), BOB_KEYS, False, offer)
    bob.check()
    ringing = list(legs(desk).values())[1]["medias"][0]["ICE"]
    assert "first check" not in ringing
    assert len(ringing["pairs"]) == 1
    desk.now += 20.0
    desk.answer(sdp(BOB, 20000, *BOB_ICE))
    assert ice(desk, "B")["first check"] == 0


def test_a_move_is_told_and_so_is_one_that_came_to_nothing() -> None:
    desk = Desk(PLAIN[:1])
    alice = talk(desk)
    desk.now += 2.0
    Phone(desk, MOVED, ALICE_KEYS, True, alice.relay).check()
    desk.now += 2.0
    elsewhere = Phone(desk, ("198.51.100.8", 8000), ALICE_KEYS, True, alice.relay)
    here = IcePath(0, (RELAY, desk.box.ports[alice.port].number))
    (request,) = elsewhere.agent.check(here, desk.now)
    assert isinstance(request, Send)
    desk.registry.stun(alice.port, elsewhere.at, request.datagram, desk.now)
    found = ice(desk, "A")
    assert (found["moves"], found["moves failed"]) == (1, 1)
    states = {pair["remote"]: pair["state"] for pair in found["pairs"]}
    assert states[f"{MOVED[0]}:{MOVED[1]}"] == "selected"
    assert states["198.51.100.8:8000"] == "heard"


def test_only_a_place_that_shows_itself_after_the_first_path_counts_as_a_move() -> None:
    seen, at = Sightings(), (IcePath(0, MOVED), IcePath(0, NAT), IcePath(0, (BOB, 1)))
    seen.check_came(at[0], 1.0)
    seen.check_came(at[1], 1.0)
    seen.is_selected(at[1], 1.5)
    assert seen.moves_failed == 0
    seen.check_came(at[2], 2.0)
    assert (seen.moves, seen.moves_failed) == (0, 1)
    seen.is_selected(at[2], 2.5)
    assert (seen.moves, seen.moves_failed) == (1, 0)


def test_a_check_between_phones_that_waits_for_its_answer_lets_no_media_flow_yet() -> None:
    desk, check = assisted()
    check(True)
    check(False)
    desk.now += 0.25
    assert not {"usable", "way"} & {*ice(desk, "A"), *ice(desk, "B")}
    waiting = record_of(desk, "A")
    assert (waiting.usable, waiting.seen, waiting.failed) == ({}, (), ())
    ((port, remote, request),) = [one for one in desk.box.sent if one[1] == (BOB, 2)]
    reply = stun.success(stun.parse(request), (RELAY, desk.box.ports[port].number), BOB_KEYS.key)
    desk.registry.stun(port, remote, reply, desk.now)
    assert [ice(desk, tag)["usable"] for tag in ("A", "B")] == [250, 250]
    assert [ice(desk, tag)["first check"] for tag in ("A", "B")] == [0, 0]


def record_of(desk: Desk, tag: str) -> Record:
    call = desk.registry.calls["call"]
    leg = call.leg_of(tag)
    assert leg is not None
    readings = Readings(lambda rule: Traffic(rtp_packets=100), lambda monotonic: monotonic + UNIX)
    return record(call, leg, NOWHERE, "delete", desk.now + 60, readings)


def test_checks_that_pass_between_phones_are_counted_on_both_legs() -> None:
    desk, check = assisted()
    check(True)
    check(False)
    counts = {tag: (ice(desk, tag)["checks in"], ice(desk, tag)["checks out"]) for tag in ("A", "B")}
    assert counts == {"A": (1, 1), "B": (1, 1)}


@pytest.mark.parametrize(
    ("mode", "caller", "callee"),
    [
        ("optimize", ("relay", "default"), ("relay", "default")),
        ("force", ("relay", "force"), ("relay", "force")),
        ("default", ("relay", "as-offered"), ("relay", "as-offered")),
        ("optional", ("passed", "optional"), ("passed", "optional")),
        ("force-relay", ("passed", "force-relay"), ("passed", "force-relay")),
        ("remove", ("relay", "as-offered"), None),
    ],
)
def test_every_leg_with_ice_has_its_mode_and_why(
    mode: str, caller: tuple[str, str], callee: tuple[str, str] | None
) -> None:
    desk = Desk(PLAIN[:1])
    desk.offer(WITH_ICE, ICE=mode)
    desk.answer(sdp(BOB, 20000, *(BOB_ICE if callee else ())))
    found = {tag: leg["medias"][0].get("ICE", {}) for tag, leg in legs(desk).items()}
    assert (found["A"]["mode"], found["A"]["why"]) == caller
    assert (found["B"]["mode"], found["B"]["why"]) == callee if callee else found["B"] == {}


def test_a_caller_that_was_forced_is_not_said_to_have_been_asked_for_nothing() -> None:
    desk = Desk(PLAIN[:1])
    desk.offer(WITH_ICE, ICE="force")
    desk.answer(sdp(BOB, 20000))
    assert (ice(desk, "A")["mode"], ice(desk, "A")["why"]) == ("relay", "force")


HOST, TURN = (
    "1 1 udp 2130706431 10.0.0.5 40000 typ host",
    "2 1 udp 41885439 198.51.100.30 5000 typ relay raddr 10.0.0.5 rport 40000",
)


@pytest.mark.parametrize(
    ("mode", "wanted"),
    [
        (
            "force",
            ["kept relay-inserted", "kept relay-inserted", "dropped host-useless", "dropped relay-replaced"],
        ),
        (
            "default",
            ["kept relay-inserted", "kept relay-inserted", "dropped host-useless", "dropped relay-replaced"],
        ),
        ("optional", ["kept direct-kept", "kept direct-kept", "kept relay-inserted", "kept relay-inserted"]),
        (
            "force-relay",
            ["kept direct-kept", "kept relay-inserted", "kept relay-inserted", "dropped relay-replaced"],
        ),
    ],
)
def test_other_values_of_ice_have_their_candidates_and_reasons_as_well(mode: str, wanted: list[str]) -> None:
    desk = Desk(PLAIN[:1])
    told = desk.offer(sdp(ALICE, 10000, *ICE[:2], f"candidate:{HOST}", f"candidate:{TURN}"), ICE=mode)
    desk.answer(sdp(BOB, 20000, *BOB_ICE))
    found = ice(desk, "B")["candidates"]
    assert [f"{one['action']} {one['reason']}" for one in found] == wanted
    kept = [one["candidate"] for one in found if one["action"] == "kept"]
    assert sorted(kept) == sorted(candidate_values(told.medias[0]))
    assert ice(desk, "B")["dropped"] == 4 - len(kept)


def test_the_network_is_the_beginning_of_a_hash_and_the_id_is_nowhere() -> None:
    desk = Desk(PLAIN[:1])
    names = {"home": "0a1b2c3d", "office": ""}
    desk.registry.optimizer = Optimizer(hashed=lambda place: names[place.network or ""])
    talk(desk)
    found = legs(desk)
    assert found["A"]["network"] == "0a1b2c3d"
    assert "network" not in found["B"]
    assert "home" not in str(found)


def test_the_ways_that_a_decision_saw_are_told_with_their_bounds() -> None:
    desk = Desk()
    order = Order((4,), dropped=(6,), ways=WAYS)
    desk.registry.optimizer = Optimizer(order=lambda place, families, default: order)
    talk(desk)
    found = ice(desk, "B")
    assert found["ways"] == [
        {"way": "v6", "n": 12, "p": "0.038", "lower": "0.000", "upper": "0.145"},
        {"way": "u", "n": 40, "p": "0.988", "lower": "0.952", "upper": "1.000", "t50": 180},
    ]
    assert (found["left out"], found["explored"]) == (["v6"], [])


def test_knowing_a_network_without_a_reason_to_change_anything_leaves_the_usual_order() -> None:
    desk = Desk()
    desk.registry.optimizer = Optimizer(order=lambda place, families, default: Order((), ways=WAYS[1:]))
    talk(desk)
    found = ice(desk, "B")
    told = [one["candidate"].split()[4] for one in found["candidates"] if one["action"] == "kept"]
    assert list(dict.fromkeys(told)) == [RELAY6, RELAY]
    assert [one["way"] for one in found["ways"]] == ["u"]


def test_in_a_bundle_the_leader_has_the_candidates_of_both() -> None:
    desk = Desk(PLAIN[:1])
    lines = [f"a={line}\r\n" for line in ("rtcp-mux", "mid:v", *WITH_ICE_LINES)]
    video = "m=video 10000 RTP/AVP 96\r\n" + "".join(lines)
    audio = WITH_ICE + "a=rtcp-mux\r\na=mid:a\r\n"
    offer = audio.replace("t=0 0\r\n", "t=0 0\r\na=group:BUNDLE a v\r\n") + video
    desk.offer(offer, ICE="optimize")
    callee = "".join(f"a={line}\r\n" for line in ("rtcp-mux", *BOB_ICE))
    answer = sdp(BOB, 20000) + callee + "m=video 20002 RTP/AVP 96\r\n" + callee + callee.splitlines(True)[-1]
    ours = desk.answer(answer)
    assert ours.medias[0].port == ours.medias[1].port
    assert [len(candidate_values(media)) for media in ours.medias] == [1, 0]
    leader = ice(desk, "A")
    assert [one["reason"] for one in leader["candidates"]] == ["relay-inserted", "host-useless"]
    assert ice(desk, "A", 1) == {"mode": "relay", "why": "default", "dropped": 0, "candidates": []}


WITH_ICE_LINES = ("ice-ufrag:abcd", "ice-pwd:abcdefghijklmnopqrstuv")


def test_a_delete_does_not_explain() -> None:
    desk = Desk(PLAIN[:1])
    talk(desk)
    reply = desk.command("delete", call_id="call", delete_delay=0).reply
    assert "ICE" not in reply["tags"]["A"]["medias"][0]


def test_a_report_can_do_without_the_explanation() -> None:
    desk = Desk(PLAIN[:1])
    talk(desk)
    report = desk.command("query", call_id="call").reply
    shorter = without_ice(report)
    assert "ICE" in report["tags"]["A"]["medias"][0]
    assert "ICE" not in shorter["tags"]["A"]["medias"][0]
    assert shorter["tags"]["A"]["medias"][0]["streams"] == report["tags"]["A"]["medias"][0]["streams"]


class Told:
    """The lines of a desk's legs, and its candidates by action and reason."""

    def __init__(self, desk: Desk) -> None:
        self.lines: dict[str | None, str] = {}
        self.over: list[str] = []
        self.candidates: dict[tuple[str, str], int] = {}
        self._desk = desk
        desk.registry.on_end = self._ended
        desk.registry.on_over = lambda call: self.over.append(call.call_id)

    def _ended(self, call: Call, leg: Leg, reason: str) -> None:
        readings = Readings(lambda rule: Traffic(rtp_packets=100), lambda monotonic: monotonic + UNIX)
        self.lines[leg.tag] = story(leg, record(call, leg, NOWHERE, reason, self._desk.now, readings))
        for key, count in candidates(leg).items():
            self.candidates[key] = self.candidates.get(key, 0) + count


def test_the_line_of_a_leg_says_how_ice_went_without_an_address_or_network() -> None:
    desk = Desk(PLAIN[:1])
    told = Told(desk)
    talk(desk)
    desk.command("delete", call_id="call", delete_delay=0)
    assert told.lines == {
        "A": "mode=relay why=default ways=u left-out=none widened=no first-check=250ms usable=250ms way=u"
        " moves=0 own=2 kept=0 dropped=1",
        "B": "mode=relay why=default ways=u left-out=none widened=no first-check=never usable=never way=none"
        " moves=0 own=2 kept=0 dropped=1",
    }
    assert told.over == ["call"]
    assert told.candidates == {("dropped", "host-useless"): 2, ("kept", "relay-inserted"): 4}


def test_a_leg_without_ice_or_answer_has_no_line_and_a_call_is_over_once_however_it_ends() -> None:
    for ending in ("delete", "branch", "timeout", "shutdown"):
        desk = Desk(PLAIN[:1])
        told = Told(desk)
        desk.offer(WITH_ICE if ending == "timeout" else sdp(ALICE), ICE="remove")
        if ending != "timeout":
            desk.answer(sdp(BOB, 20000))
        if ending == "delete":
            desk.command("delete", call_id="call", delete_delay=0)
        elif ending == "branch":
            desk.command("delete", call_id="call", from_tag="A", delete_delay=0)
        elif ending == "timeout":
            desk.tick(10_000.0)
        else:
            desk.registry.end_all()
        assert set(told.lines.values()) == {""}, ending
        assert told.over == ["call"], ending


def test_a_place_is_hashed_by_whoever_keeps_the_memory() -> None:
    asked: list[Place] = []

    def hashed(place: Place) -> str:
        asked.append(place)
        return ""

    desk = Desk(PLAIN[:1])
    desk.registry.optimizer = Optimizer(hashed=hashed)
    talk(desk)
    legs(desk)
    assert [place.network for place in asked] == ["home", "office"]
