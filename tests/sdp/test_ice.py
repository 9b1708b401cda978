from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdp.candidate import Candidate
from sdp.ice import OWN_LIMIT, IceDescription, is_relay, own_priority, read, useless
from sdp.reason import Reason
from sdp.session import Session

DATA = Path(__file__).parents[1] / "data" / "sdp"
HOST = "1 1 udp 2130706431 192.0.2.7 5000 typ host"


def ice_of(text: str) -> IceDescription:
    session = Session.parse(text)
    return read(session, session.medias[0])


def captured(name: str) -> IceDescription:
    return ice_of((DATA / f"{name}.sdp").read_bytes().decode())


def described(media: str, session: str = "", m: str = "m=audio 5000 RTP/AVP 0") -> IceDescription:
    return ice_of(f"v=0\r\nc=IN IP4 192.0.2.7\r\n{session}{m}\r\n{media}")


def with_priority(priority: int) -> Candidate:
    return Candidate("1", 1, "udp", priority, "192.0.2.7", 5000, "host")


def test_a_browsers_ice_is_read() -> None:
    ice = captured("chromium-audio-offer")
    assert (ice.ufrag, ice.pwd) == ("KVF9", "9RkwrNWR4Q74UJbTDujnXuX7")
    assert [candidate.transport for candidate in ice.candidates] == ["udp"] * 5 + ["tcp"] * 5
    assert (ice.options, ice.trickle, ice.end_of_candidates) == (("trickle",), True, False)
    assert ice.offered
    assert not ice.lite
    assert not ice.mismatch


def test_credentials_of_the_session_level_count_for_its_medias() -> None:
    ice = captured("baresip-ice-dtls-offer")
    assert (ice.ufrag, ice.pwd) == ("44SKLdZ", "jVKI261tBr8A7dRyfM9NN4zTuXd65HX")
    assert [str(candidate) for candidate in ice.candidates] == [
        "0a140005 1 UDP 2113929471 10.20.0.5 27082 typ host"
    ]


def test_credentials_of_the_media_win_over_the_session() -> None:
    own, shared = "own" * 8, "shared" * 4
    ice = described(
        f"a=ice-ufrag:mine\r\na=ice-pwd:{own}\r\n", f"a=ice-ufrag:theirs\r\na=ice-pwd:{shared}\r\n"
    )
    assert (ice.ufrag, ice.pwd) == ("mine", own)


@pytest.mark.parametrize("ufrag", ["four", "u" * 256, "a+/Z9", "with-what_browsers=let#pass"])
@pytest.mark.parametrize("pwd", ["p" * 22, "p" * 256, "0123456789+/-_=#ABCDEF"])
def test_credentials_of_every_length_that_there_is_are_read(ufrag: str, pwd: str) -> None:
    ice = described(f"a=ice-ufrag:{ufrag}\r\na=ice-pwd:{pwd}\r\n")
    assert (ice.ufrag, ice.pwd, ice.malformed) == (ufrag, pwd, False)


@pytest.mark.parametrize(
    ("ufrag", "pwd"),
    [
        ("one", "p" * 22), ("u" * 257, "p" * 22), ("x d7:command4:pinge", "p" * 22), ("üüüü", "p" * 22),
        ("a:bc", "p" * 22), ("abc\tdef", "p" * 22), ("", "p" * 22),
        ("four", "p" * 21), ("four", "p" * 257), ("four", "p" * 20 + " p"),
        ("four", "p" * 21 + "\N{DEGREE SIGN}"),
    ],
)  # fmt: skip
def test_credentials_that_are_none_count_as_no_ice(ufrag: str, pwd: str) -> None:
    ice = described(f"a=ice-ufrag:{ufrag}\r\na=ice-pwd:{pwd}\r\na=candidate:{HOST}\r\n")
    assert (ice.ufrag, ice.pwd, ice.offered, ice.malformed) == (None, None, False, True)


def test_a_plain_phone_offers_no_ice() -> None:
    ice = captured("baresip-plain-offer")
    assert not ice.offered
    assert not ice.trickle
    assert ice.candidates == ()


def test_candidates_that_cannot_be_read_are_listed_apart() -> None:
    ice = described(f"a=candidate:nonsense\r\na=candidate:{HOST}\r\na=candidate\r\n")
    assert [str(candidate) for candidate in ice.candidates] == [HOST]
    assert ice.invalid == ("nonsense", "")


def test_lite_is_said_at_the_session_level() -> None:
    assert described("", "a=ice-lite\r\n").lite
    assert not described("a=ice-lite\r\n").lite


def test_the_end_of_candidates_and_a_mismatch_are_read() -> None:
    assert captured("aiortc-audio-offer").end_of_candidates
    assert described("a=ice-mismatch\r\n").mismatch


@pytest.mark.parametrize(
    ("media", "m", "trickle"),
    [
        ("a=ice-ufrag:xxxx\r\na=ice-options:rtp+ecn trickle\r\n", "m=audio 5000 RTP/AVP 0", True),
        ("a=ice-ufrag:xxxx\r\n", "m=audio 9 RTP/AVP 0", True),
        ("a=ice-ufrag:xxxx\r\nc=IN IP4 0.0.0.0\r\n", "m=audio 5000 RTP/AVP 0", True),
        ("a=ice-ufrag:xxxx\r\na=ice-options:rtp+ecn\r\n", "m=audio 9 RTP/AVP 0", False),
        ("a=ice-ufrag:xxxx\r\n", "m=audio 5000 RTP/AVP 0", False),
        ("c=IN IP4 0.0.0.0\r\n", "m=audio 5000 RTP/AVP 0", False),
    ],
)
def test_a_peer_trickles_if_it_says_so_or_has_no_address_yet(media: str, m: str, trickle: bool) -> None:
    assert described(media, m=m).trickle is trickle


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("1 1 udp 1 10.20.0.5 5000 typ host", Reason.HOST_USELESS),
        ("1 1 UDP 1 fd20::5 5000 typ host", Reason.HOST_USELESS),
        ("1 1 udp 1 ::ffff:10.20.0.5 5000 typ host", Reason.HOST_USELESS),
        ("1 1 udp 1 198.51.100.20 5000 typ srflx raddr 0.0.0.0 rport 0", Reason.SRFLX_USELESS),
        ("1 1 udp 1 198.51.100.20 5000 typ prflx", Reason.PRFLX_USELESS),
        ("1 1 udp 1 203.0.113.9 5000 typ relay", Reason.RELAY_REPLACED),
        ("1 1 tcp 1 10.20.0.5 9 typ host tcptype active", Reason.TCP_USELESS),
        ("1 1 udp 1 3fa9c0c1-7b2c-4c3e-a9a5-8d1a2f.local 5000 typ host", Reason.MDNS_USELESS),
        ("1 1 udp 1 phone.example.com 5000 typ host", Reason.NAME_USELESS),
        ("1 1 sctp 1 10.20.0.5 5000 typ host", Reason.UNKNOWN_USELESS),
        ("1 1 udp 1 10.20.0.5 5000 typ carrier", Reason.UNKNOWN_USELESS),
        ("1 1 udp 1 10.20.0.5 0 typ host", Reason.INVALID),
        ("1 1 udp 1 127.0.0.1 5000 typ host", Reason.INVALID),
        ("1 1 udp 1 ::1 5000 typ host", Reason.INVALID),
        ("1 1 udp 1 :: 5000 typ host", Reason.INVALID),
        ("1 1 udp 1 0.0.0.0 5000 typ host", Reason.INVALID),
        ("1 1 udp 1 233.252.0.1 5000 typ host", Reason.INVALID),
        ("1 1 udp 1 ff02::1 5000 typ host", Reason.INVALID),
        ("nonsense", Reason.INVALID),
    ],
)
def test_a_candidate_is_useless_for_one_of_few_reasons(value: str, reason: Reason) -> None:
    assert useless(value) is reason


def test_only_a_readable_relay_candidate_is_a_relay() -> None:
    assert is_relay("8 1 udp 16775167 203.0.113.9 50001 typ relay raddr 0.0.0.0 rport 0")
    assert not is_relay(HOST)
    assert not is_relay("typ relay")


def test_alone_our_host_candidate_has_the_highest_priority_there_is() -> None:
    assert own_priority((), 1, "host", 0) == 2130706431
    assert own_priority((), 2, "host", 0) == 2130706430
    assert own_priority((), 1, "host", 1) == 2130640895


def test_our_relay_candidate_is_below_the_direct_ones_without_further_ado() -> None:
    assert own_priority([with_priority(1694497023)], 1, "relay", 0) == (2 << 24) + (65535 << 8) + 255


def test_our_candidate_goes_below_a_relay_of_the_peer() -> None:
    kept = [with_priority(16775167), with_priority(16774911)]
    assert own_priority(kept, 1, "relay", 0) == 16774655
    assert own_priority(kept, 2, "host", 0) == 16774654


@given(
    st.lists(st.integers(0, 2**32 - 1) | st.integers(0, 9000), max_size=8), st.sampled_from(["host", "relay"])
)
def test_our_priorities_are_unique_and_below_the_kept_ones_where_there_is_room(
    priorities: list[int], type: str
) -> None:
    kept = [with_priority(priority) for priority in priorities]
    ours = [own_priority(kept, *at) for at in [(c, type, i) for i in range(OWN_LIMIT) for c in (1, 2)]]
    assert len(set(ours)) == len(ours)
    assert not set(ours) & set(priorities)
    assert all(1 <= priority < 2**31 for priority in ours)
    if not priorities or min(priorities) > 2 * OWN_LIMIT:
        assert all(priority < min(priorities, default=2**31) for priority in ours)
        best_first = [own_priority(kept, 1, type, index) for index in range(OWN_LIMIT)]
        assert all(first > second for first, second in itertools.pairwise(best_first))


@pytest.mark.parametrize(("component", "index"), [(0, 0), (3, 0), (1, -1), (1, OWN_LIMIT)])
def test_a_candidate_we_could_not_have_gets_no_priority(component: int, index: int) -> None:
    with pytest.raises(ValueError, match="no own candidate"):
        own_priority((), component, "host", index)
