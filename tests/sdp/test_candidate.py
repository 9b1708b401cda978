from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdp.candidate import Candidate, foundation, priority
from sdp.session import SdpError

CHROMIUM = "597489786 1 tcp 1518083839 100.64.3.7 9 typ host tcptype active generation 0 network-id 1"
BARESIP = "0a140005 1 UDP 2113929471 10.20.0.5 27082 typ host"
SRFLX = "5 1 udp 1694497535 198.51.100.20 40001 typ srflx raddr 0.0.0.0 rport 0"

token = st.text("abcdefghijklmnopqrstuvwxyz0123456789-+/.:", min_size=1, max_size=8)


def test_a_candidate_is_read_in_parts() -> None:
    candidate = Candidate.parse(SRFLX)
    assert candidate.foundation == "5"
    assert (candidate.component, candidate.transport, candidate.priority) == (1, "udp", 1694497535)
    assert (candidate.address, candidate.port, candidate.type) == ("198.51.100.20", 40001, "srflx")
    assert candidate.extensions == ("raddr", "0.0.0.0", "rport", "0")


def test_extensions_are_found_by_name() -> None:
    candidate = Candidate.parse(CHROMIUM)
    assert candidate.extension("tcptype") == "active"
    assert candidate.extension("network-id") == "1"
    assert candidate.extension("active") is None


@pytest.mark.parametrize(
    "value", [CHROMIUM, BARESIP, SRFLX, "1  1 udp 007 192.0.2.7 9 TYP host ", f"{SRFLX} odd"]
)
def test_an_untouched_candidate_is_written_as_it_came(value: str) -> None:
    assert str(Candidate.parse(value)) == value


@given(st.lists(st.tuples(token, token), max_size=5))
def test_unknown_extensions_survive(extensions: list[tuple[str, str]]) -> None:
    value = " ".join(["1 1 udp 1 192.0.2.7 9 typ host", *(f"{k} {v}" for k, v in extensions)])
    assert str(Candidate.parse(value)) == value


def test_a_changed_candidate_is_written_with_the_change() -> None:
    candidate = replace(Candidate.parse(CHROMIUM), priority=7)
    assert str(candidate) == CHROMIUM.replace("1518083839", "7")


def test_a_candidate_made_by_us_is_written_by_the_grammar() -> None:
    candidate = Candidate(
        "F", 2, "udp", 1, "192.0.2.9", 5001, "relay", ("raddr", "192.0.2.9", "rport", "5001")
    )
    assert str(candidate) == "F 2 udp 1 192.0.2.9 5001 typ relay raddr 192.0.2.9 rport 5001"
    assert Candidate.parse(str(candidate)) == candidate


@pytest.mark.parametrize(
    "value",
    [
        "",
        "1 1 udp 1 192.0.2.7 9",
        "1 1 udp 1 192.0.2.7 9 host",
        "1 1 udp 1 192.0.2.7 9 typ",
        "1 0 udp 1 192.0.2.7 9 typ host",
        "1 257 udp 1 192.0.2.7 9 typ host",
        "1 1 udp x 192.0.2.7 9 typ host",
        "1 1 udp 4294967296 192.0.2.7 9 typ host",
        "1 1 udp 1 192.0.2.7 65536 typ host",
        "1 1 udp 1 192.0.2.7 -1 typ host",
        "x" * 33 + " 1 udp 1 192.0.2.7 9 typ host",
        "1 \u0661 udp 1 192.0.2.7 9 typ host",
    ],
)
def test_a_malformed_candidate_is_refused_with_its_line(value: str) -> None:
    with pytest.raises(SdpError) as caught:
        Candidate.parse(value)
    assert caught.value.line == f"a=candidate:{value}"


@given(st.text() | st.text(" 1udptyphs.", max_size=60))
def test_any_text_is_a_candidate_that_comes_out_as_it_came_or_an_error(value: str) -> None:
    try:
        candidate = Candidate.parse(value)
    except SdpError:
        return
    assert str(candidate) == value


@pytest.mark.parametrize(
    ("type", "component", "local", "expected"),
    [
        ("host", 1, 65535, 2130706431),
        ("host", 2, 65535, 2130706430),
        ("host", 1, 65534, 2130706175),
        ("srflx", 1, 65535, 1694498815),
        ("prflx", 1, 65535, 1862270975),
        ("relay", 1, 65535, 16777215),
        ("relay", 256, 0, 0),
    ],
)
def test_priority_is_the_formula_of_the_rfc(type: str, component: int, local: int, expected: int) -> None:
    assert priority(type, component, local) == expected


def test_foundation_is_equal_for_equal_bases_only() -> None:
    mine = foundation("host", "192.0.2.9", "udp")
    assert mine == foundation("host", "192.0.2.9", "UDP")
    others = {
        foundation("relay", "192.0.2.9", "udp"),
        foundation("host", "192.0.2.8", "udp"),
        foundation("host", "192.0.2.9", "tcp"),
        foundation("host", "192.0.2.9", "udp", "192.0.2.53:3478"),
    }
    assert len(others | {mine}) == 5


def test_foundation_is_made_of_ice_chars_and_stable() -> None:
    assert re.fullmatch(r"[A-Za-z0-9+/]{1,32}", foundation("host", "2001:db8::9", "udp"))
    assert foundation("host", "192.0.2.9", "udp") == "HAWY7OKGWDAIA"
