from __future__ import annotations

from sdp.bundle import groups
from tests.relay.calls.desk import ALICE, BOB, Desk, sdp

ICE = ("ice-ufrag:abcd", "ice-pwd:0123456789abcdefghijkl")


def bundled(host: str, port: int, *mids: str, group: str | None = None) -> str:
    """A browser's description: one media for each mid, all in one bundle unless `group` names another."""
    head = sdp(host, port).split("m=")[0]
    medias = [sdp(host, port, "rtcp-mux", f"mid:{mid}", *ICE).split("m=")[1] for mid in mids]
    named = " ".join(mids) if group is None else group
    return "m=".join([f"{head}a=group:BUNDLE {named}\r\n", *medias])


DTLS = "UDP/TLS/RTP/SAVPF"


def without_video(text: str) -> str:
    """The second media is rejected."""
    first, second = text.rsplit("m=", 1)
    return f"{first}m={second.split()[0]} 0 {second.split(' ', 2)[2]}"


def test_a_caller_that_bundles_its_only_media_is_answered_with_that_bundle() -> None:
    desk = Desk()
    desk.offer(bundled(ALICE, 10000, "a"), ICE="remove", rtcp_mux=["demux"])
    assert groups(desk.answer(sdp(BOB, 20000))) == (("a",),)


def test_a_callee_that_may_bundle_is_offered_its_only_media_as_a_bundle() -> None:
    offer = Desk().offer(bundled(ALICE, 10000, "a"), ICE="force", transport_protocol=DTLS)
    assert groups(offer) == (("a",),)


def test_a_plain_caller_is_offered_on_with_a_bundle_where_mids_are_generated() -> None:
    offer = Desk().offer(
        sdp(ALICE), ICE="force", rtcp_mux=["require"], flags=["generate-mid"], transport_protocol=DTLS
    )
    assert groups(offer) == (("1",),)


def test_a_callee_that_is_no_browser_is_offered_no_bundle() -> None:
    assert groups(Desk().offer(bundled(ALICE, 10000, "a"), ICE="force")) == ()


def test_a_callee_without_mux_is_offered_no_bundle() -> None:
    offer = Desk().offer(bundled(ALICE, 10000, "a"), ICE="force", rtcp_mux=["demux"], transport_protocol=DTLS)
    assert groups(offer) == ()


def test_a_callee_without_mids_is_offered_no_bundle() -> None:
    offer = Desk().offer(sdp(ALICE), ICE="force", rtcp_mux=["require"], transport_protocol=DTLS)
    assert groups(offer) == ()


def test_several_medias_are_bundled_in_neither_direction() -> None:
    desk = Desk()
    offer = desk.offer(bundled(ALICE, 10000, "a", "v"), ICE="force", transport_protocol=DTLS)
    assert groups(offer) == ()
    assert groups(desk.answer(bundled(BOB, 20000, "a", "v"))) == ()


def test_the_bundle_stays_where_all_but_its_first_media_are_rejected() -> None:
    desk = Desk()
    desk.offer(bundled(ALICE, 10000, "a", "v"), ICE="force")
    assert groups(desk.answer(without_video(bundled(BOB, 20000, "a", "v")))) == (("a",),)


def test_the_bundle_goes_where_its_first_media_is_rejected() -> None:
    desk = Desk()
    desk.offer(bundled(ALICE, 10000, "v", "a", group="a v"), ICE="force")
    assert groups(desk.answer(without_video(bundled(BOB, 20000, "v", "a")))) == ()


def test_a_bundle_that_was_agreed_stays_when_a_media_is_added() -> None:
    desk = Desk()
    desk.offer(bundled(ALICE, 10000, "a"), ICE="force")
    desk.answer(bundled(BOB, 20000, "a"))
    again = desk.offer(bundled(ALICE, 10000, "a", "v"), to_tag="B", ICE="force")
    assert groups(again) == (("a",),)


def test_a_party_that_answered_without_a_bundle_is_not_asked_again() -> None:
    desk = Desk()
    desk.offer(bundled(ALICE, 10000, "a"), ICE="force")
    desk.answer(sdp(BOB, 20000, "mid:a", "rtcp-mux", *ICE))
    again = desk.offer(bundled(ALICE, 10000, "a"), to_tag="B", ICE="force")
    assert groups(again) == ()


def test_a_party_that_bundled_is_offered_its_bundle_again_under_its_own_mid() -> None:
    desk = Desk()
    desk.offer(bundled(ALICE, 10000, "mine"), ICE="remove", rtcp_mux=["demux"])
    desk.answer(sdp(BOB, 20000))
    again = desk.offer(sdp(BOB, 20000), from_tag="B", to_tag="A")
    assert groups(again) == (("mine",),)
