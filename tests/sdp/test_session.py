from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdp.session import Media, MediaLine, SdpError, Session, attribute_name, replace_media_line

CAPTURES = sorted((Path(__file__).parents[1] / "data" / "sdp").glob("*.sdp"))
PLAIN = "v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\nm=audio 5000 RTP/AVP 0\r\n"

LINES = st.sampled_from(
    [
        "m=audio 5000 RTP/AVP 0",
        "m=",
        "a=sendrecv",
        "c=IN IP4 192.0.2.7",
        "",
        "garbage",
        "a=x\x0by\u2028z",
        "\r",
    ]
) | st.text(max_size=20)
TEXTS = st.lists(st.tuples(LINES, st.sampled_from(["\r\n", "\n", ""])), max_size=12).map(
    lambda lines: "v=" + "".join(line + ending for line, ending in lines)
)


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.stem)
def test_a_captured_description_comes_out_as_it_came_in(path: Path) -> None:
    text = path.read_bytes().decode("utf-8", "surrogateescape")
    session = Session.parse(text)
    assert str(session) == text
    assert len(session.medias) == text.count("\nm=")


@given(TEXTS)
def test_any_text_that_begins_with_v_comes_out_as_it_came_in(text: str) -> None:
    assert str(Session.parse(text)) == text


@pytest.mark.parametrize("text", ["", "\r\nv=0\r\n", "o=- 1 1 IN IP4 192.0.2.7\r\nv=0\r\n", "V=0\r\n"])
def test_a_text_that_does_not_begin_with_v_is_refused(text: str) -> None:
    with pytest.raises(SdpError):
        Session.parse(text)


def test_the_error_names_the_offending_line_without_its_ending() -> None:
    with pytest.raises(SdpError, match="does not begin with v=") as caught:
        Session.parse("hello\r\nv=0\r\n")
    assert caught.value.line == "hello"


@pytest.mark.parametrize(
    ("text", "newline"), [("v=0\r\ns=-\n", "\r\n"), ("v=0\ns=-\r\n", "\n"), ("v=0", "\r\n"), ("v=\r", "\r\n")]
)
def test_new_lines_end_like_the_first_line(text: str, newline: str) -> None:
    assert Session.parse(text).newline == newline


def test_lines_before_the_first_m_line_belong_to_the_session() -> None:
    session = Session.parse(PLAIN + "a=sendonly\r\nm=video 0 RTP/AVP 96\r\n")
    assert [len(media.lines) for media in session.medias] == [2, 1]
    assert len(session.lines) == 5


def test_a_copy_may_be_changed_without_touching_the_original() -> None:
    session = Session.parse(PLAIN)
    copy = session.copy()
    copy.lines.pop()
    copy.medias[0].lines.append("a=sendonly\r\n")
    assert str(session) == PLAIN


def test_the_first_line_of_a_type_is_its_value() -> None:
    session = Session.parse("v=0\r\nc=IN IP4 192.0.2.1\r\nc=IN IP4 192.0.2.2\r\n")
    assert session.value("c") == "IN IP4 192.0.2.1"
    assert session.value("b") is None


def test_attributes_are_found_by_their_whole_name() -> None:
    session = Session.parse("v=0\na=rtcp-mux\na=rtcp:9 IN IP4 0.0.0.0\na=rtcp-fb:* nack\na=rtcp:10\n")
    assert session.attribute("rtcp-mux") == ""
    assert session.attributes("rtcp") == ["9 IN IP4 0.0.0.0", "10"]
    assert session.attribute("rtc") is None


def test_an_attribute_name_ends_at_the_colon() -> None:
    names = [
        attribute_name(line) for line in ("a=rtcp:5001\r\n", "a=sendrecv \n", "c=IN IP4 192.0.2.1\n", "")
    ]
    assert names == ["rtcp", "sendrecv", "", ""]


def test_an_m_line_is_read_in_parts() -> None:
    media = Media(["m=audio 27800/2 RTP/AVP 0 8\r\n"], "\r\n")
    assert media.parsed == MediaLine("audio", 27800, 2, "RTP/AVP", ("0", "8"))
    assert (media.kind, media.port, media.port_count) == ("audio", 27800, 2)
    assert (media.protocol, media.formats) == ("RTP/AVP", ("0", "8"))


@pytest.mark.parametrize(
    "line",
    [
        "m=",
        "m=audio",
        "m=audio RTP/AVP 0",
        "m=audio x RTP/AVP 0",
        "m=audio 65536 RTP/AVP 0",
        "m=audio -1 RTP/AVP 0",
        "m=audio 5000/x RTP/AVP 0",
        "m=audio 5000/0 RTP/AVP 0",
        "m=audio 5000",
        "m=audio " + "9" * 5000 + " RTP/AVP 0",
        "m=audio \u0665\u0660\u0660\u0660 RTP/AVP 0",
    ],
)
def test_a_malformed_m_line_is_refused_when_it_is_read(line: str) -> None:
    media = Session.parse(PLAIN + line + "\r\n").medias[1]
    with pytest.raises(SdpError) as caught:
        _ = media.port
    assert caught.value.line == line


def test_replacing_the_port_leaves_the_rest_of_the_m_line() -> None:
    line = "m=audio  27800/2 RTP/AVP 0  8 \r\n"
    assert replace_media_line(line, 1, None) == "m=audio  1 RTP/AVP 0  8 "
    assert replace_media_line(line, 1, "RTP/SAVP") == "m=audio  1 RTP/SAVP 0  8 "
