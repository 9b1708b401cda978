"""What offers and answers say: RTCP, addresses, directions and replaced lines, for plain RTP."""

import re

import pytest

from tests.blackbox.daemon import ADDRESS, Daemon
from tests.blackbox.description import Description, MediaPart, plain, sdp
from tests.blackbox.dialogue import Dialogue
from tests.ng import Value

S_A = plain()
S_B = plain("198.51.100.2", 20000, user="bob", version=5)
S_A6 = plain("2001:db8::1")
S_B6 = plain("2001:db8::2", 20000, user="bob", version=5)
MUX = "a=rtcp-mux"

PUB, PRIV, ADVERTISED = "127.0.1.11", "127.0.1.12", "203.0.113.7"


def has_next_port(media: MediaPart) -> bool:
    """RTCP has a port of its own."""
    return media.port % 2 == 0 and media.attribute("rtcp") == str(media.port + 1)


def has_same_port(media: MediaPart) -> bool:
    return media.attribute("rtcp") == str(media.port)


# The plain case.


def test_a_plain_offer_names_the_relay_and_says_the_rest_as_it_was(call: Dialogue) -> None:
    offer = call.offer(S_A)
    port = offer.media.port
    assert port % 2 == 0
    rewritten = S_A.replace("c=IN IP4 198.51.100.1", f"c=IN IP4 {ADDRESS}")
    rewritten = rewritten.replace("audio 10000", f"audio {port}")
    assert offer.text == rewritten + sdp("a=sendrecv", f"a=rtcp:{port + 1}")


def test_both_sides_get_ports_of_their_own(call: Dialogue) -> None:
    offered, answered = call.offer(S_A), call.answer(S_B)
    assert answered.origin[0] == "bob"
    assert answered.address() == ADDRESS
    assert has_next_port(answered.media)
    assert abs(answered.media.port - offered.media.port) >= 2


def test_lines_that_nobody_knows_pass_where_they_were(call: Dialogue) -> None:
    strange = plain(
        "198.51.100.1", 10000, "i=title", "b=AS:64", "a=foo", "a=bar:baz:1", "a=ssrc:1 cname:x",
        "a=extmap:1 urn:x", "a=rtcp-fb:* nack", "k=clear:x", session=("a=tool:x", "a=recvonly-ish"),
    )  # fmt: skip
    passed = call.offer(strange).text.split("\r\n")
    at = [passed.index(line) for line in strange.split("\r\n")[:-1] if not line.startswith(("c=", "m="))]
    assert at == sorted(at)


def test_lines_that_end_in_lf_alone_go_on_ending_in_lf(call: Dialogue) -> None:
    reply = call.ask("offer", sdp=S_A.replace("\r\n", "\n"), from_tag="A")
    assert reply["sdp"] == call.offer(S_A).text.replace("\r\n", "\n")


# RTCP: the whole table of section 7.2.

WORDS = [
    (), ("offer",), ("require",), ("offer", "require"), ("demux",), ("accept",), ("reject",),
    ("offer", "accept"), ("offer", "reject"), ("demux", "accept"), ("demux", "reject"), ("offer", "demux"),
    ("require", "demux"), ("require", "accept"), ("require", "reject"),
]  # fmt: skip
"""Sets of ``rtcp-mux`` words of the offer; the protocol says nothing of ``accept`` with ``reject``."""


def caller_gets_mux(offered: bool, words: tuple[str, ...], accepted: bool) -> bool:
    """The table of the protocol, line by line."""
    if not offered or "reject" in words:
        return False
    if "accept" in words or ("demux" in words and not {"offer", "require"} & {*words}):
        return True
    return accepted


@pytest.mark.parametrize("accepted", [False, True], ids=["refused", "accepted"])
@pytest.mark.parametrize("words", WORDS, ids="+".join)
@pytest.mark.parametrize("offered", [False, True], ids=["plain", "mux"])
def test_rtcp_mux_follows_the_table(
    call: Dialogue, offered: bool, words: tuple[str, ...], accepted: bool
) -> None:
    told = call.offer(S_A + (MUX + "\r\n") * offered, rtcp_mux=list(words)).media
    insisted = bool({"offer", "require"} & {*words})
    assert told.has("rtcp-mux") == (insisted or (offered and "demux" not in words))
    assert has_same_port(told) if "require" in words else has_next_port(told)

    back = call.answer(S_B + (MUX + "\r\n") * (accepted and told.has("rtcp-mux"))).media
    expected = caller_gets_mux(offered, words, accepted and told.has("rtcp-mux"))
    assert back.has("rtcp-mux") == expected
    assert has_same_port(back) if expected else has_next_port(back)


def test_an_answer_cannot_take_a_mux_that_was_not_offered(call: Dialogue) -> None:
    call.offer(S_A)
    assert not call.answer(S_B + MUX + "\r\n").media.has("rtcp-mux")


def test_a_leg_that_agreed_to_mux_is_offered_nothing_else_later(call: Dialogue) -> None:
    call.offer(S_A, rtcp_mux=["offer"])
    call.answer(S_B + MUX + "\r\n")
    again = call.offer(S_A, to_tag="B").media
    assert again.has("rtcp-mux")
    assert has_same_port(again)


def test_a_muxed_media_still_lists_two_streams(call: Dialogue) -> None:
    call.offer(S_A + MUX + "\r\n", rtcp_mux=["require"])
    call.answer(S_B + MUX + "\r\n")
    tags = call.query()["tags"]
    assert [len(tags[tag]["medias"][0]["streams"]) for tag in "AB"] == [2, 2]


# a=rtcp.


def test_no_rtcp_attribute_leaves_it_out(call: Dialogue) -> None:
    assert not call.offer(S_A + "a=rtcp:10001\r\n", flags=["no-rtcp-attribute"]).media.has("rtcp")


def test_full_rtcp_attribute_writes_the_address(call: Dialogue) -> None:
    media = call.offer(S_A, flags=["full-rtcp-attribute"]).media
    assert media.attributes("rtcp") == [f"{media.port + 1} IN IP4 {ADDRESS}"]


@pytest.mark.parametrize(
    ("line", "endpoint"),
    [
        ("", ("198.51.100.1", 10001)),
        ("a=rtcp:10077\r\n", ("198.51.100.1", 10077)),
        ("a=rtcp:10077 IN IP4 198.51.100.9\r\n", ("198.51.100.9", 10077)),
    ],
)
def test_rtcp_of_a_peer_is_where_it_says(call: Dialogue, line: str, endpoint: tuple[str, int]) -> None:
    offered = call.offer(S_A + line)
    assert offered.media.attributes("rtcp") == [str(offered.media.port + 1)]
    seen = call.query()["tags"]["A"]["medias"][0]["streams"][1]["endpoint"]
    assert (seen["address"], seen["port"]) == endpoint


# Interfaces and families.


def test_direction_chooses_an_interface_for_each_side(roaming: Dialogue) -> None:
    assert roaming.offer(S_A, direction=["priv", "nat"]).address() == ADVERTISED
    assert roaming.answer(S_B).address() == PRIV
    assert roaming.offer(S_A, to_tag="B").address() == ADVERTISED


def test_the_single_interface_keys_mean_the_same(roaming: Dialogue) -> None:
    assert roaming.offer(S_A, from_interface="priv", to_interface="nat").address() == ADVERTISED
    assert roaming.answer(S_B).address() == PRIV


def test_an_unknown_interface_is_the_default_one(roaming: Dialogue) -> None:
    assert roaming.offer(S_A, direction=["nowhere", "nowhere"]).address() == PUB
    assert roaming.answer(S_B).address() == PUB


def test_the_advertised_address_is_written_everywhere(roaming: Dialogue) -> None:
    offer = roaming.offer(
        S_A, direction=["priv", "nat"], ICE="force", flags=["full-rtcp-attribute"], replace=["origin"]
    )
    assert offer.origin[5] == offer.address() == ADVERTISED
    assert {candidate.address for candidate in offer.media.candidates} == {ADVERTISED}
    assert offer.media.attributes("rtcp") == [f"{offer.media.port + 1} IN IP4 {ADVERTISED}"]


def test_an_ipv4_caller_reaches_an_ipv6_callee(roaming: Dialogue) -> None:
    assert roaming.offer(S_A, address_family="IP6").connection() == "IN IP6 ::1"
    assert roaming.answer(S_B6).connection() == f"IN IP4 {PUB}"


def test_an_ipv6_caller_reaches_an_ipv4_callee(roaming: Dialogue) -> None:
    assert roaming.offer(S_A6, address_family="IP4").connection() == f"IN IP4 {PUB}"
    assert roaming.answer(S_B).connection() == "IN IP6 ::1"


def test_without_address_family_the_callee_gets_the_callers(roaming: Dialogue) -> None:
    assert roaming.offer(S_A6).connection() == "IN IP6 ::1"


def test_an_interface_without_the_family_offers_the_other_one(roaming: Dialogue) -> None:
    assert roaming.offer(S_A, direction=["priv", "six"]).connection() == "IN IP6 ::1"
    assert roaming.answer(S_B6).connection() == f"IN IP4 {PRIV}"


def test_a_replaced_origin_has_the_family_of_its_address(roaming: Dialogue) -> None:
    assert roaming.offer(S_A, address_family="IP6", replace=["origin"]).origin[3:] == ["IN", "IP6", "::1"]


def test_media_address_is_what_the_sdp_says_and_nothing_else(call: Dialogue) -> None:
    offer = call.offer(S_A, media_address="203.0.113.99", ICE="force", flags=["full-rtcp-attribute"])
    assert offer.address() == "203.0.113.99"
    assert offer.media.attributes("rtcp") == [f"{offer.media.port + 1} IN IP4 203.0.113.99"]
    assert {candidate.address for candidate in offer.media.candidates} == {"203.0.113.99"}
    seen = call.query()["tags"]["A"]["medias"][0]["streams"][0]
    assert (seen["local address"], seen["endpoint"]["address"]) == (ADDRESS, "198.51.100.1")


def test_media_address_may_be_of_another_family(call: Dialogue) -> None:
    assert call.offer(S_A, media_address="2001:db8::99").connection() == "IN IP6 2001:db8::99"


@pytest.mark.parametrize("received_from", [["IP4", "203.0.113.50"], "203.0.113.50"])
def test_sip_source_address_overrules_the_sdp(call: Dialogue, received_from: Value) -> None:
    call.offer(S_A, flags=["SIP-source-address"], received_from=received_from)
    seen = call.query()["tags"]["A"]["medias"][0]["streams"][0]
    for name in ("endpoint", "advertised endpoint"):
        assert seen[name] == {"family": "IPv4", "address": "203.0.113.50", "port": 10000}


def test_received_from_alone_does_not_overrule_the_sdp(call: Dialogue) -> None:
    call.offer(S_A, received_from=["IP4", "203.0.113.50"])
    seen = call.query()["tags"]["A"]["medias"][0]["streams"][0]
    assert seen["endpoint"]["address"] == "198.51.100.1"


def test_asymmetric_is_seen_in_the_report(call: Dialogue) -> None:
    call.offer(S_A, flags=["asymmetric"])
    assert "asymmetric" in call.query()["tags"]["A"]["medias"][0]["flags"]


# Re-offers.


def test_a_moved_caller_gets_the_callee_new_ports(call: Dialogue) -> None:
    before, answered = call.offer(S_A).media.port, call.answer(S_B).media.port
    assert call.offer(plain(port=11000), to_tag="B").media.port != before
    assert call.answer(S_B).media.port == answered


def test_port_latching_keeps_the_ports_of_a_moved_caller(call: Dialogue) -> None:
    before, answered = call.offer(S_A).media.port, call.answer(S_B).media.port
    assert call.offer(plain(port=11000), to_tag="B", flags=["port-latching"]).media.port == before
    assert call.answer(S_B).media.port == answered


def test_ice_keeps_the_ports_of_a_moved_caller(call: Dialogue) -> None:
    ice = sdp("a=ice-ufrag:abcd", "a=ice-pwd:abcdefghijklmnopqrstuv")
    before = call.offer(S_A, ICE="force").media.port
    call.answer(S_B + ice)
    assert call.offer(plain(port=11000), to_tag="B", ICE="force").media.port == before


def test_no_port_latching_changes_ports_in_spite_of_ice(call: Dialogue) -> None:
    ice = sdp("a=ice-ufrag:abcd", "a=ice-pwd:abcdefghijklmnopqrstuv")
    before = call.offer(S_A, ICE="force").media.port
    call.answer(S_B + ice)
    moved = call.offer(plain(port=11000), to_tag="B", ICE="force", flags=["no-port-latching"])
    assert moved.media.port != before


def test_a_moved_callee_gets_the_caller_new_ports_and_the_replaced_ones_are_freed(
    daemon: Daemon, call: Dialogue
) -> None:
    call.offer(S_A)
    told = call.answer(S_B).media.port
    moved = call.offer(plain("198.51.100.7", 21000, user="bob"), from_tag="B", to_tag="A")
    assert moved.media.port != told
    call.answer(S_A, from_tag="B", to_tag="A")
    assert daemon.metric("rtpengine_ports_used") == 4


def test_a_reoffer_from_the_callee_keeps_all_ports(call: Dialogue) -> None:
    offered, answered = call.offer(S_A).media.port, call.answer(S_B).media.port
    assert call.offer(S_B, from_tag="B", to_tag="A").media.port == answered
    assert call.answer(S_A, from_tag="B", to_tag="A").media.port == offered


# Hold.


@pytest.mark.parametrize("direction", ["sendrecv", "sendonly", "recvonly", "inactive"])
def test_a_direction_passes_and_is_always_written(call: Dialogue, direction: str) -> None:
    assert call.offer(S_A + f"a={direction}\r\n").direction() == direction
    assert call.offer(plain(session=(f"a={direction}",))).direction() == direction


def test_original_sendrecv_writes_no_direction(call: Dialogue) -> None:
    assert call.offer(S_A, flags=["original-sendrecv"]).direction() is None


def test_hold_and_resume_keep_all_ports(call: Dialogue) -> None:
    ports = call.offer(S_A).media.port, call.answer(S_B).media.port
    for direction, back in (("sendonly", "recvonly"), ("inactive", "inactive"), ("sendrecv", "sendrecv")):
        offer = call.offer(S_A + f"a={direction}\r\n", to_tag="B")
        answer = call.answer(S_B + f"a={back}\r\n")
        assert (offer.direction(), answer.direction()) == (direction, back)
        assert (offer.media.port, answer.media.port) == ports


def test_a_zero_address_means_hold_and_passes(call: Dialogue) -> None:
    held = call.offer(plain("0.0.0.0"))
    assert (held.connection(), held.direction()) == ("IN IP4 0.0.0.0", "sendonly")
    assert held.media.port


def test_a_zero_address_is_replaced_on_request(call: Dialogue) -> None:
    assert call.offer(plain("0.0.0.0"), replace=["zero-address"]).address() == ADDRESS


def test_a_zero_address_is_no_hold_where_ice_says_the_address_later(call: Dialogue) -> None:
    trickling = plain("0.0.0.0", 9, "a=ice-ufrag:abcd", "a=ice-pwd:abcdefghijklmnopqrstuv")
    told = call.offer(trickling, ICE="remove")
    assert (told.address(), told.direction()) == (ADDRESS, "sendrecv")


def test_resuming_from_a_zero_address_keeps_all_ports(call: Dialogue) -> None:
    ports = call.offer(S_A).media.port, call.answer(S_B).media.port
    call.offer(plain("0.0.0.0"), to_tag="B")
    call.answer(S_B + "a=recvonly\r\n")
    assert (call.offer(S_A, to_tag="B").media.port, call.answer(S_B).media.port) == ports


# Replaced lines.


def test_replace_origin(call: Dialogue) -> None:
    assert call.offer(S_A, replace=["origin"]).origin == ["alice", "1", "1", "IN", "IP4", ADDRESS]
    assert call.offer(S_A).origin == ["alice", "1", "1", "IN", "IP4", "198.51.100.1"]


def test_replace_username_and_session_name_keep_what_was_said_first(call: Dialogue) -> None:
    words = ["username", "session name"]
    call.offer(S_A, replace=words)
    call.answer(S_B)
    changed = plain(user="xx", version=2).replace("s=call", "s=new").replace("o=xx 1", "o=xx 9")
    again = call.offer(changed, to_tag="B", replace=words)
    assert again.origin[:3] == ["alice", "9", "2"]
    assert again.session.value("s") == "call"


def test_replace_sdp_version_counts_the_changes_that_the_peer_sees(call: Dialogue) -> None:
    def version(description: str) -> str:
        return call.offer(description, to_tag="B", replace=["sdp-version"]).origin[2]

    first = call.offer(S_A, replace=["SDP version"]).origin[2]
    call.answer(S_B)
    other = plain(version=77)
    held = plain("198.51.100.1", 10000, "a=sendonly", version=78)
    seen = [version(description) for description in (S_A, other, held, held, S_A)]
    assert [first, *seen] == ["1", "1", "1", "2", "2", "3"]


def test_words_of_replace_may_stand_in_flags(call: Dialogue) -> None:
    assert call.offer(S_A, flags=["replace-origin"]).origin[5] == ADDRESS


def test_loop_protect_marks_and_recognises_its_own_mark(call: Dialogue, networks: Daemon) -> None:
    marked = call.offer(S_A, flags=["loop-protect"])
    mark = marked.session.attributes("rtpengine")
    assert len(mark) == 1
    assert re.fullmatch(r"\S+", mark[0])

    looped = Dialogue(call.client, call.call_id + " again")
    assert looped.offer(marked.text, flags=["loop-protect"]).text == marked.text
    foreign = Dialogue(networks.client, call.call_id).offer(marked.text, flags=["loop-protect"])
    assert foreign.address() == PUB
    assert mark[0] in foreign.session.attributes("rtpengine")


def test_a_mark_means_nothing_without_the_flag(call: Dialogue) -> None:
    marked = call.offer(S_A, flags=["loop-protect"])
    looped = Dialogue(call.client, call.call_id + " again")
    assert looped.offer(marked.text).media.port != marked.media.port


def test_generate_mid_adds_what_is_missing(call: Dialogue) -> None:
    two = S_A + sdp("m=video 12000 RTP/AVP 96", "a=rtpmap:96 VP8/90000")
    assert [media.attributes("mid") for media in call.offer(two, flags=["generate-mid"])] == [["1"], ["2"]]
    named = Dialogue(call.client, call.call_id + " named")
    assert named.offer(S_A + "a=mid:voice\r\n", flags=["generate-mid"]).media.attributes("mid") == ["voice"]


# Several medias, and media that is not RTP.


def test_each_media_gets_ports_of_its_own(call: Dialogue) -> None:
    offer = call.offer(S_A + sdp("m=video 12000 RTP/AVP 96", "a=rtpmap:96 VP8/90000"))
    assert all(has_next_port(media) for media in offer)
    assert offer.medias[0].port != offer.medias[1].port


def test_a_media_level_address_counts_more_than_that_of_the_session(call: Dialogue) -> None:
    offer = call.offer(S_A + sdp("m=video 12000 RTP/AVP 96", "c=IN IP4 198.51.100.77"))
    assert [offer.address(media) for media in offer] == [ADDRESS, ADDRESS]
    streams = [media["streams"][0]["endpoint"] for media in call.query()["tags"]["A"]["medias"]]
    assert [(end["address"], end["port"]) for end in streams] == [
        ("198.51.100.1", 10000), ("198.51.100.77", 12000),
    ]  # fmt: skip


def test_a_rejected_media_stays_rejected_and_costs_no_port(daemon: Daemon, call: Dialogue) -> None:
    offer = call.offer(S_A + sdp("m=video 0 RTP/AVP 96"))
    assert offer.medias[1].port == 0
    assert not offer.medias[1].has("rtcp")
    assert daemon.metric("rtpengine_ports_used") == 4


def test_a_media_that_the_answer_rejects_stays_rejected(call: Dialogue) -> None:
    call.offer(S_A + sdp("m=video 12000 RTP/AVP 96"))
    answer = call.answer(S_B + sdp("m=video 0 RTP/AVP 96"))
    assert [bool(media.port) for media in answer] == [True, False]


def test_a_range_of_ports_becomes_the_one_that_is_relayed(call: Dialogue) -> None:
    assert call.offer(S_A.replace("audio 10000 ", "audio 10000/3 ")).media.words[1].isdigit()


def test_an_answer_with_fewer_medias_is_rewritten_as_it_is(call: Dialogue) -> None:
    call.offer(S_A + sdp("m=video 12000 RTP/AVP 96"))
    assert [media.kind for media in call.answer(S_B)] == ["audio"]


@pytest.mark.parametrize(
    ("line", "attributes"),
    [
        ("m=image 12000 udptl t38", ["a=T38FaxVersion:0"]),
        (
            "m=application 12000 UDP/DTLS/SCTP webrtc-datachannel",
            ["a=setup:actpass", "a=fingerprint:sha-256 AA:BB", "a=sctp-port:5000"],
        ),
        ("m=audio 12000 UDP/carrier x", ["a=x"]),
    ],
)
def test_datagrams_that_are_not_rtp_get_one_port_and_no_rtcp(
    daemon: Daemon, call: Dialogue, line: str, attributes: list[str]
) -> None:
    head = S_A.partition("m=")[0]
    offer = call.offer(head + sdp(line, *attributes))
    assert offer.address() == ADDRESS
    assert offer.media.port not in (0, 12000)
    assert offer.media.lines[1:] == attributes
    assert daemon.metric("rtpengine_ports_used") == 2


@pytest.mark.parametrize("line", ["m=message 12000 TCP/MSRP *", "m=image 12000 TCP t38"])
def test_media_over_tcp_keeps_its_own_address(call: Dialogue, line: str) -> None:
    offer = call.offer(S_A + sdp(line, "a=path:msrp://198.51.100.1:12000/x;tcp"))
    audio, tcp = offer.medias
    assert (offer.address(audio), offer.address(tcp)) == (ADDRESS, "198.51.100.1")
    assert tcp.port == 12000
    assert tcp.lines[-1] == "a=path:msrp://198.51.100.1:12000/x;tcp"


def test_media_over_tcp_alone_keeps_its_own_address_and_the_session_names_the_relay(call: Dialogue) -> None:
    head, line, attribute = S_A.partition("m=")[0], "m=message 12000 TCP/MSRP *", "a=accept-types:*"
    connection = "c=IN IP4 198.51.100.1"
    told = call.offer(head + sdp(line, attribute)).text
    assert told == head.replace(connection, f"c=IN IP4 {ADDRESS}") + sdp(line, connection, attribute)


def test_the_answer_speaks_the_protocol_that_was_offered(call: Dialogue) -> None:
    call.offer(plain(protocol="RTP/AVP"))
    feedback = plain("198.51.100.2", 20000, user="bob", protocol="RTP/AVPF")
    assert call.answer(feedback).media.protocol == "RTP/AVP"


def test_a_description_says_the_same_whoever_wrote_it(call: Dialogue) -> None:
    """What we write can be read again: two relays in a row."""
    behind = Dialogue(call.client, call.call_id + " behind")
    first = call.offer(S_A)
    second = behind.offer(first.text)
    assert isinstance(second, Description)
    assert second.media.lines[1:-1] == first.media.lines[1:-1]
