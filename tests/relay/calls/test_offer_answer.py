from __future__ import annotations

import pytest

from relay.calls.resources import LocalAddress
from relay.forward.rule import Learn
from relay.ng.errors import BAD_SDP, INCOMPLETE_SDP, NO_PORTS, NO_SDP, REWRITE_FAILED, NgError
from sdp.media import direction, origin
from sdp.session import Session
from tests.relay.calls.desk import ALICE, BOB, RELAY, RELAY6, Desk, sdp, told

TWO = (
    LocalAddress("lan", "10.0.0.1", "10.0.0.1"),
    LocalAddress("wan", "192.0.2.1", "203.0.113.100"),
    LocalAddress("wan", "2001:db8::1", "2001:db8::1"),
)


def established(desk: Desk) -> tuple[Session, Session]:
    return desk.offer(sdp()), desk.answer(sdp(BOB, 20000))


def test_media_of_both_parties_is_sent_to_the_relay() -> None:
    offer, answer = established(Desk())
    assert {told(offer)[0], told(answer)[0]} == {RELAY}
    assert told(offer)[1] % 2 == told(answer)[1] % 2 == 0
    assert told(offer) != told(answer)


def test_what_one_party_sends_leaves_from_the_port_that_the_other_sends_to() -> None:
    desk = Desk()
    offer, answer = established(desk)
    rule = desk.box.rule_at(told(answer)[1])
    assert rule.remote == (ALICE, 10000)
    assert desk.box.number_of(rule.rtp[0]) == told(offer)[1]
    assert desk.box.rules[rule.rtp[0]].remote == (BOB, 20000)


def test_lines_that_are_not_ours_stay_where_and_as_they_were() -> None:
    text = sdp(ALICE, 10000, "ssrc:1 cname:x", "foo", "sendrecv", "ptime:20")
    offer = Desk().offer(text)
    port = told(offer)[1]
    changed = text.replace(f"c=IN IP4 {ALICE}", f"c=IN IP4 {RELAY}").replace("audio 10000", f"audio {port}")
    assert str(offer) == changed + f"a=rtcp:{port + 1}\r\n"


def test_a_direction_is_always_said() -> None:
    offer = Desk().offer(sdp())
    assert offer.medias[0].attribute("sendrecv") == ""
    assert Desk().offer(sdp(), flags=["original-sendrecv"]).medias[0].attribute("sendrecv") is None


def test_hold_and_resume_keep_the_ports() -> None:
    desk = Desk()
    offer, answer = established(desk)
    held = desk.offer(sdp(ALICE, 10000, "sendonly"), to_tag="B")
    assert direction(held, held.medias[0]) == "sendonly"
    assert told(held) == told(offer)
    assert told(desk.answer(sdp(BOB, 20000, "recvonly"))) == told(answer)
    assert told(desk.offer(sdp(), to_tag="B")) == told(offer)


def test_hold_by_zero_address_passes_and_stops_media_to_that_party() -> None:
    desk = Desk()
    offer, answer = established(desk)
    held = desk.offer(sdp("0.0.0.0", 10000), to_tag="B")
    assert told(held) == ("0.0.0.0", told(offer)[1])
    assert direction(held, held.medias[0]) == "sendonly"
    assert desk.box.rule_at(told(offer)[1]).rtp == ()
    desk.answer(sdp(BOB, 20000))
    desk.offer(sdp(), to_tag="B")
    assert desk.box.number_of(desk.box.rule_at(told(offer)[1]).rtp[0]) == told(answer)[1]


def test_hold_by_zero_address_counts_also_where_the_signalling_says_the_address() -> None:
    desk = Desk()
    offer, _ = established(desk)
    flags = ["SIP-source-address"]
    held = desk.offer(sdp("0.0.0.0"), to_tag="B", flags=flags, received_from=["IP4", ALICE])
    assert told(held) == ("0.0.0.0", told(offer)[1])


def test_a_zero_address_is_replaced_on_demand() -> None:
    desk = Desk()
    established(desk)
    assert told(desk.offer(sdp("0.0.0.0"), to_tag="B", replace=["zero-address"]))[0] == RELAY


def test_a_party_that_moved_gets_the_other_one_new_ports() -> None:
    desk = Desk()
    offer, answer = established(desk)
    moved = desk.offer(sdp(BOB, 22000), from_tag="B", to_tag="A")
    assert told(moved) != told(answer)
    assert desk.box.rule_at(told(offer)[1]).remote == (BOB, 22000)


def test_what_still_arrives_at_the_old_port_is_forwarded_until_the_answer() -> None:
    desk = Desk()
    _, answer = established(desk)
    desk.offer(sdp(BOB, 22000), from_tag="B", to_tag="A")
    old = desk.box.rule_at(told(answer)[1])
    assert desk.box.rules[old.rtp[0]].remote == (BOB, 22000)
    desk.answer(sdp(), from_tag="B", to_tag="A")
    assert desk.box.rules_at(told(answer)[1]) == []
    assert len(desk.box.ports) == 4


def test_moves_that_nobody_answers_hold_one_set_of_ports_more_and_not_many() -> None:
    desk = Desk()
    established(desk)
    for port in range(22000, 22100, 2):
        desk.offer(sdp(BOB, port), from_tag="B", to_tag="A")
    assert len(desk.box.ports) == 6


def test_a_media_port_of_ours_is_not_sent_to_whoever_names_it_as_his_own() -> None:
    desk = Desk()
    offer, answer = established(desk)
    desk.offer(sdp(*told(offer)), to_tag="B")
    desk.answer(sdp(*told(answer)))
    assert {rule.remote for rule in desk.box.rules.values() if rule.rtp} & {
        told(offer),
        told(answer),
    } == set()


def test_a_refused_offer_does_not_change_the_mark_of_packets() -> None:
    desk = Desk()
    established(desk)
    with pytest.raises(NgError):
        desk.offer(sdp().replace(f"c=IN IP4 {ALICE}\r\n", ""), to_tag="B", TOS=184)
    assert set(desk.box.tos.values()) == {0}


def test_port_latching_keeps_the_ports_when_a_party_moves() -> None:
    desk = Desk()
    _, answer = established(desk)
    moved = desk.offer(sdp(BOB, 22000), from_tag="B", to_tag="A", flags=["port-latching"])
    assert told(moved) == told(answer)


def test_a_moved_party_is_learnt_anew_and_an_unmoved_one_is_not() -> None:
    desk = Desk()
    offer, answer = established(desk)
    before = desk.box.rule_at(told(offer)[1]).generation, desk.box.rule_at(told(answer)[1]).generation
    desk.offer(sdp(BOB, 22000), from_tag="B", to_tag="A", flags=["port-latching"])
    after = desk.box.rule_at(told(offer)[1]).generation, desk.box.rule_at(told(answer)[1]).generation
    assert after == (before[0] + 1, before[1])


def test_nobody_is_learnt_before_his_description_came() -> None:
    desk = Desk()
    offer = desk.offer(sdp())
    assert desk.box.rule_at(told(offer)[1]).learn is Learn.NOBODY
    desk.answer(sdp(BOB))
    assert desk.box.rule_at(told(offer)[1]).learn is Learn.WINDOW


def test_the_address_of_the_signalling_is_the_second_best_source() -> None:
    desk = Desk()
    desk.offer(sdp("10.9.9.9"), received_from=["IP4", ALICE])
    answer = desk.answer(sdp(BOB))
    rule = desk.box.rule_at(told(answer)[1])
    assert (rule.remote, rule.hint) == (("10.9.9.9", 10000), ALICE)


def test_sip_source_address_replaces_the_address_of_the_description() -> None:
    desk = Desk()
    desk.offer(sdp("10.9.9.9"), received_from=["IP4", ALICE], flags=["SIP-source-address"])
    answer = desk.answer(sdp(BOB))
    assert desk.box.rule_at(told(answer)[1]).remote == (ALICE, 10000)


def test_rtcp_goes_where_the_peer_says() -> None:
    desk = Desk()
    desk.offer(sdp(ALICE, 10000, "rtcp:10077 IN IP4 198.51.100.9"))
    answer = desk.answer(sdp(BOB))
    assert desk.box.rule_at(told(answer)[1] + 1).remote == ("198.51.100.9", 10077)


def test_the_rtcp_attribute_can_be_left_out_or_written_in_full() -> None:
    assert Desk().offer(sdp(), flags=["no-rtcp-attribute"]).medias[0].attribute("rtcp") is None
    full = Desk().offer(sdp(), flags=["full-rtcp-attribute"]).medias[0]
    assert full.attribute("rtcp") == f"{full.port + 1} IN IP4 {RELAY}"


def test_each_side_speaks_its_interface_and_is_told_the_advertised_address() -> None:
    desk = Desk(TWO)
    offer = desk.offer(sdp(), direction=["lan", "wan"])
    answer = desk.answer(sdp(BOB))
    assert (told(answer)[0], told(offer)[0]) == ("10.0.0.1", "203.0.113.100")


def test_an_unknown_interface_is_replaced_by_the_default_and_said() -> None:
    desk = Desk(TWO)
    outcome = desk.command("offer", sdp=sdp(), call_id="c", from_tag="A", direction=["lan", "moon"])
    assert told(Session.parse(outcome.reply["sdp"]))[0] == "10.0.0.1"
    assert any("moon" in note for note in outcome.notes)


def test_address_family_bridges_between_ipv4_and_ipv6() -> None:
    desk = Desk()
    offer = desk.offer(sdp(), address_family="IP6")
    answer = desk.answer(sdp("2001:db8::77", 20000))
    assert told(offer)[0] == RELAY6
    assert told(answer)[0] == RELAY


def test_a_caller_with_ipv6_is_answered_in_ipv6() -> None:
    desk = Desk()
    offer = desk.offer(sdp("2001:db8::55"), address_family="IP4")
    assert told(offer)[0] == RELAY
    assert told(desk.answer(sdp(BOB)))[0] == RELAY6


def test_a_family_that_the_interface_lacks_is_replaced_by_the_one_it_has() -> None:
    desk = Desk(TWO)
    lan = ["lan", "lan"]
    outcome = desk.command(
        "offer", sdp=sdp(), call_id="call", from_tag="A", address_family="IP6", direction=lan
    )
    assert told(Session.parse(outcome.reply["sdp"]))[0] == "10.0.0.1"
    assert outcome.notes == ("interface 'lan' has no address of IP6: IP4 is used instead",)


def test_a_phone_whose_family_no_address_has_is_named_in_the_log() -> None:
    desk = Desk((LocalAddress("lan", "10.0.0.1", "10.0.0.1"),))
    outcome = desk.command("offer", sdp=sdp("2001:db8::55"), call_id="call", from_tag="A")
    assert outcome.notes == ("interface 'lan' has no address of IP6: IP4 is used instead",) * 2


def test_nothing_is_said_of_families_that_are_there() -> None:
    desk = Desk()
    outcome = desk.command("offer", sdp=sdp(), call_id="call", from_tag="A", address_family="IP6")
    assert outcome.notes == ()


def test_media_address_is_what_is_written() -> None:
    desk = Desk()
    offer = desk.offer(sdp(), media_address="198.18.0.1")
    assert told(offer)[0] == "198.18.0.1"
    assert desk.answer(sdp(BOB)).value("c") == f"IN IP4 {RELAY}"


def test_tos_marks_the_ports_of_the_call_and_reverts() -> None:
    desk = Desk()
    desk.offer(sdp(), TOS=184)
    assert set(desk.box.tos.values()) == {184}
    desk.offer(sdp())
    assert set(desk.box.tos.values()) == {0}


def test_origin_names_the_relay_only_on_demand() -> None:
    kept = origin(Desk().offer(sdp()))
    ours = origin(Desk().offer(sdp(), replace=["origin"]))
    assert kept is not None
    assert ours is not None
    assert (kept.connection.address, ours.connection.address) == (ALICE, RELAY)


def test_username_and_session_name_stay_what_they_first_were() -> None:
    desk = Desk()
    words = ["username", "session-name"]
    desk.offer(sdp(), replace=words)
    desk.answer(sdp(BOB))
    renamed = sdp().replace("o=user 1 1", "o=other 9 2").replace("s=call", "s=new")
    offer = desk.offer(renamed, to_tag="B", replace=words)
    assert offer.value("o") == f"user 9 2 IN IP4 {ALICE}"
    assert offer.value("s") == "call"


def test_our_own_session_version_rises_only_when_something_changed() -> None:
    desk = Desk()

    def version(text: str) -> str:
        found = origin(desk.offer(text, replace=["SDP version"]))
        assert found is not None
        return found.version

    longer = sdp(ALICE, 10000, "ptime:20")
    assert [version(sdp()), version(sdp()), version(longer), version(sdp())] == ["1", "1", "2", "3"]


def test_a_description_that_went_through_us_before_comes_back_unchanged() -> None:
    desk = Desk()
    once = desk.offer(sdp(), flags=["loop-protect"])
    assert "relay-one" in once.attributes("rtpengine")
    again = desk.offer(str(once), from_tag="X", call_id="other", flags=["loop-protect"])
    assert str(again) == str(once)


def test_a_looped_offer_leaves_no_call_behind() -> None:
    desk = Desk()
    once = desk.offer(sdp(), flags=["loop-protect"])
    desk.offer(str(once), from_tag="X", call_id="other", flags=["loop-protect"])
    assert set(desk.registry.calls) == {"call"}


def test_media_identifiers_are_added_where_missing() -> None:
    assert Desk().offer(sdp(), flags=["generate-mid"]).medias[0].attribute("mid") == "1"
    named = Desk().offer(sdp(ALICE, 10000, "mid:audio"), flags=["generate-mid"])
    assert named.medias[0].attributes("mid") == ["audio"]


def test_a_rejected_media_stays_rejected_and_gives_its_ports_back() -> None:
    desk = Desk()
    desk.offer(sdp())
    answer = desk.answer(sdp(BOB, 0))
    assert answer.medias[0].port == 0
    desk.tick(30)
    assert desk.box.ports == {}


REJECTED = (
    "v=0",
    f"o=alice 1 1 IN IP4 {ALICE}",
    "s=-",
    f"c=IN IP4 {ALICE}",
    "t=0 0",
    "m=audio 0 RTP/AVP 0",
    f"a=candidate:1 1 udp 2130706431 {ALICE} 10000 typ host",
    f"a=rtcp:10001 IN IP4 {ALICE}",
    "a=inactive",
)


@pytest.mark.parametrize("words", [["origin"], ["origin", "session-connection"]])
def test_a_description_with_rejected_medias_only_does_not_say_where_the_phone_is(words: list[str]) -> None:
    desk = Desk()
    offer = str(desk.offer("\r\n".join([*REJECTED, ""]), replace=words, ICE="remove"))
    assert offer == "\r\n".join(
        [
            "v=0",
            f"o=alice 1 1 IN IP4 {RELAY}",
            "s=-",
            f"c=IN IP4 {RELAY}",
            "t=0 0",
            *REJECTED[5:6],
            "a=inactive",
            "",
        ]
    )


def test_an_answer_that_rejects_everything_does_not_say_where_the_phone_is() -> None:
    desk = Desk()
    desk.offer(sdp())
    assert BOB not in str(desk.answer(sdp(BOB, 0), replace=["origin"]))


def test_a_rejected_media_beside_another_one_does_not_say_where_the_phone_is() -> None:
    own = [REJECTED[5], f"c=IN IP4 {ALICE}", *REJECTED[6:], ""]
    offer = Desk().offer(sdp() + "\r\n".join(own), replace=["origin"], ICE="remove")
    assert ALICE not in str(offer)


def test_media_over_tcp_alone_keeps_its_own_address_and_only_that() -> None:
    message = ["m=message 7654 TCP/MSRP *", "a=path:msrp://alice.example/x;tcp"]
    offer = Desk().offer("\r\n".join([*REJECTED[:5], *message, ""]), replace=["origin"])
    assert str(offer) == "\r\n".join(
        [
            *("v=0", f"o=alice 1 1 IN IP4 {RELAY}", "s=-", f"c=IN IP4 {RELAY}", "t=0 0"),
            *(message[0], f"c=IN IP4 {ALICE}", message[1], ""),
        ]
    )


def test_media_over_tcp_keeps_its_own_address() -> None:
    text = sdp() + "m=message 2855 TCP/MSRP *\r\n"
    offer = Desk().offer(text)
    assert told(offer, 0)[0] == RELAY
    assert told(offer, 1) == (ALICE, 2855)


def test_datagrams_that_are_not_rtp_get_one_port_and_pass_as_they_are() -> None:
    desk = Desk()
    offer = desk.offer(sdp().replace("audio 10000 RTP/AVP 0", "image 10000 udptl t38"))
    answer = desk.answer(sdp(BOB).replace("audio 10000 RTP/AVP 0", "image 20000 udptl t38"))
    assert len(desk.box.ports) == 2
    assert desk.box.rule_at(told(offer)[1]).opaque
    assert answer.medias[0].attribute("rtcp") is None


def test_a_host_name_as_address_is_learnt_from_the_first_packets() -> None:
    desk = Desk()
    desk.offer(sdp("phone.example.com"))
    rule = desk.box.rule_at(told(desk.answer(sdp(BOB)))[1])
    assert (rule.remote, rule.learn) == (None, Learn.WINDOW)


def test_an_asymmetric_party_is_sent_to_where_it_says() -> None:
    desk = Desk()
    desk.offer(sdp(), flags=["asymmetric"])
    assert desk.box.rule_at(told(desk.answer(sdp(BOB)))[1]).asymmetric


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", NO_SDP),
        ("not sdp at all", BAD_SDP),
        ("v=0\r\ns=-\r\n", REWRITE_FAILED),
        (sdp().replace(f"c=IN IP4 {ALICE}\r\n", ""), INCOMPLETE_SDP),
        (sdp().replace("audio 10000", "audio 99999"), BAD_SDP),
        (sdp() + "m=audio 9 RTP/AVP 0\r\n" * 64, BAD_SDP),
    ],
)
def test_an_unusable_offer_is_refused_and_leaves_nothing_behind(text: str, reason: str) -> None:
    desk = Desk()
    with pytest.raises(NgError, match=f"^{reason}$"):
        desk.offer(text)
    assert (desk.registry.calls, desk.box.ports, desk.box.rules) == ({}, {}, {})


def test_an_unusable_offer_in_a_call_leaves_the_call_as_it_was() -> None:
    desk = Desk()
    offer, _ = established(desk)
    before = dict(desk.box.rules)
    with pytest.raises(NgError):
        desk.offer(sdp().replace(f"c=IN IP4 {ALICE}\r\n", ""), to_tag="B")
    assert desk.box.rules == before
    assert told(desk.offer(sdp(), to_tag="B")) == told(offer)


def test_running_out_of_ports_in_the_middle_gives_all_of_them_back() -> None:
    desk = Desk()
    desk.box.limit = 3
    with pytest.raises(NgError, match=NO_PORTS):
        desk.offer(sdp())
    assert (desk.registry.calls, desk.box.ports, desk.box.allocated) == ({}, {}, set())


def test_running_out_of_ports_for_another_branch_leaves_the_call_alone() -> None:
    desk = Desk()
    desk.offer(sdp(), via_branch="b1")
    before = dict(desk.box.rules)
    desk.box.limit = 5
    with pytest.raises(NgError, match=NO_PORTS):
        desk.offer(sdp(), via_branch="b2")
    assert desk.box.rules == before
    assert len(desk.registry.calls["call"].legs) == 2


def test_an_answer_with_fewer_medias_than_offered_is_taken() -> None:
    desk = Desk()
    desk.offer(sdp() + "m=video 10002 RTP/AVP 31\r\n")
    assert len(desk.answer(sdp(BOB)).medias) == 1


def test_an_offer_with_bare_line_feeds_is_written_with_bare_line_feeds() -> None:
    offer = str(Desk().offer(sdp().replace("\r\n", "\n")))
    assert "a=rtcp:" in offer
    assert "\r" not in offer
