from __future__ import annotations

from typing import Any

import pytest

from relay.calls.state import Media
from relay.forward.rule import Learn, Rule
from relay.ng.errors import NgError
from sdp.bundle import groups
from sdp.session import Session
from tests.relay.calls.desk import ALICE, BOB, CAROL, Desk, sdp

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


def test_a_description_with_fewer_medias_than_before_leaves_no_follower_without_its_leader() -> None:
    desk = Desk()
    desk.offer(browser(ALICE, "a", "v"), ICE="remove", transport_protocol="RTP/AVP", rtcp_mux=["demux"])
    desk.answer(plain(BOB, "a", "v"))
    desk.offer(plain(BOB, "a", rejected="a"), from_tag="B", to_tag="A")
    desk.answer(browser(ALICE, "a", group=""), from_tag="B", to_tag="A")
    rules = [path.rule for media in medias_of(desk, "A") for s in media.streams for path in s.paths]
    assert {id: rule.id for id, rule in desk.box.rules.items()} == {id: id for id in desk.box.rules}
    assert set(rules) <= set(desk.box.rules)
    assert set(desk.box.rules) == desk.box.allocated


def test_a_description_without_the_leader_of_a_bundle_is_no_internal_error() -> None:
    desk = Desk()
    said = browser(ALICE, "a", "v", ports="09")
    desk.offer(said, ICE="remove", transport_protocol="RTP/AVP", rtcp_mux=["demux"])
    desk.answer(plain(BOB, "a", "v"))
    assert desk.offer(plain(BOB, "a"), from_tag="B", to_tag="A").medias[0].port


def test_a_fax_in_the_place_of_the_media_that_led_a_bundle_leads_no_other() -> None:
    desk = Desk()
    desk.offer(browser(ALICE, "a", "v"), ICE="force")
    desk.answer(browser(BOB, "a", "v", setup="active"))
    assert {media.bundle for media in medias_of(desk, "B")} == {0}
    audio = browser(BOB, "a")
    line = next(line for line in audio.split("\r\n") if line.startswith("m="))
    fax = audio.replace(line, "m=image 10000 udptl t38")
    assert groups(desk.offer(fax, from_tag="B", to_tag="A")) == ()
    assert not [rule for rule in desk.box.rules.values() if rule.opaque and (rule.dtls or rule.keys)]


def test_an_answer_with_fewer_medias_than_were_bundled_is_no_internal_error() -> None:
    desk = Desk()
    desk.offer(browser(ALICE, "a", "v"), ICE="force", transport_protocol=DTLS, flags=["generate-mid"])
    desk.answer(browser(BOB, "a", "v").replace("BUNDLE a v", "BUNDLE v a"))
    assert desk.answer(browser(BOB, "a", group="")).medias[0].port


def medias_of(desk: Desk, tag: str) -> list[Media]:
    leg = desk.registry.calls["call"].leg_of(tag)
    assert leg is not None
    return leg.medias


FINGERPRINT = ":".join(["4A"] * 32)
MID_EXTENSION = "extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid"
KINDS = {"a": ("audio", "0 111"), "v": ("video", "96 97"), "s": ("video", "96 98"), "d": ("application", "x")}


def browser(host: str, *mids: str, group: str | None = None, ports: str = "", setup: str = "actpass") -> str:
    """A browser's description with DTLS. `ports`: of each mid, `9` its own, `0` bundle-only, `r` rejected."""
    named = " ".join(mids) if group is None else group
    lines = ["v=0", f"o=- 1 1 IN IP4 {host}", "s=-", f"c=IN IP4 {host}", "t=0 0", f"a=group:BUNDLE {named}"]
    for number, (mid, port) in enumerate(zip(mids, ports or "9" * len(mids), strict=True)):
        kind, formats = KINDS[mid]
        protocol = "UDP/DTLS/SCTP" if kind == "application" else DTLS
        lines += [f"m={kind} {10000 + number if port == '9' else 0} {protocol} {formats}", f"a=mid:{mid}"]
        lines += ["a=bundle-only"] if port == "0" else []
        lines += [
            "a=rtcp-mux",
            f"a=setup:{setup}",
            f"a=fingerprint:sha-256 {FINGERPRINT}",
            f"a={MID_EXTENSION}",
        ]
        lines += [f"a={line}" for line in ICE] + [f"a=ssrc:{1000 + number} cname:x"]
    return "\r\n".join([*lines, ""])


def plain(host: str, *kinds: str, rejected: str = "") -> str:
    """A plain phone: medias by the letters of KINDS."""
    medias = [
        f"m={KINDS[kind][0]} {0 if kind in rejected else 20000 + 2 * i} RTP/AVP {KINDS[kind][1].split()[0]}"
        for i, kind in enumerate(kinds)
    ]
    return "\r\n".join(["v=0", f"o=- 1 1 IN IP4 {host}", "s=-", f"c=IN IP4 {host}", "t=0 0", *medias, ""])


TO_PLAIN: dict[str, Any] = {"ICE": "remove", "transport_protocol": "RTP/AVP", "rtcp_mux": ["demux"]}
TO_BROWSER: dict[str, Any] = {
    "ICE": "force",
    "transport_protocol": DTLS,
    "rtcp_mux": ["require"],
    "flags": ["generate-mid"],
}


def candidates(session: Session) -> list[int]:
    return [len(media.attributes("candidate")) for media in session.medias]


def ports(session: Session) -> list[int]:
    return [media.port for media in session.medias]


def rules_of(desk: Desk, number: int) -> dict[bytes, Rule]:
    """The rules at a port by the mids of their medias."""
    return {rule.marks.mid: rule for rule in desk.box.rules_at(number) if rule.marks is not None}


def browser_calls(desk: Desk, *mids: str, ports: str = "", rejected: str = "") -> Session:
    """A browser calls a plain phone; returns the answer."""
    desk.offer(browser(ALICE, *mids, ports=ports), **TO_PLAIN)
    return desk.answer(plain(BOB, *mids, rejected=rejected))


def test_a_browser_that_bundles_gets_one_port_for_all_it_has() -> None:
    answer = browser_calls(Desk(), "a", "v")
    assert groups(answer) == (("a", "v"),)
    assert ports(answer)[0] == ports(answer)[1]
    assert candidates(answer) == [2, 0]
    for name in ("ice-ufrag", "fingerprint", "setup", "rtcp-mux"):
        assert len({media.attribute(name) for media in answer.medias} - {None}) == 1


def test_medias_without_a_port_of_their_own_get_that_of_the_bundle() -> None:
    answer = browser_calls(Desk(), "a", "v", ports="90")
    assert groups(answer) == (("a", "v"),)
    assert ports(answer)[0] == ports(answer)[1] > 0
    assert answer.medias[1].attribute("bundle-only") is None


def test_what_the_first_media_of_a_bundle_says_of_the_transport_counts_for_all() -> None:
    audio, video = browser(ALICE, "a", "v", ports="90").rsplit("m=", 1)
    video = "".join(
        f"{line}\r\n" for line in video.splitlines() if not line.startswith(("a=ice", "a=finger", "a=setup"))
    )
    desk = Desk()
    told = desk.offer(f"{audio}m={video}".replace(f"c=IN IP4 {ALICE}", "c=IN IP4 0.0.0.0"), **TO_PLAIN)
    assert [media.value("c") for media in told.medias] == [None, None]
    assert told.value("c") == "IN IP4 192.0.2.1"
    assert groups(desk.answer(plain(BOB, "a", "v"))) == (("a", "v"),)


def test_a_plain_phone_is_told_a_port_for_each_media_of_a_bundle() -> None:
    told = Desk().offer(browser(ALICE, "a", "v", ports="90"), **TO_PLAIN)
    assert len(set(ports(told))) == 2
    assert 0 not in ports(told)
    assert groups(told) == ()
    assert [media.attribute("bundle-only") for media in told.medias] == [None, None]


def test_packets_of_a_bundle_are_told_apart_by_what_the_browser_said() -> None:
    desk = Desk()
    answer = browser_calls(desk, "a", "v")
    found = rules_of(desk, ports(answer)[0])
    audio, video = found[b"a"], found[b"v"]
    assert audio.marks is not None
    assert video.marks is not None
    assert (audio.marks.leader, video.marks.leader) == (audio.id, audio.id)
    assert (audio.marks.mid_id, audio.marks.ssrcs, video.marks.ssrcs) == (4, (1000,), (1001,))
    assert audio.marks.payload_types == {0, 111}
    assert video.marks.payload_types == {96, 97}
    assert (video.stun, video.sources, video.learn) == (False, (), Learn.NOBODY)
    assert audio.stun


def test_each_media_of_a_bundle_goes_to_its_own_port_of_the_plain_phone() -> None:
    desk = Desk()
    told = desk.offer(browser(ALICE, "a", "v"), **TO_PLAIN)
    answer = desk.answer(plain(BOB, "a", "v"))
    found = rules_of(desk, ports(answer)[0])
    for mid, port in zip((b"a", b"v"), ports(told), strict=True):
        assert [desk.box.number_of(rule) for rule in found[mid].rtp] == [port]
        assert [rule.rtp for rule in desk.box.rules_at(port)] == [(found[mid].id,)]


def test_a_payload_type_of_two_medias_tells_nothing() -> None:
    desk = Desk()
    answer = browser_calls(desk, "v", "s")
    found = rules_of(desk, ports(answer)[0])
    assert [rule.marks.payload_types for rule in found.values() if rule.marks] == [{97}, {98}]


def test_a_bundle_with_what_cannot_share_a_port_is_not_taken() -> None:
    answer = browser_calls(Desk(), "a", "d")
    assert groups(answer) == ()
    assert len(set(ports(answer))) == 2


def test_a_data_channel_without_a_port_of_its_own_is_rejected() -> None:
    desk = Desk()
    told = desk.offer(browser(ALICE, "a", "d", ports="90"), **TO_PLAIN)
    answer = desk.answer(plain(BOB, "a", "d", rejected="d"))
    assert (ports(told)[1], ports(answer)[1]) == (0, 0)
    assert groups(answer) == (("a",),)


def test_a_callee_that_rejects_the_video_leaves_a_bundle_of_audio() -> None:
    desk = Desk()
    answer = browser_calls(desk, "a", "v", rejected="v")
    assert groups(answer) == (("a",),)
    desk.tick(31)
    (rule,) = desk.box.rules_at(ports(answer)[0])
    assert rule.marks is None


def test_a_callee_that_rejects_the_first_media_leaves_the_port_to_the_next() -> None:
    desk = Desk()
    desk.offer(browser(ALICE, "a", "v"), **TO_PLAIN)
    with_ice = {desk.box.number_of(rule.id) for rule in desk.box.rules.values() if rule.stun}
    answer = desk.answer(plain(BOB, "a", "v", rejected="a"))
    assert groups(answer) == (("v",),)
    assert ports(answer)[0] == 0
    assert ports(answer)[1] in with_ice
    assert candidates(answer) == [0, 2]


def test_a_callee_that_may_bundle_is_offered_ports_apart_and_may_take_one() -> None:
    desk = Desk()
    told = desk.offer(plain(ALICE, "a", "v"), **TO_BROWSER)
    assert groups(told) == (("1", "2"),)
    assert len(set(ports(told))) == 2
    answer = browser(BOB, "a", "v", setup="active").replace("mid:a", "mid:1").replace("mid:v", "mid:2")
    desk.answer(answer.replace("BUNDLE a v", "BUNDLE 1 2"))
    assert set(rules_of(desk, ports(told)[0])) == {b"1", b"2"}


def bundled_callee(desk: Desk) -> Session:
    """A browser calls a browser, both bundle; returns what the callee was told."""
    told = desk.offer(browser(ALICE, "a", "v"), ICE="force")
    desk.answer(browser(BOB, "a", "v", setup="active"))
    return told


def test_the_port_of_a_media_that_joined_a_bundle_is_closed_when_no_answer_can_want_it() -> None:
    desk = Desk()
    told = bundled_callee(desk)
    desk.tick(60)
    assert desk.box.rules_at(ports(told)[1]) == []
    assert ports(told)[1] not in {port.number for port in desk.box.ports.values()}


def test_a_party_that_bundled_is_offered_the_same_ports_again() -> None:
    desk = Desk()
    told = bundled_callee(desk)
    again = desk.offer(browser(ALICE, "a", "v"), to_tag="B", ICE="force")
    assert groups(again) == (("a", "v"),)
    assert ports(again) == [ports(told)[0]] * 2
    assert candidates(again) == [2, 0]


def test_a_camera_that_joins_a_call_joins_the_bundle() -> None:
    desk = Desk()
    desk.offer(browser(ALICE, "a"), ICE="force")
    first = desk.answer(browser(BOB, "a", setup="active"))
    told = desk.offer(browser(ALICE, "a", "v"), to_tag="B", ICE="force")
    assert groups(told) == (("a", "v"),)
    answer = desk.answer(browser(BOB, "a", "v", setup="active"))
    assert groups(answer) == (("a", "v"),)
    assert ports(answer) == [ports(first)[0]] * 2
    assert set(rules_of(desk, ports(told)[0])) == {b"a", b"v"}


def test_a_plain_phone_that_adds_a_camera_gets_it_into_the_bundle_of_the_browser() -> None:
    desk = Desk()
    first = browser_calls(desk, "a")
    told = desk.offer(plain(BOB, "a", "v"), from_tag="B", to_tag="A", **TO_BROWSER)
    mids = [media.attribute("mid") for media in told.medias]
    assert groups(told) == (("a", mids[1]),)
    assert ports(told)[0] == ports(first)[0] != ports(told)[1]


def test_a_camera_that_leaves_gives_nothing_up_of_the_bundle() -> None:
    desk = Desk()
    told = bundled_callee(desk)
    desk.offer(browser(ALICE, "a", "v", group="a", ports="9r"), to_tag="B", ICE="force")
    answer = desk.answer(browser(BOB, "a", "v", group="a", ports="9r", setup="active"))
    assert groups(answer) == (("a",),)
    (rule,) = desk.box.rules_at(ports(told)[0])
    assert rule.marks is None


def test_a_bundle_whose_first_media_leaves_goes_on_at_its_port() -> None:
    desk = Desk()
    told = bundled_callee(desk)
    agent = desk.registry.calls["call"].legs[2].medias[0].ice
    again = desk.offer(browser(ALICE, "a", "v", group="v", ports="r9"), to_tag="B", ICE="force")
    assert ports(again) == [0, ports(told)[0]]
    assert groups(again) == (("v",),)
    assert candidates(again) == [0, 2]
    assert desk.registry.calls["call"].legs[2].medias[1].ice is agent


def test_a_bundle_follows_ice_as_one() -> None:
    desk = Desk()
    answer = browser_calls(desk, "a", "v")
    found = rules_of(desk, ports(answer)[0])
    media = desk.registry.calls["call"].legs[1].medias[0]
    media.streams[0].path.sources = ((ALICE, 4000),)
    media.streams[0].chosen = (ALICE, 4000)
    desk.registry._sync(desk.registry.calls["call"])
    assert {desk.box.rules[rule.id].remote for rule in found.values()} == {(ALICE, 4000)}


def test_a_second_phone_that_answers_may_bundle_otherwise_than_the_first() -> None:
    desk = Desk()
    told = desk.offer(browser(ALICE, "a", "v"), ICE="force")
    desk.answer(browser(BOB, "a", "v", setup="active"), to_tag="B")
    apart = browser(BOB, "a", "v", setup="active").replace("a=group:BUNDLE a v\r\n", "")
    desk.answer(apart, to_tag="C")
    assert len(rules_of(desk, ports(told)[0])) == 2
    assert [rule.marks for rule in desk.box.rules_at(ports(told)[1])] == [None]
    assert len(desk.box.rules_at(ports(told)[0])) == 3


def test_an_offer_that_fails_leaves_the_bundle_as_it_was() -> None:
    desk = Desk()
    bundled_callee(desk)
    before = dict(desk.box.rules)
    desk.box.limit = len(desk.box.ports)
    with pytest.raises(NgError):
        desk.offer(browser(ALICE, "a", "v", "s"), to_tag="B", ICE="force")
    assert desk.box.rules == before


def test_a_call_with_bundles_leaves_nothing_behind() -> None:
    desk = Desk()
    bundled_callee(desk)
    desk.command("delete", call_id="call", from_tag="A", delete_delay=0)
    assert (desk.box.ports, desk.box.rules, desk.box.allocated, desk.box.keys) == ({}, {}, set(), {})


def test_video_that_one_phone_rejects_and_the_next_accepts_is_in_the_bundle() -> None:
    desk = Desk()
    desk.offer(browser(ALICE, "a", "v"), **TO_PLAIN)
    desk.answer(plain(BOB, "a", "v", rejected="v"), to_tag="B")
    answer = desk.answer(plain(CAROL, "a", "v"), to_tag="C")
    assert groups(answer) == (("a", "v"),)
    assert ports(answer)[0] == ports(answer)[1]
    assert all(rule.dtls for rule in rules_of(desk, ports(answer)[0]).values())


def test_a_first_media_that_one_phone_rejects_and_the_next_accepts_follows_the_other() -> None:
    desk = Desk()
    desk.offer(browser(ALICE, "a", "v"), **TO_PLAIN)
    desk.answer(plain(BOB, "a", "v", rejected="a"), to_tag="B")
    answer = desk.answer(plain(CAROL, "a", "v"), to_tag="C")
    assert groups(answer) == (("v", "a"),)
    assert ports(answer)[0] == ports(answer)[1]
    assert answer.medias[0].attribute("fingerprint") is not None


def test_what_all_phones_rejected_leaves_the_bundle_when_no_answer_is_to_come() -> None:
    desk = Desk()
    answer = browser_calls(desk, "a", "v", rejected="a")
    desk.tick(31)
    (rule,) = desk.box.rules_at(ports(answer)[1])
    assert rule.marks is None
    assert rule.stun


def test_a_media_that_left_the_bundle_is_never_told_the_port_that_others_took_over() -> None:
    desk = Desk()
    told = desk.offer(plain(ALICE, "a", "v"), **TO_BROWSER)
    answer = browser(BOB, "a", "v", setup="active").replace("mid:a", "mid:1").replace("mid:v", "mid:2")
    answer = answer.replace("BUNDLE a v", "BUNDLE 1 2")
    desk.answer(answer)
    rejecting = answer.replace("m=audio 10000", "m=audio 0").replace("BUNDLE 1 2", "BUNDLE 2")
    desk.answer(rejecting)
    again = desk.offer(plain(ALICE, "a", "v"), to_tag="B", **TO_BROWSER)
    assert ports(again)[0] != ports(again)[1] == ports(told)[0]


def test_a_plain_media_does_not_lead_a_bundle_with_one_that_wants_keys() -> None:
    desk = Desk()
    audio, video = browser(ALICE, "a", "v").rsplit("m=", 1)
    audio = "".join(f"{line}\r\n" for line in audio.splitlines() if not line.startswith("a=finger"))
    desk.offer(f"{audio.replace(DTLS, 'RTP/AVPF')}m={video}", **TO_PLAIN)
    answer = desk.answer(plain(BOB, "a", "v"))
    assert groups(answer) == ()
    assert desk.box.rule_at(ports(answer)[1]).dtls


def test_a_mid_that_is_no_utf_8_is_marked_as_it_came() -> None:
    desk = Desk()
    offer = browser(ALICE, "a", "v").replace("mid:v", "mid:\udcff").replace("BUNDLE a v", "BUNDLE a \udcff")
    desk.offer(offer, **TO_PLAIN)
    assert b"\xff" in rules_of(desk, ports(desk.answer(plain(BOB, "a", "v")))[0])


def many_medias(host: str, count: int, setup: str) -> str:
    """A browser with so many audio medias in one bundle."""
    mids = [f"m{number}" for number in range(count)]
    one = [f"m=audio 9 {DTLS} 0", "a=rtcp-mux", f"a=setup:{setup}", f"a=fingerprint:sha-256 {FINGERPRINT}"]
    medias = [[*one, *(f"a={line}" for line in ICE), f"a=mid:{mid}"] for mid in mids]
    head = [
        "v=0",
        f"o=- 1 1 IN IP4 {host}",
        "s=-",
        f"c=IN IP4 {host}",
        "t=0 0",
        f"a=group:BUNDLE {' '.join(mids)}",
    ]
    return "\r\n".join([*head, *(line for media in medias for line in media), ""])


def test_phones_whose_medias_do_not_fit_at_the_port_they_share_are_refused_and_nothing_changes() -> None:
    desk = Desk()
    shared = desk.offer(many_medias(ALICE, 22, "actpass"), ICE="force").medias[0].port
    for tag in ("B1", "B2"):
        desk.answer(many_medias(BOB, 22, "active"), tag)
    before = dict(desk.box.rules), dict(desk.box.ports), set(desk.box.allocated), len(desk.box.sent)
    with pytest.raises(NgError, match="Too many medias at one port"):
        desk.answer(many_medias(CAROL, 22, "active"), "B3")
    assert before == (desk.box.rules, desk.box.ports, desk.box.allocated, len(desk.box.sent))
    assert len(desk.box.rules_at(shared)) == 44
    desk.answer(many_medias(CAROL, 20, "active"), "B3")
    assert len(desk.box.rules_at(shared)) == 64
