from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdp.extmap import MID, extensions, mid_extension_id, payload_types, ssrcs
from sdp.session import Media, SdpError, Session

DATA = Path(__file__).parents[1] / "data" / "sdp"


def described(media: str, session: str = "", formats: str = "0") -> tuple[Session, Media]:
    parsed = Session.parse(f"v=0\r\n{session}m=audio 5000 RTP/AVP {formats}\r\n{media}")
    return parsed, parsed.medias[0]


def test_the_medias_of_a_browser_can_be_told_apart() -> None:
    session = Session.parse((DATA / "chromium-audio-video-trickle-offer.sdp").read_bytes().decode())
    audio, video = session.medias
    assert mid_extension_id(session, audio) == mid_extension_id(session, video) == 4
    assert payload_types(audio) == {111, 63, 9, 0, 8, 13, 110, 126}
    assert {96, 97, 120} <= payload_types(video)
    assert not payload_types(audio) & payload_types(video)
    assert ssrcs(audio) == {3516561794}
    assert ssrcs(video) == {31444543, 732668716}


def test_a_plain_phone_has_no_mid_in_its_packets() -> None:
    session = Session.parse((DATA / "sipp-offer.sdp").read_bytes().decode())
    media = session.medias[0]
    assert mid_extension_id(session, media) is None
    assert payload_types(media) == {0}
    assert ssrcs(media) == set()


def test_an_extension_may_have_a_direction_and_attributes() -> None:
    assert mid_extension_id(*described(f"a=extmap:7/sendonly {MID} long\r\n")) == 7


def test_extensions_of_the_session_count_where_the_media_has_none() -> None:
    session = f"a=extmap:3 {MID}\r\n"
    assert mid_extension_id(*described("", session)) == 3
    assert mid_extension_id(*described(f"a=extmap:5 {MID}\r\n", session)) == 5
    assert mid_extension_id(*described("a=extmap:3 urn:x\r\n", session)) is None


@pytest.mark.parametrize("id", ["0", "256", "4096", "99999", "x", "", "\u0663"])
def test_an_id_that_no_packet_can_carry_is_left_out(id: str) -> None:
    assert extensions(*described(f"a=extmap:{id} {MID}\r\na=extmap:2 urn:x\r\na=extmap:2 urn:y\r\n")) == {
        2: "urn:x"
    }


def test_payload_types_are_numbers_of_seven_bits() -> None:
    media = described("", formats="0 127 128 x * 96 96 \u0669 99999")[1]
    assert payload_types(media) == {0, 127, 96}


def test_payload_types_of_a_malformed_m_line_are_an_error() -> None:
    with pytest.raises(SdpError):
        payload_types(Media(["m=audio\r\n"], "\r\n"))


def test_ssrcs_are_numbers_of_32_bits() -> None:
    lines = (
        "a=ssrc:1 cname:x\r\na=ssrc:1 msid:x\r\na=ssrc:2\r\na=ssrc:4294967295 x\r\na=ssrc:4294967296 x\r\n"
    )
    odd = "a=ssrc:3x y\r\na=ssrc\r\na=ssrc: x\r\na=ssrc-group:FID 7 8\r\na=ssrc:" + "9" * 5000 + "\r\n"
    assert ssrcs(described(lines + odd)[1]) == {1, 2, 4294967295}


@given(st.text(), st.text(), st.text())
def test_any_value_is_read_without_an_error(extmap: str, ssrc: str, session: str) -> None:
    lines = [f"a=extmap:{extmap}\r\n", f"a=ssrc:{ssrc}\r\n"]
    media = Media(["m=audio 5000 RTP/AVP 0\r\n", *lines], "\r\n")
    parsed = Session([f"a=extmap:{session}\r\n"], "\r\n", [media])
    assert all(1 <= id <= 255 for id in extensions(parsed, media))
    assert all(0 <= number < 2**32 for number in ssrcs(media))
