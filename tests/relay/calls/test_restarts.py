"""An offered restart of ICE: the old path serves until there is a new one, and for good if it is refused."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from relay.calls.state import Leg
from relay.forward.rule import Rule
from relay.ice import stun
from relay.ice.credentials import Credentials
from relay.ng.errors import NgError
from sdp.ice import read
from sdp.session import Session
from tests.relay.calls.desk import ALICE, BOB, PLAIN, RELAY, Desk, remembered, sdp

AT = {"A": (ALICE, 10000), "B": (BOB, 20000)}
MOVED = ("198.51.100.7", 7000)
PASSED: tuple[dict[str, Any], ...] = ({"ICE": "optional"}, {"ICE": "optimize", "network_legs": "hq,hq"})


def keys(name: str) -> Credentials:
    return Credentials(name * 4, name * 22)


def describes(tag: str, name: str, *more: str) -> str:
    """``name`` makes the credentials."""
    own, (host, port) = keys(name), AT[tag]
    candidate = f"candidate:1 1 udp 99 {host} {port} typ host"
    return sdp(host, port, f"ice-ufrag:{own.ufrag}", f"ice-pwd:{own.pwd}", candidate, "rtcp-mux", *more)


def leg(desk: Desk, tag: str) -> Leg:
    found = desk.registry.calls["call"].leg_of(tag)
    assert found is not None
    return found


def rule(desk: Desk, tag: str) -> Rule:
    return desk.box.rules[leg(desk, tag).medias[0].streams[0].paths[0].rule]


def check(
    desk: Desk, tag: str, own: Credentials, peer: Credentials, at: tuple[str, int] | None = None
) -> bool:
    """A check of ``tag``, which whoever it reaches answers. The caller nominates. Was it believed?"""
    desk.box.sent.clear()
    desk.registry.refused_stun.clear()
    username, controlling = f"{peer.ufrag}:{own.ufrag}", tag == "A"
    request = stun.request(secrets.token_bytes(12), username, peer.key, 1 << 30, 1, controlling, controlling)
    desk.registry.stun(rule(desk, tag).port, at or AT[tag], request, desk.now)
    for port, remote, datagram in list(desk.box.sent):
        if datagram.startswith(b"\x00\x01"):
            asked = stun.parse(datagram)
            assert asked.username is not None
            for known in map(keys, "abcd"):
                if asked.username[0] == known.ufrag:
                    desk.registry.stun(port, remote, stun.success(asked, (RELAY, 1), known.key), desk.now)
    return not desk.registry.refused_stun


def serves(desk: Desk) -> bool:
    """Media runs between the two phones, through the relay."""
    return all(rule(desk, tag).remote == AT[tag] and AT[tag] in rule(desk, tag).sources for tag in "AB")


def passed(options: dict[str, Any]) -> Desk:
    """A call whose phones check each other, and whose media runs through the relay."""
    desk = Desk(PLAIN[:1])
    desk.offer(describes("A", "a"), **options)
    desk.answer(describes("B", "b"))
    for _ in range(2):
        check(desk, "B", keys("b"), keys("a"))
        check(desk, "A", keys("a"), keys("b"))
    assert serves(desk)
    return desk


@pytest.mark.parametrize("options", PASSED)
def test_where_phones_check_each_other_media_goes_on_while_a_restart_is_offered(
    options: dict[str, Any],
) -> None:
    desk = passed(options)
    desk.offer(describes("A", "c"), to_tag="B", **options)
    assert serves(desk)
    assert check(desk, "A", keys("a"), keys("b")), "consent goes on"
    assert check(desk, "B", keys("b"), keys("a"))
    assert serves(desk)


@pytest.mark.parametrize("options", PASSED)
def test_where_phones_check_each_other_a_refused_restart_changes_nothing(options: dict[str, Any]) -> None:
    desk = passed(options)
    desk.offer(describes("A", "c"), to_tag="B", **options)  # answered by a 488
    desk.offer(describes("A", "a"), to_tag="B", **options)
    desk.answer(describes("B", "b"))
    assert serves(desk)
    assert check(desk, "A", keys("a"), keys("b"))
    assert check(desk, "B", keys("b"), keys("a"))


def test_where_phones_check_each_other_the_callee_may_make_the_offer_after_a_refused_restart() -> None:
    desk = passed(PASSED[0])
    desk.offer(describes("A", "c"), to_tag="B", ICE="optional")
    desk.offer(describes("B", "b"), from_tag="B", to_tag="A", ICE="optional")
    desk.answer(describes("A", "a"), from_tag="B", to_tag="A")
    assert check(desk, "A", keys("a"), keys("b"))
    assert check(desk, "B", keys("b"), keys("a"))
    assert serves(desk)


@pytest.mark.parametrize("options", PASSED)
def test_where_phones_check_each_other_the_new_path_takes_over_and_the_old_one_is_closed(
    options: dict[str, Any],
) -> None:
    desk = passed(options)
    desk.offer(describes("A", "c"), to_tag="B", **options)
    desk.answer(describes("B", "d"))
    assert serves(desk)
    check(desk, "B", keys("d"), keys("c"))
    check(desk, "A", keys("c"), keys("d"), MOVED)
    assert (rule(desk, "A").remote, rule(desk, "A").sources) == (MOVED, (MOVED,))
    assert rule(desk, "B").remote == AT["B"]
    assert not check(desk, "A", keys("a"), keys("b")), "the old generation is over"


def test_where_phones_check_each_other_a_restart_that_is_offered_twice_cuts_nothing() -> None:
    desk = passed(PASSED[0])
    desk.offer(describes("A", "c"), to_tag="B", ICE="optional")  # answered by a 491
    desk.offer(describes("A", "d"), to_tag="B", ICE="optional")
    assert check(desk, "A", keys("a"), keys("b"))
    assert check(desk, "B", keys("b"), keys("a"))
    assert serves(desk)


def test_where_phones_check_each_other_the_callees_offers_leave_the_ways_of_checks_as_they_are() -> None:
    desk = passed(PASSED[0])
    desk.offer(describes("B", "b"), from_tag="B", to_tag="A", ICE="optional")
    check(desk, "B", keys("b"), keys("a"))
    assert [remote for _, remote, _ in desk.box.sent[:1]] == [AT["A"]]


def ended() -> tuple[Desk, Credentials]:
    """A caller whose checks end at the relay, with the relay's credentials."""
    desk = Desk(PLAIN[:1])
    desk.offer(describes("A", "a"), ICE="force")
    relays = credentials(desk.answer(describes("B", "b")))
    check(desk, "A", keys("a"), relays)
    assert rule(desk, "A").sources == (AT["A"],)
    return desk, relays


def credentials(session: Session) -> Credentials:
    said = read(session, session.medias[0])
    assert said.ufrag is not None
    assert said.pwd is not None
    return Credentials(said.ufrag, said.pwd)


def test_a_restart_that_is_offered_twice_without_an_answer_cuts_nothing() -> None:
    desk, relays = ended()
    desk.offer(describes("A", "c"), to_tag="B", ICE="force")  # answered by a 491
    desk.offer(describes("A", "d"), to_tag="B", ICE="force")
    assert check(desk, "A", keys("a"), relays)
    assert (rule(desk, "A").remote, rule(desk, "A").sources) == (AT["A"], (AT["A"],))


def test_of_restarts_that_are_offered_again_and_again_the_first_path_serves_until_the_last_has_its_own() -> (
    None
):
    desk, _ = ended()
    for name in "cd":
        desk.offer(describes("A", name), to_tag="B", ICE="force")
    told = credentials(desk.answer(describes("B", "b")))
    assert rule(desk, "A").remote == AT["A"]
    check(desk, "A", keys("d"), told, MOVED)
    assert (rule(desk, "A").remote, rule(desk, "A").sources) == (MOVED, (MOVED,))


TOO_LONG = f"x:{'y' * 65400}"
"""An attribute that makes a description fail after all of it was taken in."""


@pytest.mark.parametrize("options", [{"ICE": "force"}, {"ICE": "optional"}])
def test_after_an_answer_that_failed_another_phone_of_the_branch_is_still_heard(
    options: dict[str, Any],
) -> None:
    desk = Desk(PLAIN[:1])
    offer = desk.offer(describes("A", "a"), via_branch="z1", **options)
    with pytest.raises(NgError):
        desk.answer(describes("B", "b", TOO_LONG), via_branch="z1")
    callee = desk.registry.calls["call"].legs[2]
    port = callee.medias[0].streams[0].paths[0].port.handle
    told, other = credentials(offer), keys("c")
    request = stun.request(
        secrets.token_bytes(12), f"{told.ufrag}:{other.ufrag}", told.key, 1, 1, False, False
    )
    desk.registry.stun(port, ("203.0.113.3", 30000), request, desk.now)
    assert desk.registry.refused_stun.total() == 0


def test_after_an_offer_that_failed_checks_of_before_are_answered() -> None:
    desk, relays = ended()
    with pytest.raises(NgError):
        desk.offer(describes("A", "c", TOO_LONG), to_tag="B", ICE="force")
    assert check(desk, "A", keys("a"), relays)
    assert rule(desk, "A").sources == (AT["A"],)


@pytest.mark.parametrize("options", [{"ICE": "force"}, {"ICE": "optional"}])
def test_an_offer_that_takes_a_restart_back_and_fails_changes_nothing(options: dict[str, Any]) -> None:
    desk = Desk(PLAIN[:1])
    desk.offer(describes("A", "a"), **options)
    desk.answer(describes("B", "b"))
    desk.offer(describes("A", "c"), to_tag="B", **options)
    before = remembered(desk.registry.calls["call"])
    elsewhere = describes("A", "a", TOO_LONG).replace("10000 typ", "10002 typ")
    with pytest.raises(NgError):
        desk.offer(elsewhere, to_tag="B", **options)
    assert remembered(desk.registry.calls["call"]) == before


def test_a_failed_offer_of_the_callee_leaves_the_ways_of_checks_as_they_are() -> None:
    desk = passed(PASSED[0])
    with pytest.raises(NgError):
        desk.offer(describes("B", "d", TOO_LONG), from_tag="B", to_tag="A", ICE="optional")
    assert check(desk, "A", keys("a"), keys("b"))
    assert check(desk, "B", keys("b"), keys("a"))
    assert serves(desk)
