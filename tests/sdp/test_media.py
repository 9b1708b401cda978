from __future__ import annotations

import pytest

from sdp.media import Connection, Direction, connection, direction, is_rtp, is_udp, origin, rtcp, rtcp_mux
from sdp.session import Media, SdpError, Session


def described(media: str = "", session: str = "") -> tuple[Session, Media]:
    """A session with one media that have these lines besides the necessary ones."""
    parsed = Session.parse(f"v=0\r\n{session}m=audio 5000 RTP/AVP 0\r\n{media}")
    return parsed, parsed.medias[0]


def test_the_connection_of_the_media_wins_over_the_session() -> None:
    both = described("c=IN IP6 2001:db8::7\r\n", "c=IN IP4 192.0.2.7\r\n")
    assert connection(*both) == Connection("IP6", "2001:db8::7")
    assert connection(*described("", "c=IN IP4 192.0.2.7\r\n")) == Connection("IP4", "192.0.2.7")
    assert connection(*described()) is None


def test_the_ttl_of_a_multicast_address_is_not_part_of_it() -> None:
    assert connection(*described("c=in ip4 233.252.0.1/127/3\r\n")) == Connection("IP4", "233.252.0.1")


@pytest.mark.parametrize(
    "line", ["c=", "c=IN IP4", "c=IN IP5 192.0.2.7", "c=ATM IP4 x", "c=IN IP4 192.0.2.7 x"]
)
def test_a_malformed_connection_is_named_in_the_error(line: str) -> None:
    with pytest.raises(SdpError) as caught:
        connection(*described(line + "\r\n"))
    assert caught.value.line == line


def test_a_connection_is_written_as_it_is_read() -> None:
    assert str(Connection("IP6", "2001:db8::7")) == "IN IP6 2001:db8::7"


def test_the_zero_addresses_are_unspecified() -> None:
    assert Connection("IP4", "0.0.0.0").unspecified
    assert Connection("IP6", "::").unspecified
    assert not Connection("IP4", "192.0.2.7").unspecified


@pytest.mark.parametrize(
    ("media", "session", "expected"),
    [
        ("", "", None),
        ("", "a=sendonly\r\n", Direction.SENDONLY),
        ("a=recvonly\r\n", "a=sendonly\r\n", Direction.RECVONLY),
        ("a=inactive\r\n", "", Direction.INACTIVE),
        ("a=sendrecv\r\n", "", Direction.SENDRECV),
        ("a=sendrecvx\r\n", "", None),
    ],
)
def test_the_direction_of_the_media_wins_over_the_session(
    media: str, session: str, expected: Direction | None
) -> None:
    assert direction(*described(media, session)) == expected


def test_rtcp_may_have_an_address() -> None:
    assert rtcp(described()[1]) is None
    assert rtcp(described("a=rtcp:5001\r\n")[1]) == (5001, None)
    assert rtcp(described("a=rtcp:9 IN IP4 0.0.0.0\r\n")[1]) == (9, Connection("IP4", "0.0.0.0"))


@pytest.mark.parametrize("value", ["", ":", ":x", ":65536", ":5001 IN", ":\u0665", ":" + "9" * 5000])
def test_a_malformed_rtcp_attribute_is_refused(value: str) -> None:
    with pytest.raises(SdpError):
        rtcp(described(f"a=rtcp{value}\r\n")[1])


def test_mux_only_is_mux() -> None:
    assert rtcp_mux(described("a=rtcp-mux\r\n")[1])
    assert rtcp_mux(described("a=rtcp-mux-only\r\n")[1])
    assert not rtcp_mux(described("a=rtcp:5001\r\n")[1])


@pytest.mark.parametrize(
    ("protocol", "rtp", "udp"),
    [
        ("RTP/AVP", True, True),
        ("RTP/SAVPF", True, True),
        ("UDP/TLS/RTP/SAVPF", True, True),
        ("udptl", False, True),
        ("UDP/DTLS/SCTP", False, True),
        ("DTLS/SCTP", False, True),
        ("TCP/RTP/AVP", True, False),
        ("TCP/MSRP", False, False),
        ("TCP/DTLS/SCTP", False, False),
        ("carrier-pigeon", False, False),
    ],
)
def test_protocols_are_told_apart(protocol: str, rtp: bool, udp: bool) -> None:
    assert (is_rtp(protocol), is_udp(protocol)) == (rtp, udp)


def test_the_origin_is_read_and_written() -> None:
    session = described(session="o=alice 9 18446744073709551616 IN IP4 192.0.2.7\r\n")[0]
    found = origin(session)
    assert found is not None
    assert (found.username, found.session_id, found.connection.address) == ("alice", "9", "192.0.2.7")
    assert str(found) == "alice 9 18446744073709551616 IN IP4 192.0.2.7"
    assert origin(described()[0]) is None


def test_an_origin_without_six_fields_is_refused() -> None:
    with pytest.raises(SdpError, match="5 fields") as caught:
        origin(described(session="o=9 1 IN IP4 192.0.2.7\r\n")[0])
    assert caught.value.line == "o=9 1 IN IP4 192.0.2.7"
