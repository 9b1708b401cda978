from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdp.candidate import Candidate
from sdp.choose import (
    LIMIT,
    MAX_READ,
    RESERVED,
    RULES,
    Context,
    choose,
    first_reason,
    interleaved,
    renumbered,
)
from sdp.ice import candidate_values, own_priority
from sdp.reason import Reason
from sdp.session import Session

DATA = Path(__file__).parents[1] / "data" / "sdp"

HOST = "1 1 udp 2130706431 203.0.113.7 5000 typ host"
SRFLX = "2 1 udp 1694498815 203.0.113.9 6000 typ srflx raddr 10.0.0.5 rport 5000"
ANYWHERE = Context()
ONE_SITE = Context(same_site=True)


def reason(value: str, context: Context) -> Reason | None:
    return first_reason(Candidate.parse(value), context)


RULE_TABLE = [
    # what is wrong, the dropped one, its context, the reason, a kept one, its context
    ("port 0", HOST.replace(" 5000 ", " 0 "), ANYWHERE, "invalid", HOST, ANYWHERE),
    ("unspecified", HOST.replace("203.0.113.7", "0.0.0.0"), ONE_SITE, "invalid", HOST, ONE_SITE),
    ("this network", HOST.replace("203.0.113.7", "0.1.2.3"), ONE_SITE, "invalid", HOST, ONE_SITE),
    ("loopback", HOST.replace("203.0.113.7", "127.0.0.1"), ONE_SITE, "invalid", HOST, ONE_SITE),
    ("loopback 6", HOST.replace("203.0.113.7", "::1"), ONE_SITE, "invalid", HOST, ONE_SITE),
    ("mapped loopback", HOST.replace("203.0.113.7", "::ffff:127.0.0.1"), ONE_SITE, "invalid", HOST, ONE_SITE),
    ("multicast", HOST.replace("203.0.113.7", "239.1.1.1"), ONE_SITE, "invalid", HOST, ONE_SITE),
    ("broadcast", HOST.replace("203.0.113.7", "255.255.255.255"), ONE_SITE, "invalid", HOST, ONE_SITE),
    (
        "scope",
        HOST.replace("203.0.113.7", "fe80::1%eth0"),
        ONE_SITE,
        "invalid",
        HOST.replace("203.0.113.7", "fe80::1"),
        ONE_SITE,
    ),
    ("foundation", HOST.replace("1 1 udp", "1_ä 1 udp"), ANYWHERE, "invalid", HOST, ANYWHERE),
    (
        "our port",
        HOST,
        Context(is_ours=lambda address, port: (address, port) == ("203.0.113.7", 5000)),
        "own-address",
        HOST.replace("5000", "5001"),
        Context(is_ours=lambda address, port: (address, port) == ("203.0.113.7", 5000)),
    ),
    (
        "host name",
        HOST.replace("203.0.113.7", "phone.example"),
        ONE_SITE,
        "fqdn",
        HOST.replace("203.0.113.7", "8f2c6c1e.local"),
        ONE_SITE,
    ),
    ("type", HOST.replace("host", "magic"), ANYWHERE, "unknown", HOST, ANYWHERE),
    ("transport", HOST.replace("udp", "ssltcp"), ANYWHERE, "unknown", HOST, ANYWHERE),
    (
        "generation",
        f"{HOST} ufrag old",
        Context(ufrag="new"),
        "generation",
        f"{HOST} ufrag new",
        Context(ufrag="new"),
    ),
    (
        "component",
        HOST.replace("1 1 udp", "1 2 udp"),
        ANYWHERE,
        "component",
        HOST.replace("1 1 udp", "1 2 udp"),
        Context(components=frozenset((1, 2))),
    ),
    ("policy", SRFLX, Context(dropped=frozenset(("srflx",))), "policy", HOST, ANYWHERE),
    ("policy ip6", HOST.replace("203.0.113.7", "2001:db8::7"), Context(dropped=frozenset(("ip6",))), "policy",
     HOST, Context(dropped=frozenset(("ip6",)))),
    (
        "tcp active",
        HOST.replace("udp", "tcp") + " tcptype active",
        ANYWHERE,
        "tcp-useless",
        HOST.replace("udp", "tcp") + " tcptype active",
        Context(peer_listens_on_tcp=True),
    ),
    (
        "tcp where udp works",
        HOST.replace("udp", "TCP") + " tcptype passive",
        Context(udp_works=True),
        "tcp-useless",
        HOST.replace("udp", "TCP") + " tcptype passive",
        ANYWHERE,
    ),
    (
        "turn",
        SRFLX.replace("srflx", "relay"),
        ANYWHERE,
        "relay-replaced",
        SRFLX.replace("srflx", "relay"),
        Context(needs_turn=True),
    ),
    *(
        (address, HOST.replace("203.0.113.7", address), ANYWHERE, "host-private",
         HOST.replace("203.0.113.7", address), ONE_SITE)
        for address in (
            "10.1.2.3", "172.31.0.1", "192.168.1.1", "169.254.1.1", "100.64.0.1", "fd00::1", "fe80::1",
            "8f2c6c1e.local",
        )
    ),
    (
        "cost",
        f"{HOST} network-cost 900",
        Context(has_cheap=True),
        "cost",
        f"{HOST} network-cost 900",
        ANYWHERE,
    ),
    ("cost of 10", f"{HOST} network-cost 999", Context(has_cheap=True), "cost", f"{HOST} network-cost 10",
     Context(has_cheap=True)),
    ("symmetric", SRFLX, Context(symmetric=True), "symmetric", SRFLX, ANYWHERE),
    ("named twice", SRFLX, Context(named=frozenset((("2", 1),))), "symmetric", SRFLX,
     Context(named=frozenset((("2", 2),)))),
]  # fmt: skip


@pytest.mark.parametrize(
    ("dropped", "because_of", "code", "kept", "with_what"),
    [row[1:] for row in RULE_TABLE],
    ids=[row[0] for row in RULE_TABLE],
)
def test_a_rule_drops_one_candidate_and_keeps_another(
    dropped: str, because_of: Context, code: str, kept: str, with_what: Context
) -> None:
    assert reason(dropped, because_of) == code
    assert reason(kept, with_what) is None


def test_every_rule_is_in_the_table() -> None:
    fired = set()
    for _, dropped, context, code, _, _ in RULE_TABLE:
        fired |= {rule for rule in RULES if rule(Candidate.parse(dropped), context) == code}
    assert fired == set(RULES)


@pytest.mark.parametrize(
    ("value", "first"),
    [
        ("1_ 2 ssltcp 5 phone.example 0 typ magic", "invalid"),
        ("1 2 ssltcp 5 phone.example 9 typ magic", "fqdn"),
        ("1 2 ssltcp 5 10.0.0.1 9 typ magic ufrag old", "unknown"),
        ("1 2 udp 5 10.0.0.1 9 typ host ufrag old", "generation"),
        ("1 2 udp 5 10.0.0.1 9 typ host", "component"),
        ("1 1 udp 5 10.0.0.1 9 typ host network-cost 900", "host-private"),
    ],
)
def test_what_a_line_is_comes_before_what_it_is_good_for(value: str, first: str) -> None:
    assert reason(value, Context(ufrag="new", has_cheap=True)) == first


def test_there_are_enough_after_four_of_a_component_the_best_of_each_family_among_them() -> None:
    values = [
        *(f"{i} 1 udp {2000 - i} 203.0.113.{i} 5000 typ host" for i in range(1, 9)),
        "99 1 udp 7 2001:db8::1 5000 typ host",
        "98 2 udp 5 203.0.113.98 5001 typ host",
    ]
    verdicts = choose(values, Context(components=frozenset((1, 2))))
    assert [number for number, one in enumerate(verdicts) if one.kept] == [0, 1, 2, 8, 9]
    assert {one.reason for one in verdicts if not one.kept} == {Reason.LIMIT}


def test_a_limit_of_none_keeps_none() -> None:
    assert [one.reason for one in choose([HOST], ANYWHERE, 0)] == [Reason.LIMIT]


def test_a_mobile_network_is_dropped_where_the_phone_has_a_cheaper_one_and_kept_alone() -> None:
    mobile = "1 1 udp 9 203.0.113.1 5000 typ host network-cost 900"
    wireless = "2 1 udp 8 203.0.113.2 5000 typ host network-cost 10"
    assert [one.reason for one in choose([mobile, wireless], ANYWHERE)] == ["cost", "direct-kept"]
    assert [one.kept for one in choose([mobile], ANYWHERE)] == [True]


@pytest.mark.parametrize(
    ("cheap", "code"),
    [
        ("127.0.0.1 5000 typ host network-cost 50", "invalid"),
        ("10.0.0.1 5000 typ host network-cost 10", "host-private"),
        ("203.0.113.2 5000 typ relay network-cost 10", "relay-replaced"),
        ("203.0.113.2 5000 typ host ufrag old network-cost 10", "generation"),
    ],
)
def test_an_interface_that_is_out_of_reach_anyway_does_not_cost_the_phone_its_mobile_network(
    cheap: str, code: str
) -> None:
    mobile = "1 1 udp 9 203.0.113.1 5000 typ host network-cost 900"
    verdicts = choose([f"2 1 udp 8 {cheap}", mobile], Context(ufrag="new"))
    assert [one.reason for one in verdicts] == [code, "direct-kept"]


def test_a_mobile_network_is_dropped_beside_a_cheaper_one_behind_a_nat() -> None:
    mobile = "1 1 udp 9 2001:db8::1 5000 typ host network-cost 900"
    wireless = "2 1 udp 8 10.0.0.5 5000 typ host network-cost 10"
    outside = "3 1 udp 7 203.0.113.2 5000 typ srflx raddr 10.0.0.5 rport 5000 network-cost 10"
    codes = [one.reason for one in choose([mobile, wireless, outside], ANYWHERE)]
    assert codes == ["cost", "host-private", "direct-kept"]


def test_of_one_address_told_several_times_the_best_stays_and_the_others_use_no_room() -> None:
    again = [f"{place} 1 udp {place} 203.0.113.1 5000 typ host" for place in (7, 9, 8, 9)]
    others = [f"1 1 udp {number} 203.0.113.{number} 5000 typ host" for number in (2, 3, 4)]
    verdicts = choose([*again, *others], ANYWHERE)
    assert [one.reason for one in verdicts[:4]] == ["duplicate", "direct-kept", "duplicate", "duplicate"]
    assert all(one.kept for one in verdicts[4:])


def test_one_address_over_udp_and_tcp_or_for_two_components_is_no_repetition() -> None:
    values = [HOST, HOST.replace("1 1 udp", "1 2 udp"), HOST.replace("udp", "tcp") + " tcptype passive",
              HOST.replace("udp", "tcp") + " tcptype so", HOST.replace("5000", "5001")]  # fmt: skip
    context = Context(components=frozenset((1, 2)))
    assert all(one.kept for one in choose(values, context))


def test_of_one_address_that_cannot_be_used_once_the_other_line_counts() -> None:
    values = [HOST + " ufrag old", HOST.replace("2130706431", "5")]
    assert [one.reason for one in choose(values, Context(ufrag="new"))] == ["generation", "direct-kept"]


def test_an_address_that_was_told_before_is_not_told_again() -> None:
    told = Candidate.parse(HOST.replace("203.0.113.7", "2001:db8::1"))
    again = HOST.replace("203.0.113.7", "2001:DB8:0::1")
    assert [one.reason for one in choose([again], ANYWHERE, told=[told])] == ["duplicate"]


def test_a_line_that_nobody_changes_comes_out_as_it_came_in() -> None:
    odd = "1  1 UDP 2130706431 203.0.113.7 5000 typ host generation 0 network-id 3"
    (verdict,) = choose([odd], ANYWHERE)
    assert str(verdict.candidate) == odd


def test_equal_priorities_are_numbered_downwards() -> None:
    values = [f"{i} 1 udp 500 203.0.113.{i} 5000 typ host" for i in (1, 2, 3)]
    found = [one.candidate for one in choose(values, ANYWHERE)]
    assert [one.priority for one in found if one] == [500, 499, 498]
    assert str(found[1]) == "2 1 udp 499 203.0.113.2 5000 typ host"


def test_priorities_that_leave_no_room_for_ours_are_raised() -> None:
    values = [f"{i} 1 udp {priority} 203.0.113.{i} 5000 typ host" for i, priority in enumerate((0, 1, 1), 1)]
    assert sorted(one.candidate.priority for one in choose(values, ANYWHERE) if one.candidate) == [
        RESERVED + 1,
        RESERVED + 2,
        RESERVED + 3,
    ]


HOSTILE = {
    "above the RFC": f"1 1 udp {2**32 - 1} 203.0.113.1 5000 typ host",
    "2^32": f"1 1 udp {2**32} 203.0.113.1 5000 typ host",
    "long foundation": f"{'f' * 33} 1 udp 5 203.0.113.1 5000 typ host",
    "component 0": "1 0 udp 5 203.0.113.1 5000 typ host",
    "port": "1 1 udp 5 203.0.113.1 65536 typ host",
    "not an address": "1 1 udp 5 999.0.113.1 5000 typ host",
    "nothing": "",
    "words": "one two three",
    "digits of another script": "1 1 udp \u0665 203.0.113.1 5000 typ host",
}


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("above the RFC", "direct-kept"),
        ("2^32", "invalid"),
        ("long foundation", "invalid"),
        ("component 0", "invalid"),
        ("port", "invalid"),
        ("not an address", "fqdn"),
        ("nothing", "invalid"),
        ("words", "invalid"),
        ("digits of another script", "invalid"),
    ],
)
def test_hostile_lines(name: str, code: str) -> None:
    assert [one.reason for one in choose([HOSTILE[name]], ANYWHERE)] == [code]


def test_a_priority_above_the_rfcs_range_is_brought_into_it() -> None:
    (verdict,) = choose([HOSTILE["above the RFC"]], ANYWHERE)
    assert verdict.candidate is not None
    assert verdict.candidate.priority == 2**31 - 1


def test_ten_thousand_lines_have_a_verdict_each_and_the_first_hundred_are_read() -> None:
    values = [f"{i} 1 udp {i} 10.0.{i % 256}.{i // 256} 5000 typ host" for i in range(10_000)]
    values[-1] = HOST
    verdicts = choose(values, ANYWHERE)
    assert len(verdicts) == len(values)
    assert {one.reason for one in verdicts[:MAX_READ]} == {Reason.HOST_PRIVATE}
    assert {one.reason for one in verdicts[MAX_READ:]} == {Reason.LIMIT}


@pytest.mark.parametrize(
    ("families", "ranks"),
    [([4], [0]), ([4, 6], [1, 0]), ([4, 4, 6], [1, 2, 0]), ([4, 6, 6, 6], [1, 0, 2, 3]), ([6, 4], [0, 1])],
)  # fmt: skip
def test_families_take_turns_ipv6_first(families: list[int], ranks: list[int]) -> None:
    assert interleaved(families) == ranks


numbers = st.one_of(st.integers(0, 40), st.integers(0, 2**32 - 1), st.sampled_from([2**24 - 1, 2**24, 2**31]))
addresses = st.sampled_from(["203.0.113.7", "2001:db8::7", "10.0.0.5", "x.local", "x.example", "127.0.0.1"])
lines = st.builds(
    Candidate,
    foundation=st.sampled_from(["1", "2", "+/a"]),
    component=st.sampled_from([1, 2]),
    transport=st.sampled_from(["udp", "TCP"]),
    priority=numbers,
    address=addresses,
    port=st.integers(0, 65535),
    type=st.sampled_from(["host", "srflx", "prflx", "relay", "magic"]),
).map(str)


@given(st.lists(lines, max_size=30), st.booleans(), st.integers(0, 7))
def test_ours_fit_below_whatever_is_kept_and_no_two_priorities_are_equal(
    values: list[str], one_site: bool, limit: int
) -> None:
    context = Context(same_site=one_site, components=frozenset((1, 2)))
    kept = [one.candidate for one in choose(values, context, limit) if one.candidate is not None]
    ours = [own_priority(kept, component, "relay", rank) for component in (1, 2) for rank in range(4)]
    theirs = [candidate.priority for candidate in kept]
    assert len({*ours, *theirs}) == len(ours) + len(theirs)
    assert min(ours) >= 1
    assert max(ours) < min(theirs, default=2**31)
    assert all(sum(one.component == component for one in kept) <= limit for component in (1, 2))


@given(st.lists(numbers, max_size=20), st.randoms(use_true_random=False))
def test_renumbering_keeps_the_order(priorities: list[int], shuffle: random.Random) -> None:
    shuffle.shuffle(priorities)
    candidates = {i: replace(Candidate.parse(HOST), priority=p) for i, p in enumerate(priorities)}
    found = renumbered(candidates)
    for one in candidates:
        for other in candidates:
            if candidates[one].priority > candidates[other].priority:
                assert found[one].priority > found[other].priority


def seventeen() -> list[str]:
    session = Session.parse((DATA / "made-up-seventeen-candidates-offer.sdp").read_bytes().decode())
    return candidate_values(session.medias[0])


SITUATIONS = {
    "elsewhere": Context(ufrag="Ab3d"),
    "same-site": Context(ufrag="Ab3d", same_site=True),
    "symmetric": Context(ufrag="Ab3d", symmetric=True),
    "needs-turn": Context(ufrag="Ab3d", needs_turn=True, components=frozenset((1, 2))),
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_seventeen_candidates_are_judged_as_the_stored_table_says(situation: str) -> None:
    table = json.loads((DATA / "seventeen-candidates-verdicts.json").read_text())
    verdicts = choose(seventeen(), SITUATIONS[situation])
    assert [str(one.reason) for one in verdicts] == table[situation]


def test_four_are_kept_of_one_component_at_most() -> None:
    for context in SITUATIONS.values():
        kept = [one.candidate for one in choose(seventeen(), context) if one.candidate]
        assert all(sum(c.component == component for c in kept) <= LIMIT for component in (1, 2))


def test_newcomers_leave_what_was_told_alone() -> None:
    told = [Candidate.parse(HOST), Candidate.parse(SRFLX)]
    again, other = SRFLX.replace("6000", "6002"), HOST.replace("5000", "5002")
    kept, dropped = choose([other, again], ANYWHERE, told=told)
    assert (kept.candidate is not None and kept.candidate.priority) == told[0].priority - 1
    assert dropped.reason is Reason.SYMMETRIC
    assert [one.kept for one in choose([other], ANYWHERE, limit=2, told=told)] == [False]


@given(st.lists(st.integers(0, 2**31 - 1), max_size=6), st.lists(st.integers(0, 40), max_size=6, unique=True))
def test_priorities_of_newcomers_are_free_and_above_ours(offered: list[int], taken: list[int]) -> None:
    values = {index: replace(Candidate.parse(HOST), priority=number) for index, number in enumerate(offered)}
    found = [one.priority for one in renumbered(values, taken, above=10).values()]
    assert len({*found, *taken}) == len(found) + len(taken)
    assert all(10 < number < 2**31 for number in found)
