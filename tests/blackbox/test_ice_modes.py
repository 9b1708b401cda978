"""ICE in descriptions: what each mode keeps, adds and removes, with descriptions of real products."""

from pathlib import Path

import pytest

from tests.blackbox.daemon import ADDRESS, Daemon
from tests.blackbox.description import Description, MediaPart, plain, sdp
from tests.blackbox.dialogue import Dialogue
from tests.ng import Value

DATA = Path(__file__).parent.parent / "data" / "sdp"

S_A = plain()
S_B = plain("198.51.100.2", 20000, user="bob", version=5)
ICE_B = sdp(
    "a=ice-ufrag:bobs",
    "a=ice-pwd:bobbobbobbobbobbobbobb",
    "a=candidate:1 1 UDP 2130706431 198.51.100.2 20000 typ host",
    "a=candidate:1 2 UDP 2130706430 198.51.100.2 20001 typ host",
)
PLAIN_WITH_ICE = S_A + sdp(
    "a=ice-ufrag:abcd",
    "a=ice-pwd:abcdefghijklmnopqrstuv",
    "a=candidate:1 1 UDP 2130706431 198.51.100.1 10000 typ host",
    "a=candidate:1 2 UDP 2130706430 198.51.100.1 10001 typ host",
    "a=candidate:2 1 UDP 1694498815 203.0.113.5 10000 typ srflx raddr 198.51.100.1 rport 10000",
    "a=candidate:3 1 UDP 16777215 203.0.113.6 30000 typ relay raddr 203.0.113.5 rport 10000",
)


def recorded(name: str) -> str:
    """A description of a real product."""
    return (DATA / f"{name}.sdp").read_bytes().decode()


TWELVE = recorded("made-up-twelve-candidates-offer")
"""Chromium's form: four host, three srflx, two relay, three tcp; muxed; c= names a relay candidate."""

ICE_NAMES = ("ice-ufrag", "ice-pwd", "ice-options", "ice-lite", "candidate", "end-of-candidates")


def has_ice(media: MediaPart) -> bool:
    return any(media.has(name) for name in ICE_NAMES)


def has_only_our_ice(media: MediaPart, components: int, address: str = ADDRESS) -> bool:
    """Fresh credentials, and one host candidate for each component."""
    ufrag, pwd = media.attribute("ice-ufrag"), media.attribute("ice-pwd")
    ports = [media.port, media.port + 1][:components]
    seen = [(c.component, c.transport, c.type, c.address, c.port) for c in media.candidates]
    expected = [(number, "udp", "host", address, port) for number, port in enumerate(ports, start=1)]
    return bool(ufrag and 4 <= len(ufrag) <= 256 and pwd and 22 <= len(pwd) <= 256 and seen == expected)


# Which leg has ICE.


@pytest.mark.parametrize("mode", [{}, {"ICE": "default"}, {"ICE": "remove"}])
def test_a_caller_without_ice_is_offered_on_without_ice(call: Dialogue, mode: dict[str, Value]) -> None:
    assert not has_ice(call.offer(S_A, **mode).media)


@pytest.mark.parametrize("mode", ["force", "optional"])
def test_ice_is_added_for_a_caller_without_it_and_not_told_to_him(call: Dialogue, mode: str) -> None:
    assert has_only_our_ice(call.offer(S_A, ICE=mode).media, components=2)
    assert not has_ice(call.answer(S_B + ICE_B, ICE=mode).media)


def test_force_relay_for_a_caller_without_ice_offers_relay_candidates_alone(call: Dialogue) -> None:
    media = call.offer(S_A, ICE="force-relay").media
    assert media.has("ice-ufrag")
    for candidate, port in zip(media.candidates, (media.port, media.port + 1), strict=True):
        assert (candidate.type, candidate.address, candidate.port) == ("relay", ADDRESS, port)
        assert candidate.rest == ("raddr", ADDRESS, "rport", str(port))


@pytest.mark.parametrize("mode", [{}, {"ICE": "default"}, {"ICE": "force"}])
def test_terminated_ice_is_ours_on_both_sides(call: Dialogue, mode: dict[str, Value]) -> None:
    offered, answered = call.offer(PLAIN_WITH_ICE, **mode).media, call.answer(S_B + ICE_B, **mode).media
    assert has_only_our_ice(offered, components=2)
    assert has_only_our_ice(answered, components=2)
    assert len({media.attribute("ice-ufrag") for media in (offered, answered)} | {"abcd", "bobs"}) == 4


def test_remove_takes_all_ice_out_of_the_offer_and_the_caller_keeps_his(call: Dialogue) -> None:
    assert not has_ice(call.offer(PLAIN_WITH_ICE, ICE="remove").media)
    assert has_only_our_ice(call.answer(S_B).media, components=2)


def test_remove_in_the_answer_takes_it_from_the_caller_as_well(call: Dialogue) -> None:
    call.offer(PLAIN_WITH_ICE, ICE="remove")
    assert not has_ice(call.answer(S_B, ICE="remove").media)


@pytest.mark.parametrize("mode", [{}, {"ICE": "default"}, {"ICE": "force"}])
def test_a_callee_that_refuses_ice_takes_none_from_the_caller(call: Dialogue, mode: dict[str, Value]) -> None:
    call.offer(PLAIN_WITH_ICE, **mode)
    assert has_only_our_ice(call.answer(S_B, **mode).media, components=2)


@pytest.mark.parametrize("mode", ["optional", "force-relay"])
def test_a_callee_that_refuses_end_to_end_ice_ends_it_for_both(call: Dialogue, mode: str) -> None:
    call.offer(PLAIN_WITH_ICE, ICE=mode)
    answer = call.answer(S_B, ICE=mode)
    assert not has_ice(answer.media)
    assert answer.address() == ADDRESS


@pytest.mark.parametrize("spelling", ["force-relay", "force_relay", "force relay"])
def test_force_relay_may_be_spelled_in_three_ways(call: Dialogue, spelling: str) -> None:
    assert {candidate.type for candidate in call.offer(S_A, ICE=spelling).media.candidates} == {"relay"}


# End to end.


def test_optional_keeps_all_candidates_and_adds_ours_below_them(call: Dialogue) -> None:
    offer = call.offer(TWELVE, ICE="optional")
    *kept, ours, ours_rtcp = offer.media.candidates
    assert kept == Description(TWELVE).media.candidates
    assert (ours.type, ours.address, ours.port) == ("host", ADDRESS, offer.media.port)
    assert (ours_rtcp.component, ours_rtcp.port) == (2, offer.media.port + 1)
    assert ours.priority < min(candidate.priority for candidate in kept)
    assert offer.media.attributes("ice-ufrag") == ["mOb1"]
    assert offer.address() == ADDRESS


def test_force_relay_takes_the_relay_candidates_out_and_puts_ours_in(call: Dialogue) -> None:
    offer = call.offer(TWELVE, ICE="force-relay")
    *kept, ours, ours_rtcp = offer.media.candidates
    assert kept == [c for c in Description(TWELVE).media.candidates if c.type != "relay"]
    port = offer.media.port
    assert (ours.type, ours.port, ours.rest) == ("relay", port, ("raddr", ADDRESS, "rport", str(port)))
    assert ours_rtcp.port == port + 1
    assert ours.priority < min(candidate.priority for candidate in kept)
    assert offer.media.attributes("ice-pwd") == ["q8Lw0cGc9rTz1yNfVb7sXe4K"]


def test_force_relay_names_the_relay_in_c_and_m(call: Dialogue) -> None:
    offer = call.offer(TWELVE, ICE="force-relay")
    assert offer.address() == ADDRESS
    assert offer.media.port != 50001
    assert offer.media.attribute("rtcp") == str(offer.media.port + 1)


@pytest.mark.parametrize("mode", ["optional", "force-relay"])
def test_end_to_end_ice_works_in_both_directions(call: Dialogue, mode: str) -> None:
    call.offer(PLAIN_WITH_ICE, ICE=mode)
    answer = call.answer(S_B + ICE_B, ICE=mode)
    assert answer.media.attributes("ice-ufrag") == ["bobs"]
    assert answer.media.attributes("ice-pwd") == ["bobbobbobbobbobbobbobb"]
    kept, ours = answer.media.candidates[:2], answer.media.candidates[2:]
    assert [candidate.address for candidate in kept] == ["198.51.100.2"] * 2
    assert [(c.component, c.address) for c in ours] == [(1, ADDRESS), (2, ADDRESS)]
    assert answer.address() == ADDRESS


def test_end_to_end_ice_stays_without_the_word_in_the_answer(call: Dialogue) -> None:
    call.offer(PLAIN_WITH_ICE, ICE="force-relay")
    answer = call.answer(S_B + ICE_B)
    assert answer.media.attributes("ice-ufrag") == ["bobs"]
    assert [candidate.type for candidate in answer.media.candidates] == ["host", "host", "relay", "relay"]


def test_priorities_are_different_within_a_component(call: Dialogue) -> None:
    for mode in ("optional", "force-relay", "force"):
        candidates = Dialogue(call.client, call.call_id + mode).offer(TWELVE, ICE=mode).media.candidates
        ranked = [(candidate.component, candidate.priority) for candidate in candidates]
        assert len(set(ranked)) == len(ranked)


def test_the_keys_pass_in_end_to_end_mode(call: Dialogue) -> None:
    for mode in ("optional", "force-relay"):
        media = Dialogue(call.client, call.call_id + mode).offer(TWELVE, ICE=mode).media
        assert media.has("fingerprint")
        assert media.attributes("setup") == ["actpass"]
        assert not media.has("crypto")


# Our candidates.


def test_the_priorities_of_our_candidates_are_the_published_ones(call: Dialogue) -> None:
    priorities = [candidate.priority for candidate in call.offer(S_A, ICE="force").media.candidates]
    assert priorities == [2130706431, 2130706430]


def test_a_foundation_belongs_to_an_address_for_the_life_of_the_process(
    roaming: Dialogue, networks: Daemon
) -> None:
    candidates = roaming.offer(S_A, ICE="force").media.candidates
    foundations = {candidate.address: candidate.foundation for candidate in candidates}
    assert len(set(foundations.values())) == 2
    assert all(foundations[candidate.address] == candidate.foundation for candidate in candidates)
    later = Dialogue(networks.client, roaming.call_id + " later").offer(S_A, ICE="force").media.candidates
    assert {candidate.address: candidate.foundation for candidate in later} == foundations


@pytest.mark.parametrize(
    ("family", "addresses"), [("IP4", ["127.0.1.11", "::1"]), ("IP6", ["::1", "127.0.1.11"])]
)
def test_every_address_of_the_interface_is_a_candidate_the_wanted_family_first(
    roaming: Dialogue, family: str, addresses: list[str]
) -> None:
    offer = roaming.offer(S_A, ICE="force", address_family=family)
    ranked = sorted(offer.media.candidates, key=lambda candidate: -candidate.priority)
    assert [c.address for c in ranked if c.component == 1] == addresses
    assert [c.address for c in ranked if c.component == 2] == addresses
    assert offer.address() == addresses[0]
    assert next(c.port for c in ranked if c.component == 1) == offer.media.port


def test_mux_that_is_required_leaves_one_candidate(call: Dialogue) -> None:
    assert has_only_our_ice(call.offer(S_A, ICE="force", rtcp_mux=["require"]).media, components=1)


def test_mux_that_was_accepted_leaves_one_candidate_in_the_answer(call: Dialogue) -> None:
    call.offer(TWELVE, ICE="force")
    answer = call.answer(S_B + ICE_B + "a=rtcp-mux\r\n").media
    assert has_only_our_ice(answer, components=1)


# Trickle.


def test_the_flag_trickle_says_that_no_more_candidates_come(call: Dialogue) -> None:
    media = call.offer(S_A, ICE="force", flags=["trickle-ICE"]).media
    assert media.attributes("ice-options") == ["trickle ice2"]
    assert media.attributes("end-of-candidates") == [""]
    assert media.lines[-1] == "a=end-of-candidates"


def test_without_the_flag_nothing_is_said_of_trickle(call: Dialogue) -> None:
    media = call.offer(TWELVE, ICE="force").media
    assert not media.has("ice-options")
    assert not media.has("end-of-candidates")


def test_a_caller_that_trickles_is_told_that_no_more_candidates_come(call: Dialogue) -> None:
    call.offer(TWELVE, ICE="remove")
    media = call.answer(S_B).media
    assert media.attributes("ice-options") == ["trickle ice2"]
    assert media.has("end-of-candidates")


def test_an_offer_before_gathering_is_good_enough(call: Dialogue) -> None:
    bare = recorded("chromium-audio-trickle-offer")
    offer = call.offer(bare, ICE="force", flags=["trickle-ICE"])
    assert (offer.address(), offer.direction()) == (ADDRESS, "sendrecv")
    assert has_only_our_ice(offer.media, components=2)


def test_a_fragment_is_consumed_without_an_sdp(call: Dialogue) -> None:
    call.offer(recorded("chromium-audio-trickle-offer"), ICE="remove")
    fragment = sdp("a=ice-ufrag:abcd", "a=ice-pwd:abcdefghijklmnopqrstuv", "m=audio 9 RTP/AVP 0", "a=mid:0")
    reply = call.ask("offer", sdp=fragment, from_tag="A", flags=["fragment"])
    assert reply == {"ice-fragment": "consumed", "result": "ok"}


def test_a_fragment_for_nobody_is_answered_and_makes_no_call(call: Dialogue) -> None:
    reply = call.ask("offer", sdp=sdp("a=ice-ufrag:abcd"), from_tag="A", flags=["fragment"])
    assert reply == {"ice-fragment": "consumed", "result": "ok"}
    assert not call.exists


def test_a_fragment_of_another_generation_is_counted(daemon: Daemon, call: Dialogue) -> None:
    call.offer(recorded("chromium-audio-trickle-offer"), ICE="remove")
    before = daemon.metric("icerelay_trickle_refused_total")
    for ufrag in ("else", recorded("chromium-audio-trickle-offer").partition("a=ice-ufrag:")[2][:4]):
        fragment = sdp(f"a=ice-ufrag:{ufrag}", "m=audio 9 RTP/AVP 0", "a=mid:0", "a=end-of-candidates")
        call.ask("offer", sdp=fragment, from_tag="A", flags=["fragment"])
    assert daemon.metric("icerelay_trickle_refused_total") == before + 1


# Restart and re-offer.


def test_a_restart_concerns_the_leg_of_who_restarts(call: Dialogue) -> None:
    offered = call.offer(PLAIN_WITH_ICE, ICE="force").media
    answered = call.answer(S_B + ICE_B, ICE="force").media
    anew = PLAIN_WITH_ICE.replace("ufrag:abcd", "ufrag:anew").replace("pwd:abcdef", "pwd:fedcba")
    again = call.offer(anew, to_tag="B", ICE="force").media
    assert again.attribute("ice-ufrag") == offered.attribute("ice-ufrag")
    assert again.port == offered.port
    back = call.answer(S_B + ICE_B, ICE="force").media
    assert back.attribute("ice-ufrag") != answered.attribute("ice-ufrag")
    assert back.attribute("ice-pwd") != answered.attribute("ice-pwd")
    assert back.port == answered.port


def test_a_reoffer_without_the_key_keeps_the_ice_that_was_agreed(call: Dialogue) -> None:
    ufrag = call.offer(S_A, ICE="force").media.attribute("ice-ufrag")
    call.answer(S_B + ICE_B)
    assert call.offer(S_A, to_tag="B").media.attribute("ice-ufrag") == ufrag


def test_a_reoffer_from_the_callee_speaks_the_callers_ice(call: Dialogue) -> None:
    call.offer(PLAIN_WITH_ICE, ICE="remove")
    told = call.answer(S_B).media
    again = call.offer(S_B, from_tag="B", to_tag="A").media
    assert again.attribute("ice-ufrag") == told.attribute("ice-ufrag")
    assert not has_ice(call.answer(PLAIN_WITH_ICE, from_tag="B", to_tag="A").media)


# ICE-lite.


@pytest.mark.parametrize(
    ("value", "in_offer", "in_answer"),
    [
        ("forward", True, False), ("offer", True, False), ("fw", True, False),
        ("backward", False, True), ("bkw", False, True),
        ("both", True, True), ("off", False, False),
    ],
)  # fmt: skip
@pytest.mark.parametrize("key", ["ICE-lite", "ICE lite"])
def test_ice_lite_is_said_at_session_level_to_whom_it_concerns(
    call: Dialogue, key: str, value: str, in_offer: bool, in_answer: bool
) -> None:
    offer = call.offer(PLAIN_WITH_ICE, ICE="force", **{key: value})
    answer = call.answer(S_B + ICE_B)
    assert (offer.session.has("ice-lite"), answer.session.has("ice-lite")) == (in_offer, in_answer)


def test_a_lite_peer_is_not_announced_to_the_other_side(call: Dialogue) -> None:
    lite = PLAIN_WITH_ICE.replace("t=0 0\r\n", "t=0 0\r\na=ice-lite\r\n")
    offer = call.offer(lite, ICE="force")
    assert not offer.session.has("ice-lite")


# Descriptions of real products.


def test_ice_at_session_level_is_replaced_as_well(call: Dialogue) -> None:
    baresip = recorded("baresip-ice-dtls-offer")
    offer = call.offer(baresip, ICE="force")
    assert not offer.session.has("ice-ufrag")
    assert not offer.session.has("ice-pwd")
    assert has_only_our_ice(offer.media, components=2)
    assert not has_ice(Dialogue(call.client, call.call_id + " plain").offer(baresip, ICE="remove").media)


@pytest.mark.parametrize("name", sorted(path.stem for path in DATA.glob("*offer.sdp")))
@pytest.mark.parametrize("mode", ["remove", "force", "optional", "force-relay", "default"])
def test_every_recorded_offer_passes_under_every_mode(call: Dialogue, name: str, mode: str) -> None:
    original = Description(recorded(name))
    offer = call.offer(recorded(name), ICE=mode)
    assert [media.formats for media in offer] == [media.formats for media in original]
    for media, before in zip(offer, original, strict=True):
        assert offer.address(media) == ADDRESS
        assert bool(media.port) == bool(before.port)
        assert media.attribute("rtcp") == str(media.port + 1)
        assert has_ice(media) == (mode not in ("remove", "default") or "ice-ufrag" in recorded(name)) or (
            mode == "remove" and not has_ice(media)
        )
    assert not offer.session.has("group") or mode != "remove"


@pytest.mark.parametrize("name", ["chromium-audio-offer", "aiortc-audio-offer"])
def test_what_is_neither_address_nor_ice_nor_key_passes_byte_for_byte(call: Dialogue, name: str) -> None:
    consumed = (
        "m=", "c=", "a=candidate", "a=ice-", "a=rtcp:", "a=rtcp-mux", "a=sendrecv", "a=end-of", "a=group",
        "a=fingerprint", "a=setup", "a=tls-id",
    )  # fmt: skip

    def passing(text: str) -> list[str]:
        return [line for line in text.split("\r\n") if not line.startswith(consumed)]

    assert passing(call.offer(recorded(name), ICE="force").text) == passing(recorded(name))
