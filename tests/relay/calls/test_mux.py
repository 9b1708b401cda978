"""The table of ``docs/ng.md``, as rtpengine 10.5 was seen to behave: offered, words, answered."""

from __future__ import annotations

import itertools

import pytest

from tests.relay.calls.desk import BOB, Desk, sdp

WORDS = (
    (),
    ("offer",),
    ("require",),
    ("accept",),
    ("offer", "accept"),
    ("demux",),
    ("demux", "accept"),
    ("reject",),
    ("offer", "reject"),
    ("demux", "reject"),
)


def wanted(offered: bool, words: tuple[str, ...], answered: bool) -> tuple[bool, bool]:
    """Whether the answerer is offered mux, and whether the offerer gets it."""
    pushed = "offer" in words or "require" in words
    towards_b = pushed or (offered and "demux" not in words)
    if not offered or "reject" in words:
        return towards_b, False
    if "accept" in words or ("demux" in words and not pushed):
        return towards_b, True
    return towards_b, answered


@pytest.mark.parametrize(
    ("offered", "words", "answered"), list(itertools.product((False, True), WORDS, (False, True)))
)
def test_rtcp_mux_towards_both_parties(offered: bool, words: tuple[str, ...], answered: bool) -> None:
    towards_b, towards_a = wanted(offered, words, answered)
    desk = Desk()
    offer = desk.offer(sdp("198.51.100.1", 10000, *(["rtcp-mux"] if offered else [])), rtcp_mux=list(words))
    answer = desk.answer(sdp(BOB, 20000, *(["rtcp-mux"] if answered else [])))
    assert (offer.medias[0].attribute("rtcp-mux") is not None) == towards_b
    assert (answer.medias[0].attribute("rtcp-mux") is not None) == towards_a


def test_an_offer_of_mux_names_both_ports_as_the_answerer_may_refuse() -> None:
    media = Desk().offer(sdp("198.51.100.1", 10000, "rtcp-mux")).medias[0]
    assert media.attribute("rtcp") == str(media.port + 1)


def test_required_mux_has_one_port() -> None:
    desk = Desk()
    media = desk.offer(sdp(), rtcp_mux=["require"]).medias[0]
    assert media.attribute("rtcp") == str(media.port)
    assert len(desk.box.ports) == 3


def test_an_answer_with_mux_closes_the_rtcp_ports_once_no_other_answer_can_come() -> None:
    desk = Desk()
    desk.offer(sdp("198.51.100.1", 10000, "rtcp-mux"))
    media = desk.answer(sdp(BOB, 20000, "rtcp-mux")).medias[0]
    assert media.attribute("rtcp") == str(media.port)
    desk.tick(30)
    assert len(desk.box.ports) == 2


def test_a_muxed_and_an_unmuxed_leg_are_bridged() -> None:
    desk = Desk()
    callee = desk.offer(sdp("198.51.100.1", 10000, "rtcp-mux"), rtcp_mux=["demux"]).medias[0].port
    caller = desk.answer(sdp(BOB, 20000)).medias[0].port
    from_caller = desk.box.rule_at(caller)
    assert [desk.box.number_of(rule) for rule in from_caller.rtp] == [callee]
    assert [desk.box.number_of(rule) for rule in from_caller.rtcp] == [callee + 1]
    assert [desk.box.number_of(rule) for rule in desk.box.rule_at(callee + 1).rtcp] == [caller]


def test_agreed_mux_is_required_from_then_on() -> None:
    desk = Desk()
    first = desk.offer(sdp("198.51.100.1", 10000, "rtcp-mux")).medias[0]
    desk.answer(sdp(BOB, 20000, "rtcp-mux"))
    again = desk.offer(sdp("198.51.100.1", 10000, "rtcp-mux"), to_tag="B").medias[0]
    assert again.port == first.port
    assert again.attribute("rtcp") == str(again.port)


def test_an_offerer_that_gives_up_mux_gets_a_port_for_rtcp() -> None:
    desk = Desk()
    desk.offer(sdp("198.51.100.1", 10000, "rtcp-mux"))
    desk.answer(sdp(BOB, 20000, "rtcp-mux"))
    desk.offer(sdp(), to_tag="B")
    media = desk.answer(sdp(BOB, 20000, "rtcp-mux")).medias[0]
    assert media.attribute("rtcp-mux") is None
    assert media.attribute("rtcp") == str(media.port + 1)
