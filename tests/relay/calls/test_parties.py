from __future__ import annotations

import pytest

from relay.calls.state import Leg
from relay.ng.errors import BAD_ASSOCIATION, NgError
from tests.relay.calls.desk import BOB, CAROL, ICE, RELAY, Desk, sdp, told


def legs(desk: Desk) -> dict[str | None, Leg]:
    return {leg.tag: leg for leg in desk.registry.calls["call"].legs.values()}


def test_a_first_offer_makes_the_caller_and_a_party_without_a_tag() -> None:
    desk = Desk()
    desk.offer(sdp())
    assert set(legs(desk)) == {"A", None}


def test_the_first_answer_gives_the_untagged_party_its_tag() -> None:
    desk = Desk()
    desk.offer(sdp())
    desk.answer(sdp(BOB), "B")
    assert set(legs(desk)) == {"A", "B"}


def test_an_offer_repeated_without_a_to_tag_is_an_offer_to_the_same_party() -> None:
    desk = Desk()
    first = desk.offer(sdp())
    assert str(desk.offer(sdp())) == str(first)
    desk.answer(sdp(BOB), "B")
    assert str(desk.offer(sdp())) == str(first)
    assert set(legs(desk)) == {"A", "B"}


def test_each_via_branch_is_a_party_with_ports_of_its_own_behind_one_port_of_the_caller() -> None:
    desk = Desk()
    offers = [desk.offer(sdp(), via_branch=branch) for branch in ("b1", "b2", "b3")]
    assert len({told(offer) for offer in offers}) == 3
    second = desk.answer(sdp(BOB), "B2", via_branch="b2")
    first = desk.answer(sdp(CAROL), "B1", via_branch="b1")
    assert told(first) == told(second)
    assert legs(desk)["B1"].via_branch == "b1"
    assert legs(desk)["B2"].via_branch == "b2"


def test_a_branch_offered_to_again_keeps_its_ports() -> None:
    desk = Desk()
    first = desk.offer(sdp(), via_branch="b1")
    desk.offer(sdp(), via_branch="b2")
    assert told(desk.offer(sdp(), via_branch="b1")) == told(first)


def test_the_branch_that_answered_last_hears_the_caller() -> None:
    desk = Desk()
    ports = {branch: told(desk.offer(sdp(), via_branch=branch))[1] for branch in ("b1", "b2")}
    caller = told(desk.answer(sdp(BOB), "B1", via_branch="b1"))[1]
    assert desk.box.number_of(desk.box.rule_at(caller).rtp[0]) == ports["b1"]
    desk.answer(sdp(CAROL), "B2", via_branch="b2")
    assert desk.box.number_of(desk.box.rule_at(caller).rtp[0]) == ports["b2"]
    desk.answer(sdp(BOB), "B1", via_branch="b1")
    assert desk.box.number_of(desk.box.rule_at(caller).rtp[0]) == ports["b1"]


def test_all_branches_are_heard_by_the_caller() -> None:
    desk = Desk()
    ports = [told(desk.offer(sdp(), via_branch=branch))[1] for branch in ("b1", "b2")]
    desk.answer(sdp(BOB), "B1", via_branch="b1")
    caller = told(desk.answer(sdp(CAROL), "B2", via_branch="b2"))[1]
    for port in ports:
        (heard_by,) = desk.box.rule_at(port).rtp
        assert desk.box.number_of(heard_by) == caller


def test_phones_that_were_told_the_same_port_share_it_with_a_rule_for_each() -> None:
    desk = Desk()
    shared = told(desk.offer(sdp()))[1]
    desk.answer(sdp(BOB, 20000), "B1")
    caller = told(desk.answer(sdp(CAROL, 30000), "B2"))[1]
    rules = desk.box.rules_at(shared)
    assert {rule.remote for rule in rules} == {(BOB, 20000), (CAROL, 30000)}
    (hears,) = desk.box.rule_at(caller).rtp
    assert desk.box.rules[hears].remote == (CAROL, 30000)
    assert desk.box.number_of(hears) == shared


def test_any_number_of_phones_share_the_port_they_were_told() -> None:
    desk = Desk()
    shared = told(desk.offer(sdp()))[1]
    for number in range(1, 6):
        desk.answer(sdp(BOB, 20000 + 2 * number), f"B{number}")
    assert {rule.remote for rule in desk.box.rules_at(shared)} == {
        (BOB, 20000 + 2 * number) for number in range(1, 6)
    }


def test_phones_that_answer_by_an_offer_of_their_own_share_the_port_as_well() -> None:
    desk = Desk()
    shared = told(desk.offer(sdp()))[1]
    desk.offer(sdp(BOB, 20000), from_tag="B1", to_tag="A")
    caller = told(desk.offer(sdp(CAROL, 30000), from_tag="B2", to_tag="A"))[1]
    rules = desk.box.rules_at(shared)
    assert {rule.remote for rule in rules} == {(BOB, 20000), (CAROL, 30000)}
    assert {desk.box.number_of(rule.rtp[0]) for rule in rules} == {caller}


def test_a_phone_keeps_the_port_it_was_told_though_the_first_one_answered_with_mux() -> None:
    desk = Desk()
    shared = told(desk.offer(sdp("198.51.100.1", 10000, "rtcp-mux")))[1]
    first = desk.answer(sdp(BOB, 20000, "rtcp-mux"), "B1")
    second = desk.answer(sdp(CAROL, 30000), "B2")
    assert told(first) == told(second)
    assert {rule.remote for rule in desk.box.rules_at(shared)} == {(BOB, 20000), (CAROL, 30000)}
    assert [rule.remote for rule in desk.box.rules_at(shared + 1)] == [(CAROL, 30001)]


def test_a_phone_keeps_the_video_port_that_the_first_one_rejected() -> None:
    desk = Desk()
    video = "m=video 10002 RTP/AVP 31\r\n"
    shared = desk.offer(sdp() + video).medias[1].port
    desk.answer(sdp(BOB, 20000) + video.replace("10002", "0"), "B1")
    desk.answer(sdp(CAROL, 30000) + video.replace("10002", "30002"), "B2")
    assert desk.box.rule_at(shared).remote == (CAROL, 30002)


def test_a_phone_with_ice_can_check_though_the_first_one_answered_without() -> None:
    desk = Desk()
    shared = told(desk.offer(sdp(), ICE="force"))[1]
    desk.answer(sdp(BOB, 20000), "B1")
    desk.answer(sdp(CAROL, 30000, *ICE), "B2")
    assert {(rule.remote, rule.stun) for rule in desk.box.rules_at(shared)} == {
        ((BOB, 20000), False),
        (None, True),
    }


def test_a_shared_port_stays_open_until_the_last_of_its_phones_is_deleted() -> None:
    desk = Desk()
    shared = told(desk.offer(sdp()))[1]
    desk.answer(sdp(BOB), "B1")
    desk.answer(sdp(CAROL), "B2")
    desk.command("delete", call_id="call", from_tag="B1", delete_delay=0)
    assert [rule.remote for rule in desk.box.rules_at(shared)] == [(CAROL, 10000)]
    desk.command("delete", call_id="call", from_tag="B2", delete_delay=0)
    assert desk.box.ports == {}


def test_an_offer_from_the_callee_goes_to_the_caller_with_the_callers_port() -> None:
    desk = Desk()
    desk.offer(sdp())
    caller = told(desk.answer(sdp(BOB), "B"))
    assert told(desk.offer(sdp(BOB), from_tag="B", to_tag="A")) == caller
    assert set(legs(desk)) == {"A", "B"}


def test_the_answer_to_a_callees_offer_names_the_callees_port() -> None:
    desk = Desk()
    callee = told(desk.offer(sdp()))
    desk.answer(sdp(BOB), "B")
    desk.offer(sdp(BOB), from_tag="B", to_tag="A")
    assert told(desk.answer(sdp(), from_tag="B", to_tag="A")) == callee


def test_nobody_can_talk_to_himself() -> None:
    desk = Desk()
    desk.offer(sdp())
    desk.answer(sdp(BOB), "B")
    with pytest.raises(NgError, match=BAD_ASSOCIATION):
        desk.offer(sdp(), from_tag="A", to_tag="A")
    assert set(legs(desk)) == {"A", "B"}


def test_a_branch_added_minutes_later_to_a_ringing_call_is_nothing_special() -> None:
    desk = Desk()
    desk.offer(sdp(), via_branch="b1")
    desk.tick(180)
    late = told(desk.offer(sdp(), via_branch="late"))
    caller = told(desk.answer(sdp(CAROL), "C", via_branch="late"))
    assert caller[0] == RELAY
    assert desk.box.number_of(desk.box.rule_at(caller[1]).rtp[0]) == late[1]
