from __future__ import annotations

import pytest

from relay.calls.clocks import agreed, rates
from relay.forward.rule import Clock
from sdp.session import Session
from tests.relay.calls.desk import ALICE, BOB, Desk, sdp, told

OPUS = ("rtpmap:111 opus/48000/2", "rtpmap:101 telephone-event/8000", "rtpmap:110 telephone-event/48000")


def audio(host: str, formats: str, *attributes: str, port: int = 10000) -> str:
    return sdp(host, port, *attributes).replace("RTP/AVP 0", f"RTP/AVP {formats}")


def rates_of(text: str) -> tuple[tuple[int, int], ...]:
    return rates(Session.parse(text).medias[0])


def test_rates_are_those_of_the_map_or_of_the_number() -> None:
    assert rates_of(audio(ALICE, "111 0 9 101 110", *OPUS)) == ((111, 48000), (0, 8000), (9, 8000))


@pytest.mark.parametrize("line", ["", "96", "96 x", "96 x/", "96 x/0", "96 x/99999999", "96 x/-1", "a b/1"])
def test_what_cannot_be_read_has_no_rate(line: str) -> None:
    assert rates_of(audio(ALICE, "96 0", f"rtpmap:{line}")) == ((0, 8000),)


def test_the_first_format_that_both_have_gives_the_clock() -> None:
    theirs, ours = ((111, 48000), (0, 8000), (8, 8000)), ((0, 8000), (8, 8000))
    assert agreed(theirs, ours) == Clock(8000, frozenset({0, 8}))
    assert agreed(theirs, theirs) == Clock(48000, frozenset({111}))


def test_before_the_answer_there_is_only_the_offer() -> None:
    assert agreed((), ((8, 8000),)) == Clock(8000, frozenset({8}))
    assert agreed((), ()) is None


def test_both_directions_of_a_call_have_the_clock_of_the_codec_that_was_answered() -> None:
    desk = Desk()
    callee = told(desk.offer(audio(ALICE, "111 0 101", *OPUS)))[1]
    caller = told(desk.answer(audio(BOB, "0 101", "rtpmap:101 telephone-event/8000", port=20000)))[1]
    for port in (caller, callee):
        assert desk.box.rule_at(port).clock == Clock(8000, frozenset({0}))
        assert desk.box.rule_at(port + 1).clock is None
