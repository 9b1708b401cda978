"""``ICE=optimize``: what the two parties are told, and where media may go."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.calls.resources import LocalAddress
from relay.ice.agent import Agent as Peer
from relay.ice.credentials import Credentials
from relay.ice.outputs import Path as CheckPath
from relay.ice.outputs import Send
from relay.ice.policy import Optimizer, Place, Policy, Remembered
from sdp.candidate import Candidate
from sdp.ice import IceDescription, read
from sdp.session import Session
from tests.relay.calls.desk import ALICE, BOB, PLAIN, RELAY, Desk, sdp, told

DATA = Path(__file__).parents[2] / "data" / "sdp"
ALICE_KEYS = Credentials("aaaa", "aaaaaaaaaaaaaaaaaaaaaa")
BOB_KEYS = Credentials("bbbb", "bbbbbbbbbbbbbbbbbbbbbb")
PRIVATE = "1 1 udp 2130706431 10.0.0.5 40000 typ host"
PUBLIC = "2 1 udp 1694498815 203.0.113.77 41000 typ srflx raddr 10.0.0.5 rport 40000"
SAME: dict[str, Any] = {
    "ICE": "optimize",
    "received_from": "203.0.113.77",
    "network_legs": {"from": "hq", "to": "hq"},
}
ELSEWHERE: dict[str, Any] = {"ICE": "optimize", "received_from": "203.0.113.77"}


def phone(host: str, keys: Credentials, *candidates: str, protocol: str = "RTP/AVP") -> str:
    named = [f"candidate:{candidate}" for candidate in candidates]
    lines = ["rtcp-mux", f"ice-ufrag:{keys.ufrag}", f"ice-pwd:{keys.pwd}", *named]
    return sdp(host, 10000, *lines, protocol=protocol)


CALLER = phone(ALICE, ALICE_KEYS, PRIVATE, PUBLIC)
CALLEE = phone(BOB, BOB_KEYS, PRIVATE.replace("10.0.0.5", "10.0.0.6"))


def ice(session: Session) -> IceDescription:
    return read(session, session.medias[0])


def addresses(session: Session) -> list[str]:
    return [candidate.address for candidate in ice(session).candidates if candidate.component == 1]


def report(desk: Desk, tag: str) -> dict[str, Any]:
    found: dict[str, Any] = desk.command("query", call_id="call").reply["tags"][tag]["medias"][0]["ICE"]
    return found


def test_without_a_reason_media_goes_through_the_relay_and_ice_ends_there() -> None:
    desk = Desk(PLAIN[:1])
    offer = desk.offer(CALLER, **ELSEWHERE)
    assert addresses(offer) == [RELAY]
    assert ice(offer).ufrag != ALICE_KEYS.ufrag
    answer = desk.answer(CALLEE, received_from=BOB)
    assert addresses(answer) == [RELAY]
    assert ice(answer).ufrag != BOB_KEYS.ufrag
    assert (report(desk, "A")["mode"], report(desk, "B")["why"]) == ("relay", "default")


def test_phones_of_one_site_are_told_of_each_other_and_of_the_relay_last() -> None:
    desk = Desk(PLAIN[:1])
    offer = desk.offer(CALLER, **SAME)
    answer = desk.answer(CALLEE, received_from="203.0.113.77")
    assert addresses(offer) == ["10.0.0.5", "203.0.113.77", RELAY]
    assert addresses(answer) == ["10.0.0.6", RELAY]
    assert (ice(offer).ufrag, ice(answer).ufrag) == (ALICE_KEYS.ufrag, BOB_KEYS.ufrag)
    for said in (offer, answer):
        assert told(said)[0] == RELAY
        ours = ice(said).candidates[-1]
        assert (ours.type, ours.extension("raddr")) == ("relay", RELAY)
        assert ours.priority < min(candidate.priority for candidate in ice(said).candidates[:-1])
    assert (report(desk, "A")["mode"], report(desk, "A")["why"]) == ("assist", "same-site")


@pytest.mark.parametrize(
    ("costs", "ours"),
    [(("10", "50"), "50"), ((None, "900"), "900"), (("x", None), None), ((None, None), None)],
)
def test_no_path_of_the_phones_costs_more_than_ours(costs: tuple[str | None, ...], ours: str | None) -> None:
    """Browsers prefer the path with the lower ``network-cost``, whatever the priorities."""
    lines = [
        f"{line} network-cost {cost}" if cost else line
        for line, cost in zip((PRIVATE, PUBLIC), costs, strict=True)
    ]
    offer = Desk(PLAIN[:1]).offer(phone(ALICE, ALICE_KEYS, *lines), **SAME)
    assert addresses(offer) == ["10.0.0.5", "203.0.113.77", RELAY]
    assert ice(offer).candidates[-1].extension("network-cost") == ours


@pytest.mark.parametrize("trickles", [False, True])
def test_phones_of_one_site_come_to_us_before_they_try_their_turn_servers(trickles: bool) -> None:
    offer = CALLER + ("a=ice-options:trickle\r\n" if trickles else "")
    ours = ice(Desk(PLAIN[:1]).offer(offer, **SAME)).candidates[-1]
    best_turn = (3 << 24) + (65535 << 8) + 255  # as browsers rate TURN over UDP
    worst_srflx = 100 << 24
    assert best_turn < ours.priority < worst_srflx


def test_a_callee_that_turns_out_to_be_elsewhere_keeps_its_private_addresses_to_itself() -> None:
    desk = Desk(PLAIN[:1])
    desk.offer(CALLER, **SAME)
    answer = desk.answer(CALLEE, received_from=BOB)
    assert addresses(answer) == [RELAY]
    assert [one["reason"] for one in report(desk, "A")["candidates"]] == ["relay-inserted", "host-private"]


def test_a_far_relay_lets_public_addresses_meet() -> None:
    desk = Desk(PLAIN[:1])
    desk.registry.optimizer = Optimizer(remembered=lambda place: Remembered(relay_rtt=0.1))
    assert addresses(desk.offer(CALLER, **ELSEWHERE)) == ["203.0.113.77", RELAY]
    desk.answer(CALLEE, received_from=BOB)
    assert report(desk, "B")["why"] == "far-relay"


def test_the_memory_is_asked_for_the_places_of_both() -> None:
    asked: list[Place] = []

    def remembered(place: Place) -> Remembered:
        asked.append(place)
        return Remembered()

    desk = Desk(PLAIN[:1])
    desk.registry.optimizer = Optimizer(remembered=remembered)
    said = {"network": "cafe", "user_agent": "Linphone/5", "network_legs": ",office"}
    desk.offer(CALLER, ICE="optimize", received_from=ALICE, **said)
    assert asked[0] == Place(ALICE, "cafe", "linphone")
    assert asked[1] == Place(None, "office", "")


@pytest.mark.parametrize(
    ("options", "offer", "why"),
    [
        ({}, sdp(), "no-ice"),
        ({"flags": ["ICE-reject"]}, CALLER, "no-ice"),
        ({}, CALLER.replace("m=audio", "a=ice-lite\r\nm=audio"), "ice-lite"),
        ({"transport_protocol": "RTP/SAVP"}, CALLER, "keys"),
        ({"flags": ["SDES-off"]}, CALLER, "keys"),
        ({"DTLS": "passive"}, CALLER, "keys"),
        ({"OSRTP": "offer"}, CALLER, "keys"),
        ({"flags": ["recrypt"]}, CALLER, "keys"),
        ({"rtcp_mux": ["demux"]}, CALLER, "rtcp-mux"),
        ({"rtcp_mux": ["offer"]}, CALLER.replace("a=rtcp-mux\r\n", ""), "rtcp-mux"),
        ({"direction": ["default", "inside"]}, CALLER, "interfaces"),
    ],
)
def test_ice_ends_at_the_relay_where_something_needs_the_media(
    options: dict[str, Any], offer: str, why: str
) -> None:
    desk = Desk((PLAIN[0], LocalAddress("inside", "192.0.2.2", "192.0.2.2")))
    said = desk.offer(offer, **SAME, **options)
    assert ice(said).ufrag not in (None, ALICE_KEYS.ufrag)
    outcome = desk.command("query", call_id="call").reply["tags"]
    found = [one["medias"][0]["ICE"] for one in outcome.values()]
    assert {(one["mode"], one["why"]) for one in found} == {("relay", why)}


def test_keys_pass_end_to_end_where_media_may_go_direct() -> None:
    desk = Desk(PLAIN[:1])
    keys = "a=fingerprint:sha-256 " + ":".join(["AB"] * 32) + "\r\na=setup:actpass\r\n"
    offer = phone(ALICE, ALICE_KEYS, PRIVATE, protocol="UDP/TLS/RTP/SAVP") + keys
    assert keys in str(desk.offer(offer, **SAME))


@pytest.mark.parametrize("again", [{}, {"ICE": "optimize"}])
@pytest.mark.parametrize(("first", "mode"), [(SAME, "assist"), (ELSEWHERE, "relay")])
def test_a_re_offer_keeps_the_mode_wherever_the_phones_are_then(
    first: dict[str, Any], mode: str, again: dict[str, Any]
) -> None:
    desk = Desk(PLAIN[:1])
    offer = desk.offer(CALLER, **first)
    answer = desk.answer(CALLEE, received_from="203.0.113.77")
    moved = "203.0.113.77" if mode == "relay" else ALICE
    repeated = desk.offer(CALLER, to_tag="B", received_from=moved, **again)
    assert (ice(repeated).ufrag, told(repeated)) == (ice(offer).ufrag, told(offer))
    back = desk.offer(CALLEE, from_tag="B", to_tag="A", **again)
    assert (ice(back).ufrag, told(back)) == (ice(answer).ufrag, told(answer))
    why = "same-site" if mode == "assist" else "default"
    assert {(report(desk, tag)["mode"], report(desk, tag)["why"]) for tag in ("A", "B")} == {(mode, why)}


def test_a_re_offer_that_asks_for_keys_of_the_relay_ends_ice_there_and_says_so() -> None:
    desk = Desk(PLAIN[:1])
    desk.offer(CALLER, **SAME)
    desk.answer(CALLEE)
    again = desk.offer(CALLER, to_tag="B", ICE="optimize", transport_protocol="RTP/SAVP")
    assert ice(again).ufrag != ALICE_KEYS.ufrag
    assert (report(desk, "B")["mode"], report(desk, "B")["why"]) == ("relay", "keys")


def test_a_forced_re_offer_ends_ice_at_the_relay() -> None:
    desk = Desk(PLAIN[:1])
    desk.offer(CALLER, **SAME)
    desk.answer(CALLEE)
    assert ice(desk.offer(CALLER, to_tag="B", ICE="force")).ufrag != ALICE_KEYS.ufrag
    assert (report(desk, "B")["mode"], report(desk, "B")["why"]) == ("relay", "force")
    assert (report(desk, "A")["mode"], report(desk, "A")["why"]) == ("relay", "force")


def test_a_callee_without_ice_leaves_the_caller_with_the_relays() -> None:
    desk = Desk(PLAIN[:1])
    desk.offer(CALLER, **SAME)
    answer = desk.answer(sdp(BOB, 20000))
    assert ice(answer).offered
    assert ice(answer).ufrag != ALICE_KEYS.ufrag
    assert addresses(answer) == [RELAY]
    assert (report(desk, "A")["mode"], report(desk, "A")["why"]) == ("relay", "no-ice")
    alice = Peer(ALICE_KEYS, True, tie_breaker=1)
    said = ice(answer)
    assert said.ufrag is not None
    assert said.pwd is not None
    alice.set_remote(Credentials(said.ufrag, said.pwd), desk.now)
    (check,) = alice.check(CheckPath(0, told(answer)), desk.now)
    assert isinstance(check, Send)
    port = next(h for h, port in desk.box.ports.items() if port.number == told(answer)[1])
    desk.registry.stun(port, (ALICE, 40000), check.datagram, desk.now)
    assert desk.box.rule_at(told(answer)[1]).sources == ((ALICE, 40000),)


def test_a_second_phone_that_needs_keys_of_the_relay_does_not_spoil_the_first() -> None:
    desk = Desk(PLAIN[:1])
    desk.offer(CALLER, via_branch="b1", **SAME)
    desk.offer(CALLER, via_branch="b2", transport_protocol="RTP/SAVP", **SAME)
    answer = desk.answer(CALLEE, via_branch="b1", received_from="203.0.113.77")
    assert addresses(answer) == ["10.0.0.6", RELAY]
    assert ice(answer).ufrag == BOB_KEYS.ufrag


def assisted() -> tuple[Desk, Callable[[bool], bool]]:
    """A call of one site, and a function that checks the relay's candidate of one side."""
    desk = Desk(PLAIN[:1])
    offer, answer = desk.offer(CALLER, **SAME), desk.answer(CALLEE, received_from="203.0.113.77")
    handles = {port.number: handle for handle, port in desk.box.ports.items()}
    caller, callee = Peer(ALICE_KEYS, True, tie_breaker=1), Peer(BOB_KEYS, False, tie_breaker=2)
    caller.set_remote(BOB_KEYS, desk.now)
    callee.set_remote(ALICE_KEYS, desk.now)

    def check(of_caller: bool) -> bool:
        peer, said, at = (caller, answer, (ALICE, 1)) if of_caller else (callee, offer, (BOB, 2))
        (send,) = peer.check(CheckPath(0, told(said)), desk.now)
        assert isinstance(send, Send)
        desk.registry.stun(handles[told(said)[1]], at, send.datagram, desk.now)
        return any(datagram == send.datagram for _, _, datagram in desk.box.sent)

    return desk, check


def test_checks_of_the_relays_candidate_wait_for_the_other_phone_and_pass() -> None:
    desk, check = assisted()
    assert not check(True)
    assert check(False)
    assert {remote for _, remote, _ in desk.box.sent} == {(ALICE, 1), (BOB, 2)}
    assert sorted(str(rule.remote) for rule in desk.box.rules.values()) == [str((ALICE, 1)), str((BOB, 2))]


def test_a_call_whose_media_went_direct_is_not_cut_off_for_silence() -> None:
    desk, _ = assisted()
    assert desk.tick(600.0) == []
    assert desk.tick(3600.0) == [("call", "silent timeout")]


def test_a_policy_by_name_and_one_that_fits() -> None:
    desk = Desk(PLAIN[:1])
    desk.registry.optimizer = Optimizer(
        (
            Policy("never", interface="none", assist=frozenset()),
            Policy("open", direction="offer", assist=frozenset(("always",)), direct=1),
        )
    )
    assert addresses(desk.offer(CALLER, **ELSEWHERE)) == ["203.0.113.77", RELAY]
    assert report_of(desk.command("query", call_id="call").reply)["why"] == "policy"
    other = desk.offer(CALLER, call_id="other", ice_policy="never", **SAME)
    assert addresses(other) == [RELAY]


def report_of(reply: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(iter(reply["tags"].values()))["medias"][0]["ICE"]
    return found


def test_an_unknown_policy_is_noted_and_changes_nothing() -> None:
    outcome = Desk().command("offer", sdp=CALLER, call_id="c", from_tag="A", ice_policy="x", **SAME)
    assert outcome.notes == ("unknown ice-policy 'x', the one that fits is used instead",)
    assert "result=assist reason=same-site" in outcome.decided


def test_the_log_line_counts_what_was_kept_and_dropped_and_names_no_address() -> None:
    outcome = Desk(PLAIN[:1]).command("offer", sdp=CALLER, call_id="c", from_tag="A", **ELSEWHERE)
    assert outcome.decided == (
        "result=relay reason=default kept=0 own=2 dropped=2 (host-useless:1,srflx-useless:1)"
    )


def test_query_says_of_every_candidate_what_became_of_it() -> None:
    desk = Desk(PLAIN[:1])
    desk.offer(phone(ALICE, ALICE_KEYS, PRIVATE, PUBLIC, "junk", PUBLIC.replace("srflx", "relay")), **SAME)
    desk.answer(CALLEE)
    found = report(desk, "B")
    assert [(one["action"], one["reason"], one.get("rank")) for one in found["candidates"]] == [
        ("kept", "direct-kept", 0),
        ("kept", "direct-kept", 1),
        ("kept", "relay-inserted", 2),
        ("kept", "relay-inserted", 3),
        ("dropped", "invalid", None),
        ("dropped", "relay-replaced", None),
    ]
    assert found["dropped"] == 2


FOUR = tuple(
    LocalAddress("default", ip, ip) for ip in ("192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2")
)


@pytest.mark.parametrize("options", [SAME, ELSEWHERE], ids=["assist", "relay"])
def test_our_families_take_turns_and_the_first_of_the_callers_family_is_the_default(
    options: dict[str, Any],
) -> None:
    many = (*FOUR, LocalAddress("default", "192.0.2.3", "192.0.2.3"))
    offer = Desk(many).offer(CALLER, **options)
    found = [
        c for c in ice(offer).candidates if c.component == 1 and c.address in {at.address for at in many}
    ]
    ours = sorted(found, key=lambda candidate: -candidate.priority)
    assert [":" in candidate.address for candidate in ours] == [True, False, True, False]
    assert told(offer)[0] == RELAY
    assert (RELAY, told(offer)[1]) in {(c.address, c.port) for c in ours}


@pytest.mark.parametrize("options", [SAME, ELSEWHERE], ids=["assist", "relay"])
def test_the_one_candidate_that_a_policy_leaves_us_is_the_default_one(options: dict[str, Any]) -> None:
    desk = Desk(PLAIN)
    desk.registry.optimizer = Optimizer((Policy("one", own=1),))
    offer = desk.offer(CALLER, **options)
    ours = [
        c for c in ice(offer).candidates if c.component == 1 and c.address in (at.address for at in PLAIN)
    ]
    assert [(c.address, c.port) for c in ours] == [told(offer)]


def test_a_call_that_was_forced_stays_at_the_relay_under_optimize() -> None:
    desk = Desk(PLAIN[:1])
    desk.offer(CALLER, **{**SAME, "ICE": "force"})
    desk.answer(CALLEE, received_from="203.0.113.77")
    desk.offer(CALLER, to_tag="B", **SAME)
    assert (report(desk, "B")["mode"], report(desk, "B")["why"]) == ("relay", "settled")


def test_a_callers_ten_thousand_candidates_are_answered_with_a_few() -> None:
    lines = [f"{i} 1 udp {i} 203.0.113.{i % 250 + 1} 5000 typ host" for i in range(10_000)]
    offer = phone(ALICE, ALICE_KEYS, *lines)
    desk = Desk(PLAIN[:1])
    assert len(addresses(desk.offer(offer, **SAME))) == 5
    desk.answer(CALLEE)
    found = report(desk, "B")
    assert found["dropped"] == 10_000 - 4
    assert len(found["candidates"]) == 4 + 2 + 32


def test_an_address_of_ours_in_the_callers_name_is_not_passed_on() -> None:
    ours = PRIVATE.replace("10.0.0.5", RELAY).replace("40000", "30500")
    desk = Desk(PLAIN[:1])
    assert addresses(desk.offer(phone(ALICE, ALICE_KEYS, ours), **SAME)) == [RELAY]


MODES: dict[str, dict[str, Any]] = {
    **{mode: {"ICE": mode} for mode in ("remove", "force", "default", "optional", "force-relay")},
    "optimize-relay": ELSEWHERE,
    "optimize-assist": SAME,
}


@pytest.mark.parametrize("mode", MODES)
def test_seventeen_candidates_in_every_mode(mode: str) -> None:
    offer = (DATA / "made-up-seventeen-candidates-offer.sdp").read_bytes().decode()
    table = json.loads((DATA / "seventeen-candidates-modes.json").read_text())
    written = Desk().offer(offer, **MODES[mode])
    assert [f"{c.component} {c.priority} {c.address} {c.type}" for c in ice(written).candidates] == table[
        mode
    ]
    assert told(written)[0] == RELAY


values = st.builds(
    Candidate,
    foundation=st.sampled_from(["1", "2"]),
    component=st.sampled_from([1, 2]),
    transport=st.sampled_from(["udp", "tcp"]),
    priority=st.one_of(st.integers(0, 20), st.integers(0, 2**32 - 1)),
    address=st.sampled_from(["203.0.113.7", "2001:db8:9::7", "10.0.0.5", "x.local", RELAY]),
    port=st.sampled_from([0, 9, 5000, 30000, 65535]),
    type=st.sampled_from(["host", "srflx", "relay"]),
).map(str)


@settings(max_examples=60, deadline=None)
@given(st.lists(values, max_size=20), st.booleans(), st.booleans())
def test_the_default_candidate_is_always_there_and_ours_are_below_the_phones(
    candidates: list[str], muxed: bool, trickles: bool
) -> None:
    offer = phone(ALICE, ALICE_KEYS, *candidates)
    offer = offer if muxed else offer.replace("a=rtcp-mux\r\n", "")
    offer += "a=ice-options:trickle\r\n" if trickles else ""
    written = Desk().offer(offer, **SAME)
    found = ice(written).candidates
    assert told(written) in {(c.address, c.port) for c in found if c.component == 1 and c.type == "relay"}
    ours = [c.priority for c in found if c.extension("raddr")]
    theirs = [c.priority for c in found if not c.extension("raddr")]
    assert len(ours) == 4
    assert len({*ours, *theirs}) == len(found)
    assert max(ours) < min(theirs, default=2**31)


def test_a_phone_shared_by_two_that_answer_goes_on_as_decided() -> None:
    desk = Desk(PLAIN[:1])
    desk.offer(CALLER, **SAME)
    desk.answer(CALLEE, to_tag="B", received_from="203.0.113.77")
    carol = replace(BOB_KEYS, ufrag="cccc")
    answer = desk.answer(phone("203.0.113.3", carol, PRIVATE), to_tag="C", received_from="203.0.113.77")
    assert ice(answer).ufrag == "cccc"
    assert report(desk, "C")["mode"] == "assist"
