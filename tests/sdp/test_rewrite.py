from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sdp.media import Connection, connection
from sdp.reason import Reason
from sdp.rewrite import Change, MediaOut, Rewritten, SessionOut, loop_id, rewrite
from sdp.session import SdpError, Session

CAPTURES = sorted((Path(__file__).parents[1] / "data" / "sdp").glob("*.sdp"))
RELAY = Connection("IP4", "203.0.113.1")
RELAY6 = Connection("IP6", "2001:db8::1")
HEAD = "v=0\r\no=alice 9 2 IN IP4 192.0.2.7\r\ns=call\r\nt=0 0\r\n"
AUDIO = MediaOut(30000, RELAY, None)
VIDEO = MediaOut(30002, RELAY, None)


def rewritten(text: str, *medias: MediaOut | None, out: SessionOut | None = None) -> Rewritten:
    return rewrite(Session.parse(text), out or SessionOut(), medias)


def media_lines(text: str, *medias: MediaOut | None, index: int = 0) -> list[str]:
    """The lines of one media after rewriting, without endings."""
    session = Session.parse(rewritten(text, *medias).text)
    return [line.rstrip("\r\n") for line in session.medias[index].lines]


def addresses(text: str) -> list[str]:
    """The effective address of each media."""
    session = Session.parse(text)
    found = [connection(session, media) for media in session.medias]
    return ["none" if where is None else where.address for where in found]


# Captured descriptions.


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.stem)
def test_a_captured_description_names_the_relay_and_only_the_relay(path: Path) -> None:
    text = path.read_bytes().decode()
    session = Session.parse(text)
    outs = [replace(AUDIO, port=30000 + 2 * index) for index in range(len(session.medias))]
    new = rewrite(session, SessionOut(), outs)
    assert str(session) == text
    assert addresses(new.text) == [RELAY.address] * len(outs)
    assert [media.port for media in Session.parse(new.text).medias] == [out.port for out in outs]
    assert "a=candidate" not in new.text
    assert "a=ice" not in new.text


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.stem)
def test_a_description_that_says_it_all_already_is_not_changed(path: Path) -> None:
    session = Session.parse(path.read_bytes().decode())
    outs = [replace(AUDIO, rtcp=30001, rtcp_mux=True, direction="sendonly", mid="0")] * len(session.medias)
    once = rewrite(session, SessionOut(loop="here"), outs)
    assert rewrite(Session.parse(once.text), SessionOut(loop="here"), outs) == Rewritten(once.text, ())


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.stem)
def test_what_is_not_ours_stays_as_it_came(path: Path) -> None:
    text = path.read_bytes().decode()
    session = Session.parse(text)
    out = SessionOut(keep_bundle=True)
    assert rewrite(session, out, [None] * len(session.medias)) == Rewritten(text, ())


def test_a_plain_offer_is_changed_in_three_lines() -> None:
    text = (CAPTURES[0].parent / "sipp-offer.sdp").read_bytes().decode()
    new = rewritten(text, replace(AUDIO, rtcp=30001))
    assert new.text == (
        "v=0\r\no=- 10 1 IN IP4 127.0.0.25\r\ns=-\r\nc=IN IP4 203.0.113.1\r\nt=0 0\r\n"
        "m=audio 30000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=ptime:20\r\na=sendrecv\r\na=rtcp:30001\r\n"
    )
    assert new.changes == (
        Change("replaced", None, "c=IN IP4 203.0.113.1", Reason.ADDRESS, "c=IN IP4 127.0.0.25"),
        Change("replaced", 0, "m=audio 30000 RTP/AVP 0", Reason.ADDRESS, "m=audio 27800 RTP/AVP 0"),
        Change("added", 0, "a=rtcp:30001", Reason.RTCP),
    )


# The m= line.


def test_formats_stay_and_a_range_of_ports_becomes_one() -> None:
    line = "m=audio 5000/2 RTP/AVP 0 8 101"
    lines = media_lines(f"{HEAD}{line}\r\n", replace(AUDIO, protocol="UDP/TLS/RTP/SAVPF"))
    assert lines[0] == "m=audio 30000 UDP/TLS/RTP/SAVPF 0 8 101"


def test_a_data_channel_keeps_its_protocol_and_its_keys() -> None:
    keys = "a=setup:actpass\r\na=fingerprint:sha-256 00:01\r\na=sctp-port:5000\r\n"
    text = f"{HEAD}m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 192.0.2.7\r\n{keys}"
    lines = media_lines(text, AUDIO)
    assert lines[:2] == ["m=application 30000 UDP/DTLS/SCTP webrtc-datachannel", "c=IN IP4 203.0.113.1"]
    assert lines[2:] == keys.split("\r\n")[:-1]


def test_a_malformed_m_line_that_is_ours_is_an_error() -> None:
    with pytest.raises(SdpError) as caught:
        rewritten(HEAD + "m=audio x RTP/AVP 0\r\n", AUDIO)
    assert caught.value.line == "m=audio x RTP/AVP 0"


def test_a_malformed_m_line_that_is_not_ours_passes() -> None:
    text = HEAD + "c=IN IP4 192.0.2.7\r\nm=audio 5000 RTP/AVP 0\r\nm=odd\r\n"
    assert media_lines(text, AUDIO, None, index=1) == ["m=odd", "c=IN IP4 192.0.2.7"]


def test_a_wrong_number_of_medias_is_our_mistake() -> None:
    with pytest.raises(ValueError, match="zip"):
        rewritten(HEAD + "m=audio 5000 RTP/AVP 0\r\n", AUDIO, AUDIO)


# The c= lines.

TWO = "m=audio 5000 RTP/AVP 0\r\ni=voice\r\nm=video 5002 RTP/AVP 96\r\n"
SHARED = HEAD + "c=IN IP4 192.0.2.7\r\n" + TWO


def test_a_connection_of_the_session_is_edited_in_place() -> None:
    new = rewritten(SHARED, AUDIO, VIDEO)
    assert new.text == SHARED.replace("192.0.2.7\r\nm", "203.0.113.1\r\nm").replace(
        "audio 5000", "audio 30000"
    ).replace("video 5002", "video 30002")


def test_medias_with_different_addresses_get_a_connection_of_their_own() -> None:
    new = rewritten(SHARED, AUDIO, replace(VIDEO, connection=RELAY6))
    assert addresses(new.text) == ["203.0.113.1", "2001:db8::1"]
    assert "192.0.2.7" not in new.text.partition("s=")[2]


def test_a_connection_of_the_media_is_edited_where_it_stands() -> None:
    text = HEAD + "m=audio 5000 RTP/AVP 0\r\nb=AS:64\r\nc=IN IP6 2001:db8::7\r\na=ptime:20\r\n"
    assert media_lines(text, replace(AUDIO, connection=RELAY6)) == [
        "m=audio 30000 RTP/AVP 0",
        "b=AS:64",
        "c=IN IP6 2001:db8::1",
        "a=ptime:20",
    ]


def test_further_connections_of_a_media_are_removed() -> None:
    text = HEAD + "m=audio 5000/2 RTP/AVP 0\r\nc=IN IP4 233.252.0.1/127\r\nc=IN IP4 233.252.0.2/127\r\n"
    assert media_lines(text, AUDIO) == ["m=audio 30000 RTP/AVP 0", "c=IN IP4 203.0.113.1"]


def test_a_media_without_any_connection_gets_one_after_its_title() -> None:
    text = HEAD + "m=audio 5000 RTP/AVP 0\r\ni=voice\r\na=ptime:20\r\n"
    assert media_lines(text, AUDIO)[1:] == ["i=voice", "c=IN IP4 203.0.113.1", "a=ptime:20"]


def test_a_session_connection_that_no_media_needs_names_the_relay_too() -> None:
    text = HEAD + "c=IN IP4 192.0.2.7\r\nm=audio 5000 RTP/AVP 0\r\nc=IN IP4 192.0.2.8\r\n"
    assert rewritten(text, AUDIO).text.count("c=IN IP4 203.0.113.1\r\n") == 2


MSRP = "m=message 2855 TCP/MSRP *\r\ni=chat\r\na=path:msrp://192.0.2.7:2855/x;tcp\r\n"


def test_a_media_that_is_not_ours_keeps_the_session_connection_it_relied_on() -> None:
    text = HEAD + "c=IN IP4 192.0.2.7\r\nm=audio 5000 RTP/AVP 0\r\n" + MSRP
    new = rewritten(text, AUDIO, None)
    assert addresses(new.text) == ["203.0.113.1", "192.0.2.7"]
    assert new.text.endswith(MSRP.replace("chat\r\n", "chat\r\nc=IN IP4 192.0.2.7\r\n"))
    assert new.changes[-1] == Change("added", 1, "c=IN IP4 192.0.2.7", Reason.ADDRESS_KEPT)


def test_a_session_connection_stays_where_only_others_rely_on_it() -> None:
    text = HEAD + "c=IN IP4 192.0.2.7\r\nm=audio 5000 RTP/AVP 0\r\nc=IN IP4 192.0.2.8\r\n" + MSRP
    new = rewritten(text, AUDIO, None)
    assert addresses(new.text) == ["203.0.113.1", "192.0.2.7"]
    assert new.text.endswith(MSRP)


def test_a_rejected_media_keeps_its_lines() -> None:
    rejected = "m=video 0 RTP/AVP 96\r\na=bundle-only\r\na=inactive\r\n"
    text = HEAD + "c=IN IP4 192.0.2.7\r\nm=audio 5000 RTP/AVP 0\r\n" + rejected
    assert rewritten(text, AUDIO, None).text.endswith(rejected)


# RTCP, direction, mid.


def test_new_rtcp_lines_take_the_place_of_the_old_ones() -> None:
    lines = "a=rtcp:9 IN IP4 0.0.0.0\r\na=ptime:20\r\na=rtcp-mux-only\r\na=rtcp-mux\r\n"
    text = HEAD + "m=audio 5000 RTP/AVP 0\r\n" + lines
    out = replace(AUDIO, rtcp=30001, rtcp_connection=RELAY, rtcp_mux=True)
    assert media_lines(text, out)[2:] == ["a=rtcp:30001 IN IP4 203.0.113.1", "a=ptime:20", "a=rtcp-mux"]


def test_rtcp_lines_that_are_not_wanted_are_removed() -> None:
    text = (
        HEAD + "m=audio 5000 RTP/AVP 0\r\na=rtcp:5001\r\na=rtcp-mux\r\na=rtcp-fb:* nack\r\na=rtcp-rsize\r\n"
    )
    assert media_lines(text, AUDIO)[2:] == ["a=rtcp-fb:* nack", "a=rtcp-rsize"]


def test_an_unchanged_rtcp_line_is_no_change() -> None:
    text = HEAD + "m=audio 5000 RTP/AVP 0\r\na=rtcp-mux\r\n"
    new = rewritten(text, replace(AUDIO, rtcp_mux=True))
    assert [change.line for change in new.changes] == ["m=audio 30000 RTP/AVP 0", "c=IN IP4 203.0.113.1"]


def test_rtcp_attributes_at_the_session_level_say_nothing_about_us() -> None:
    text = HEAD + "a=rtcp-mux\r\na=rtcp:5001\r\nm=audio 5000 RTP/AVP 0\r\n"
    assert "rtcp" not in rewritten(text, AUDIO).text


def test_new_lines_come_last_and_in_order() -> None:
    text = HEAD + "m=audio 5000 RTP/AVP 0\r\na=x\r\n"
    out = replace(AUDIO, rtcp=30001, rtcp_mux=True, direction="recvonly", mid="a1")
    assert media_lines(text, out)[2:] == ["a=x", "a=mid:a1", "a=recvonly", "a=rtcp:30001", "a=rtcp-mux"]


def test_the_direction_is_replaced_in_place_and_only_if_given() -> None:
    text = HEAD + "m=audio 5000 RTP/AVP 0\r\na=sendrecv\r\na=x\r\n"
    assert media_lines(text, replace(AUDIO, direction="sendonly"))[2:] == ["a=sendonly", "a=x"]
    assert media_lines(text, AUDIO)[2:] == ["a=sendrecv", "a=x"]


def test_a_direction_of_the_session_is_left_where_it_is() -> None:
    text = HEAD + "a=sendonly\r\nm=audio 5000 RTP/AVP 0\r\n"
    new = rewritten(text, replace(AUDIO, direction="recvonly")).text
    assert "a=sendonly\r\nm=" in new
    assert new.endswith("a=recvonly\r\n")


def test_a_mid_is_left_replaced_or_taken_away() -> None:
    text = HEAD + "m=audio 5000 RTP/AVP 0\r\na=mid:theirs\r\na=x\r\n"
    assert media_lines(text, AUDIO)[2:] == ["a=mid:theirs", "a=x"]
    assert media_lines(text, replace(AUDIO, mid="ours"))[2:] == ["a=mid:ours", "a=x"]
    assert media_lines(text, replace(AUDIO, mid=""))[2:] == ["a=x"]


# The session level.

PLAIN = HEAD + "a=tool:x\r\nm=audio 5000 RTP/AVP 0\r\nc=IN IP4 192.0.2.7\r\n"


@pytest.mark.parametrize(
    ("out", "line"),
    [
        (SessionOut(origin=RELAY6), "o=alice 9 2 IN IP6 2001:db8::1"),
        (SessionOut(username="bob"), "o=bob 9 2 IN IP4 192.0.2.7"),
        (SessionOut(version=0), "o=alice 9 0 IN IP4 192.0.2.7"),
        (SessionOut(session_name="-"), "s=-"),
    ],
)
def test_parts_of_the_session_level_are_replaced_on_request(out: SessionOut, line: str) -> None:
    new = rewritten(PLAIN, AUDIO, out=out)
    assert f"\r\n{line}\r\n" in new.text
    assert [change.line for change in new.changes if change.media is None] == [line]


def test_a_malformed_origin_is_an_error_only_if_it_is_to_change() -> None:
    text = PLAIN.replace("alice ", "")
    assert "o=9 2 IN" in rewritten(text, AUDIO).text
    with pytest.raises(SdpError, match="5 fields"):
        rewritten(text, AUDIO, out=SessionOut(origin=RELAY))


def test_a_session_without_origin_or_name_gets_none() -> None:
    out = SessionOut(origin=RELAY, session_name="x")
    assert rewritten("v=0\r\n", out=out).text == "v=0\r\n"


def test_the_loop_mark_is_written_once() -> None:
    new = rewritten(PLAIN, AUDIO, out=SessionOut(loop="here")).text
    assert "a=tool:x\r\na=rtpengine:here\r\nm=" in new
    assert rewritten(new, AUDIO, out=SessionOut(loop="here")).text == new
    both = rewritten(new, AUDIO, out=SessionOut(loop="there")).text
    assert loop_id(Session.parse(both)) == ["here", "there"]


def test_a_bundle_is_split_and_other_groups_stay() -> None:
    text = PLAIN.replace("a=tool:x", "a=group:BUNDLE 0 1\r\na=group:LS 0 1")
    new = rewritten(text, AUDIO)
    assert "BUNDLE" not in new.text
    assert "a=group:LS 0 1\r\n" in new.text
    assert new.changes[0] == Change("removed", None, "a=group:BUNDLE 0 1", Reason.BUNDLE_SPLIT)
    assert "a=group:BUNDLE 0 1\r\n" in rewritten(text, AUDIO, out=SessionOut(keep_bundle=True)).text


# Lines and their endings.


def test_everything_else_passes_byte_for_byte() -> None:
    odd = "b=AS:64 \r\nk=clear:x\r\ngarbage\r\n\r\na=\udcff\r\na=x\x0b\u2028y\r\n"
    odd += "a=crypto:1 A inline:b\na=ssrc:1 cname:z\r\n"
    text = HEAD + odd + "m=audio 5000 RTP/AVP 0\r\nc=IN IP4 192.0.2.7\r\n" + odd + "a=setup:active\r\n"
    new = rewritten(text, replace(AUDIO, rtcp=30001, direction="sendonly")).text
    assert new.replace("a=sendonly\r\na=rtcp:30001\r\n", "").count(odd) == 2
    assert new.endswith(odd + "a=setup:active\r\na=sendonly\r\na=rtcp:30001\r\n")


def test_a_description_with_bare_line_feeds_keeps_them() -> None:
    text = SHARED.replace("\r\n", "\n")
    out = replace(AUDIO, rtcp=30001, connection=RELAY6)
    new = rewritten(text, out, VIDEO, out=SessionOut(loop="x", origin=RELAY)).text
    assert "\r" not in new
    assert "a=rtcp:30001\n" in new


def test_new_lines_after_an_unfinished_last_line() -> None:
    text = HEAD + "c=IN IP4 192.0.2.7\r\nm=audio 5000 RTP/AVP 0"
    assert rewritten(text, AUDIO).text.endswith("m=audio 30000 RTP/AVP 0")
    assert rewritten(text, replace(AUDIO, rtcp=1)).text.endswith("m=audio 30000 RTP/AVP 0\r\na=rtcp:1\r\n")
