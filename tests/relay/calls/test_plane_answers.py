"""When the plane is given the keys to answer a peer's checks by itself."""

from __future__ import annotations

from relay.calls.timers import Timers
from relay.forward._fastpath import CheckAnswerer
from relay.forward.rule import Rule
from relay.ice.credentials import Credentials
from relay.ice.outputs import Path, Send
from tests.relay.calls.desk import BOB, PLAIN, RELAY, Desk, sdp, told
from tests.relay.calls.test_ice import (
    ALICE_KEYS,
    BOB_ICE,
    BOB_KEYS,
    NAT,
    NEW_KEYS,
    RESTARTED,
    WITH_ICE,
    Phone,
    call_with_ice,
    ice,
)

BOB_AT = ("203.0.113.200", 62000)
CAROL_AT = ("203.0.113.201", 63000)


def rule_of(phone: Phone) -> Rule:
    return phone.desk.box.rule_at(told(phone.relay)[1])


def answered_by_the_plane(phone: Phone, *rules: Rule) -> bool:
    """Whether one more check of this phone needs no agent; the answer has to satisfy the phone."""
    here = Path(0, (RELAY, told(phone.relay)[1]))
    asking = Phone(phone.desk, phone.at, phone.keys, phone.controlling, phone.relay)
    [check] = asking.agent.check(here, phone.desk.now)
    assert isinstance(check, Send)
    answers = [CheckAnswerer(rule).answer(phone.at, check.datagram) for rule in rules or [rule_of(phone)]]
    found = [answer for answer in answers if answer is not None]
    for answer in found:
        assert asking.agent.received(here, answer, phone.desk.now)
        assert here in asking.agent.validated
    return bool(found)


def test_no_check_is_answered_by_the_plane_before_the_peer_is_known() -> None:
    desk = Desk(PLAIN[:1])
    offer = desk.offer(WITH_ICE, ICE="force")
    bob = Phone(desk, BOB_AT, BOB_KEYS, False, offer)
    bob.check()
    assert rule_of(bob).sources == (BOB_AT,)
    assert rule_of(bob).stun_keys is None


def test_consent_is_answered_by_the_plane_once_a_path_is_selected() -> None:
    _, alice, bob = call_with_ice()
    assert rule_of(alice).stun_keys is None
    for phone in (alice, bob):
        phone.check()
        keys = rule_of(phone).stun_keys
        assert keys is not None
        assert (keys.ufrag, keys.remote_ufrag) == (ice(phone.relay).ufrag, phone.keys.ufrag)
        assert (keys.settled, keys.nominated) == ((phone.at,), phone.at)
        assert keys.controlling is not phone.controlling


def test_an_answer_of_the_plane_satisfies_the_peer() -> None:
    _, alice, bob = call_with_ice()
    alice.check()
    bob.check()
    assert answered_by_the_plane(bob)
    assert not answered_by_the_plane(Phone(bob.desk, CAROL_AT, BOB_KEYS, False, bob.relay), rule_of(bob))


def test_a_restart_is_the_agents_business_until_it_has_a_path() -> None:
    desk, alice, _ = call_with_ice()
    alice.check()
    before = rule_of(alice).stun_keys
    desk.offer(RESTARTED, to_tag="B", ICE="force")
    again = desk.answer(sdp(BOB, 20000, *BOB_ICE))
    assert rule_of(alice).stun_keys is None
    Phone(desk, NAT, NEW_KEYS, True, again).check()
    after = rule_of(alice).stun_keys
    assert before is not None
    assert after is not None
    assert (after.remote_ufrag, after.ufrag != before.ufrag) == ("efgh", True)


def test_phones_that_share_a_port_are_answered_each_by_its_own_rule() -> None:
    desk = Desk(PLAIN[:1])
    offer = desk.offer(WITH_ICE, ICE="force")
    desk.answer(sdp(BOB, 20000, *BOB_ICE))
    other_ice = tuple(line.replace("b" * 4, "c" * 4) for line in BOB_ICE)
    desk.answer(sdp("203.0.113.3", 20000, *other_ice), to_tag="C")
    bob = Phone(desk, BOB_AT, BOB_KEYS, False, offer)
    carol = Phone(desk, CAROL_AT, Credentials("cccc", "c" * 20 + "bb"), False, offer)
    bob.check()
    carol.check()
    rules = desk.box.rules_at(told(offer)[1])
    keys = [rule.stun_keys for rule in rules if rule.stun_keys is not None]
    assert {one.remote_ufrag: one.settled for one in keys} == {"bbbb": (BOB_AT,), "cccc": (CAROL_AT,)}
    assert len({(one.ufrag, one.pwd) for one in keys}) == 1
    assert answered_by_the_plane(bob, *rules)
    assert answered_by_the_plane(carol, *rules)


def test_the_longest_ufrag_that_there_is_is_answered_by_the_plane() -> None:
    ufrag = "u" * 256
    desk = Desk(PLAIN[:1])
    desk.offer(WITH_ICE.replace("ice-ufrag:abcd", f"ice-ufrag:{ufrag}"), ICE="force")
    answer = desk.answer(sdp(BOB, 20000, *BOB_ICE))
    alice = Phone(desk, NAT, Credentials(ufrag, ALICE_KEYS.pwd), True, answer)
    alice.check()
    assert answered_by_the_plane(alice, rule_of(alice))


def test_where_checks_pass_between_the_peers_the_plane_answers_none() -> None:
    desk = Desk(PLAIN[:1])
    desk.offer(WITH_ICE, ICE="optional")
    desk.answer(sdp(BOB, 20000, *BOB_ICE), ICE="optional")
    assert all(rule.stun_keys is None for rule in desk.box.rules.values())


def test_checks_alone_keep_a_call_whoever_answers_them() -> None:
    desk = Desk(PLAIN[:1], timers=Timers(timeout=60))
    desk.offer(WITH_ICE, ICE="force")
    alice = Phone(desk, NAT, ALICE_KEYS, True, desk.answer(sdp(BOB, 20000, *BOB_ICE)))
    for _ in range(4):
        assert desk.tick(40) == []
        alice.check()
    assert desk.tick(40) == []
    desk.last_packet[rule_of(alice).id] = desk.now
    assert desk.tick(40) == []
    assert desk.tick(40) == [("call", "timeout")]
