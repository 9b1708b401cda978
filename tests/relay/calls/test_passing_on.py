"""Candidates that come by INFO where the phones check each other: what the other phone is told of them."""

from __future__ import annotations

from typing import Any

import pytest

from relay.ice.policy import Optimizer, Policy
from sdp.candidate import Candidate
from sdp.choose import LIMIT
from sdp.fragment import Fragment
from sdp.ice import read
from tests.relay.calls.desk import ALICE, BOB, PLAIN, RELAY, Desk, sdp

ALICE_ICE = ("rtcp-mux", "ice-ufrag:abcd", "ice-pwd:abcdefghijklmnopqrstuv", "ice-options:trickle", "mid:0")
BOB_ICE = ("rtcp-mux", "ice-ufrag:bbbb", "ice-pwd:bbbbbbbbbbbbbbbbbbbbbb", "ice-options:trickle", "mid:0")
OFFER, ANSWER = sdp(ALICE, 9, *ALICE_ICE), sdp(BOB, 9, *BOB_ICE)
SITE = "203.0.113.77"
ONE_SITE: dict[str, Any] = {"ICE": "optimize", "received_from": SITE, "network_legs": "hq,hq"}
CONSUMED = {"ice-fragment": "consumed", "result": "ok"}

PRIVATE = "1 1 udp 2122260223 10.0.0.5 40000 typ host generation 0"
PUBLIC = "2 1 udp 1686052607 203.0.113.77 41000 typ srflx raddr 10.0.0.5 rport 40000"
OTHER = "3 1 udp 2122194687 10.1.0.5 40002 typ host"
LOOPBACK = "4 1 udp 2122129151 127.0.0.1 40004 typ host"
ACTIVE = "5 1 tcp 1518280447 10.0.0.6 9 typ host tcptype active"
TURN = "6 1 udp 41885439 198.51.100.99 50000 typ relay raddr 10.0.0.5 rport 40000"


def fragment(*values: str, ufrag: str | None = "abcd", end: bool = False, mid: str = "0") -> str:
    head = [] if ufrag is None else [f"a=ice-ufrag:{ufrag}", "a=ice-pwd:abcdefghijklmnopqrstuv"]
    candidates = [f"a=candidate:{value}" for value in values]
    more = ["a=end-of-candidates"] if end else []
    return "\r\n".join([*head, "m=audio 9 RTP/AVP 0", f"a=mid:{mid}", *candidates, *more, ""])


def tell(desk: Desk, body: str, sender: str = "A", to: str | None = None) -> dict[str, Any]:
    keys = {"call_id": "call", "from_tag": sender, "to_tag": to, "flags": ["fragment"]}
    given = {key: value for key, value in keys.items() if value is not None}
    return dict(desk.command("offer", sdp=body, **given).reply)


def candidates(reply: dict[str, Any]) -> list[Candidate]:
    (part,) = Fragment.parse(str(reply["sdp"])).parts
    return list(part.candidates)


def addresses(reply: dict[str, Any]) -> list[str]:
    return [candidate.address for candidate in candidates(reply)]


def assisted(*policies: Policy, answered: bool = False) -> Desk:
    desk = Desk(PLAIN[:1])
    desk.registry.optimizer = Optimizer(policies)
    desk.offer(OFFER, **ONE_SITE)
    if answered:
        desk.answer(ANSWER, received_from=SITE)
    return desk


def refused(desk: Desk) -> dict[str, int]:
    return {reason: count for reason, count in desk.registry.trickle.refused.items() if count}


def reasons(desk: Desk, tag: str) -> dict[str, str]:
    """Reason by address, as ``query`` has it for what the party with this tag was told."""
    tags: dict[str, Any] = desk.command("query", call_id="call").reply["tags"]
    told = tags[tag]["medias"][0]["ICE"]["candidates"]
    return {(one["candidate"].split() * 5)[4]: one["reason"] for one in told}


def test_the_rules_of_descriptions_hold_for_fragments_and_the_rest_passes_as_it_came() -> None:
    desk = assisted(answered=True)
    reply = tell(desk, fragment(PRIVATE, LOOPBACK, ACTIVE, PUBLIC, TURN, "rubbish", end=True))
    assert reply == {"sdp": fragment(PRIVATE, PUBLIC, end=True), "ice-fragment": "passed", "result": "ok"}
    assert reasons(desk, "B") == {
        "10.0.0.5": "direct-kept",
        SITE: "direct-kept",
        RELAY: "relay-inserted",
        "127.0.0.1": "invalid",
        "10.0.0.6": "tcp-useless",
        "198.51.100.99": "relay-replaced",
        "rubbish": "invalid",
    }
    assert refused(desk) == {"malformed": 1}


def test_callees_candidates_that_come_later_are_for_the_caller() -> None:
    desk = assisted(answered=True)
    later = fragment(OTHER, LOOPBACK, ufrag="bbbb")
    assert addresses(tell(desk, later, "B", "A")) == ["10.1.0.5"]
    assert reasons(desk, "A") == {"10.1.0.5": "direct-kept", "127.0.0.1": "invalid", RELAY: "relay-inserted"}


def test_a_callee_that_turned_out_to_be_elsewhere_is_told_no_private_address() -> None:
    desk = assisted()
    assert addresses(tell(desk, fragment(PRIVATE))) == ["10.0.0.5"]
    desk.answer(ANSWER, received_from=BOB)
    assert addresses(tell(desk, fragment(OTHER, ufrag="bbbb"), "B", "A")) == []
    assert reasons(desk, "A")["10.1.0.5"] == "host-private"


def test_a_fragment_says_again_what_earlier_ones_said_and_what_was_told_stays() -> None:
    desk = assisted()
    first = tell(desk, fragment(OTHER))
    again = tell(desk, fragment(OTHER, PRIVATE, LOOPBACK))
    assert [str(one) for one in candidates(first)] == [OTHER]
    assert [str(one) for one in candidates(again)] == [OTHER, PRIVATE]
    assert tell(desk, fragment(OTHER, PRIVATE, LOOPBACK)) == again
    assert candidates(tell(desk, fragment(f"{PRIVATE} ufrag abcd network-cost 10")))[0].address == "10.0.0.5"
    desk.answer(ANSWER, received_from=SITE)
    assert len(reasons(desk, "B")) == 4


def test_newcomers_get_the_room_that_is_left() -> None:
    desk = assisted()
    hosts = [f"{n} 1 udp {2122000000 + n} 10.0.1.{n} 40000 typ host" for n in range(1, 8)]
    assert len(candidates(tell(desk, fragment(*hosts[:3])))) == 3
    told = addresses(tell(desk, fragment(*hosts)))
    assert told == ["10.0.1.1", "10.0.1.2", "10.0.1.3", "10.0.1.7"]
    assert len(told) == LIMIT
    desk.answer(ANSWER, received_from=SITE)
    assert [address for address, why in reasons(desk, "B").items() if why == "limit"] == [
        "10.0.1.4",
        "10.0.1.5",
        "10.0.1.6",
    ]


def test_priorities_are_distinct_and_above_ours_however_late_they_come() -> None:
    desk = Desk(PLAIN[:1])
    offered = desk.offer(OFFER + "a=candidate:9 1 udp 2122260223 10.0.0.9 40000 typ host\r\n", **ONE_SITE)
    low = "7 1 udp 1 10.0.0.7 40000 typ host"
    late = candidates(tell(desk, fragment(PRIVATE, low)))
    before = list(read(offered, offered.medias[0]).candidates)
    ours = [candidate for candidate in before if candidate.address == RELAY]
    priorities = [candidate.priority for candidate in (*before, *late)]
    assert len(set(priorities)) == len(priorities) == 5
    assert all(one.priority > ours[0].priority for one in late)


def test_the_operators_policy_holds_for_what_comes_later() -> None:
    desk = assisted(Policy("office", direction="offer", drop=frozenset(("srflx",))), answered=True)
    assert addresses(tell(desk, fragment(PRIVATE, PUBLIC))) == ["10.0.0.5"]
    assert reasons(desk, "B")[SITE] == "policy"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (fragment(PRIVATE, ufrag="else"), "ufrag"),
        (fragment(PRIVATE, mid="9"), "no such media"),
    ],
)
def test_what_is_of_nothing_that_was_described_goes_nowhere(body: str, reason: str) -> None:
    desk = assisted(answered=True)
    assert tell(desk, body) == CONSUMED
    assert refused(desk) == {reason: 1}
    assert set(reasons(desk, "B").values()) == {"relay-inserted"}


def test_a_candidate_of_another_generation_or_after_the_end_is_left_out() -> None:
    desk = assisted(answered=True)
    assert addresses(tell(desk, fragment(PRIVATE, f"{OTHER} ufrag else", end=True))) == ["10.0.0.5"]
    assert addresses(tell(desk, fragment(PRIVATE, OTHER, end=True))) == ["10.0.0.5"]
    assert refused(desk) == {"ufrag": 1, "after the end": 1}


def test_the_media_is_found_by_its_place_where_the_phone_named_none() -> None:
    desk = Desk(PLAIN[:1])
    desk.offer(OFFER.replace("a=mid:0\r\n", ""), **ONE_SITE)
    body = fragment(PRIVATE).replace("a=mid:0\r\n", "")
    assert tell(desk, body)["sdp"] == body
    without = body.replace("m=audio 9 RTP/AVP 0\r\n", "")
    assert tell(desk, without)["sdp"] == without


def test_a_fragment_that_overtakes_its_answer_waits_and_the_next_one_says_it_again() -> None:
    desk = assisted()
    assert tell(desk, fragment(OTHER, ufrag="bbbb"), "B", "A") == CONSUMED
    desk.answer(ANSWER, received_from=SITE)
    assert addresses(tell(desk, fragment(OTHER, ufrag="bbbb"), "B", "A")) == ["10.1.0.5"]


def test_after_the_call_a_fragment_goes_nowhere() -> None:
    desk = assisted(answered=True)
    desk.command("delete", call_id="call", delete_delay=0)
    assert tell(desk, fragment(PRIVATE)) == CONSUMED


def test_where_ice_ends_at_the_relay_the_other_phone_has_no_use_for_it() -> None:
    desk = Desk(PLAIN[:1])
    desk.offer(OFFER, ICE="optimize", received_from=SITE)
    desk.answer(ANSWER, received_from=BOB)
    assert tell(desk, fragment(PUBLIC)) == CONSUMED


def test_each_phone_of_a_fork_is_told_what_is_for_it() -> None:
    desk = Desk(PLAIN[:1])
    desk.offer(OFFER, via_branch="b1", **ONE_SITE)
    desk.offer(OFFER, via_branch="b2", **{**ONE_SITE, "network_legs": "hq,branch"})
    desk.answer(ANSWER, "B1", via_branch="b1", received_from=SITE)
    assert addresses(tell(desk, fragment(PRIVATE), "A", "B1")) == ["10.0.0.5"]


@pytest.mark.parametrize(("mode", "left"), [("optional", [PUBLIC, TURN]), ("force-relay", [PUBLIC])])
def test_end_to_end_candidates_pass_as_those_of_descriptions_do(mode: str, left: list[str]) -> None:
    desk = Desk(PLAIN[:1])
    desk.offer(OFFER, ICE=mode)
    desk.answer(ANSWER)
    assert tell(desk, fragment(PUBLIC, TURN))["sdp"] == fragment(*left)


@pytest.mark.parametrize("mode", ["optional", "force-relay"])
def test_priorities_of_later_candidates_are_distinct_and_possible_end_to_end(mode: str) -> None:
    desk = Desk(PLAIN[:1])
    desk.offer(OFFER, ICE=mode)
    desk.answer(ANSWER)
    equal = [f"{number} 1 udp {2**32 - 1} 203.0.113.{number} 40000 typ host" for number in (1, 2, 3)]
    told = [*candidates(tell(desk, fragment(*equal[:2]))), *candidates(tell(desk, fragment(equal[2])))]
    assert [one.priority for one in told] == [2**31 - 1, 2**31 - 2, 2**31 - 3]


def test_a_flood_of_fragments_does_not_fill_the_memory() -> None:
    desk = assisted(answered=True)
    for number in range(40):
        rubbish = [f"rubbish-{number}-{line}" for line in range(20)]
        hosts = [f"1 1 udp 5 10.{number}.0.{line} 40000 typ host" for line in range(1, 20)]
        tell(desk, fragment(*rubbish, *hosts))
    call = desk.registry.calls["call"]
    assert all(len(media.verdicts) <= 200 for leg in call.legs.values() for media in leg.medias)
    assert refused(desk)["too many"] > 600


def test_lines_keep_their_endings() -> None:
    desk = assisted()
    body = fragment(PRIVATE, LOOPBACK).replace("\r\n", "\n")
    assert tell(desk, body)["sdp"] == fragment(PRIVATE).replace("\r\n", "\n")
