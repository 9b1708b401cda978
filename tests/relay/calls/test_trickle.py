from __future__ import annotations

from typing import Any

import pytest

from relay.calls.commands import execute
from relay.calls.leg_ice import MAX_CANDIDATES, MAX_CHECKED
from relay.calls.registry import Times
from relay.calls.report import Readings, Traffic
from relay.calls.state import MediaIce
from relay.calls.trickle import MAX_CALLS, MAX_WAITING, REASONS, WAIT
from relay.ng import bencode
from relay.ng.errors import NgError
from relay.ng.request import parse
from sdp.candidate import priority
from sdp.fragment import MAX_LENGTH
from sdp.ice import read
from tests.blackbox.recording import exchanges
from tests.relay.calls.desk import ALICE, BOB, PLAIN, Desk, sdp

ALICE_ICE = ("ice-ufrag:abcd", "ice-pwd:abcdefghijklmnopqrstuv", "ice-options:trickle", "mid:0")
BOB_ICE = ("ice-ufrag:bbbb", "ice-pwd:bbbbbbbbbbbbbbbbbbbbbb", "ice-options:trickle", "mid:0")
BARE = sdp(ALICE, 9, *ALICE_ICE)
"""An offer before its author knows any candidate."""
TWO = BARE + "m=video 9 RTP/AVP 96\r\n" + "".join(
    f"a={line}\r\n" for line in ("ice-ufrag:efgh", "ice-pwd:efghefghijklmnopqrstuv", "mid:1")
)  # fmt: skip
LITE = BARE.replace("m=audio", "a=ice-lite\r\nm=audio")


CONSUMED = {"ice-fragment": "consumed", "result": "ok"}
READINGS = Readings(lambda rule: Traffic(), lambda monotonic: monotonic)


def candidate(number: int = 1, *, component: int = 1, more: str = "") -> str:
    port = 20000 + number
    return f"a=candidate:{number} {component} udp {2130706431 - number} 198.51.100.7 {port} typ host{more}"


def fragment(*lines: str, ufrag: str | None = "abcd", m: str = "m=audio 9 RTP/AVP 0") -> str:
    head = [] if ufrag is None else [f"a=ice-ufrag:{ufrag}", "a=ice-pwd:abcdefghijklmnopqrstuv"]
    return "\r\n".join([*head, *([m] if m else []), *lines, ""])


def trickle(desk: Desk, body: str, from_tag: str = "A", **options: Any) -> None:
    keys = {"call_id": "call", "from_tag": from_tag, "flags": ["fragment"], **options}
    assert desk.command("offer", sdp=body, **keys).reply == CONSUMED


def replayed(scenario: str) -> Desk:
    """What Kamailio asked for a call of Chromium, up to its end, asked again."""
    desk = Desk(PLAIN[:1])
    for exchange in exchanges(scenario):
        if exchange.request["command"] != "delete":
            _, payload = exchange.datagram.split(b" ", 1)
            execute(parse(bencode.decode(payload)), desk.registry, Times(desk.now, desk.now), READINGS)
    return desk


def ice(desk: Desk, tag: str = "A", media: int = 0) -> MediaIce:
    leg = desk.registry.calls["call"].leg_of(tag)
    assert leg is not None
    found = leg.medias[media].ice
    assert found is not None
    return found


def ports(desk: Desk, tag: str = "A", media: int = 0) -> list[int]:
    return [candidate.port for candidate in ice(desk, tag, media).candidates]


def refused(desk: Desk) -> dict[str, int]:
    return {reason: count for reason, count in desk.registry.trickle.refused.items() if count}


def called(description: str = BARE, **options: Any) -> Desk:
    desk = Desk(PLAIN[:1])
    desk.offer(description, **options)
    return desk


def test_candidates_of_a_fragment_are_those_of_the_party_that_sent_it() -> None:
    desk = called(ICE="force")
    desk.answer(sdp(BOB, 9, *BOB_ICE))
    trickle(desk, fragment("a=mid:0", candidate(1), candidate(2)))
    trickle(desk, fragment("a=mid:0", candidate(3), ufrag="bbbb"), from_tag="B", to_tag="A")
    assert (ports(desk), ports(desk, "B")) == ([20001, 20002], [20003])
    assert refused(desk) == {}


@pytest.mark.parametrize("scenario", ["chromium_trickle", "chromium_trickle_late"])
def test_the_candidates_of_a_recorded_browser_are_all_taken(scenario: str) -> None:
    desk = replayed(scenario)
    (call,) = desk.registry.calls.values()
    browser = call.legs[1].medias[0].ice
    assert browser is not None
    assert (len(browser.candidates), browser.ended, refused(desk)) == (5, True, {})


def test_every_reason_is_known_before_it_happens() -> None:
    assert set(Desk().registry.trickle.refused) == set(REASONS)


def test_an_answer_with_the_flag_is_of_the_answerer() -> None:
    desk = called(ICE="force")
    desk.answer(sdp(BOB, 9, *BOB_ICE))
    body = fragment("a=mid:0", candidate(3), ufrag="bbbb")
    tags = {"from_tag": "A", "to_tag": "B"}
    outcome = desk.command("answer", sdp=body, call_id="call", flags=["fragment"], **tags)
    assert outcome.reply == CONSUMED
    assert ports(desk, "B") == [20003]


def test_a_fragment_repeats_what_earlier_ones_said() -> None:
    desk = called()
    trickle(desk, fragment("a=mid:0", candidate(1)))
    trickle(desk, fragment("a=mid:0", candidate(1), candidate(2), "a=end-of-candidates"))
    trickle(desk, fragment("a=mid:0", candidate(1), candidate(2), "a=end-of-candidates"))
    assert ports(desk) == [20001, 20002]
    assert ice(desk).ended
    assert refused(desk) == {}


def test_candidates_that_the_description_had_are_known() -> None:
    desk = called(sdp(ALICE, 9, *ALICE_ICE, candidate(1)[2:]))
    trickle(desk, fragment("a=mid:0", candidate(1), candidate(2)))
    assert ports(desk) == [20001, 20002]


def test_the_mid_tells_the_media_whatever_its_place() -> None:
    desk = called(TWO)
    trickle(desk, fragment("a=mid:1", candidate(1), ufrag="efgh"))
    assert (ports(desk), ports(desk, media=1)) == ([], [20001])


def test_without_a_mid_the_place_of_the_m_line_tells_the_media() -> None:
    desk = called(TWO)
    second = "m=audio 9 RTP/AVP 0\r\nm=video 9 RTP/AVP 96\r\na=ice-ufrag:efgh"
    trickle(desk, fragment(candidate(1), m=second))
    assert (ports(desk), ports(desk, media=1)) == ([], [20001])


def test_a_mid_means_nothing_to_a_party_that_named_none() -> None:
    desk = called(BARE.replace("a=mid:0\r\n", ""))
    trickle(desk, fragment("a=mid:audio", candidate(1)))
    assert ports(desk) == [20001]


def test_without_m_lines_the_first_media_with_ice_is_meant() -> None:
    plain = "m=video 5000 RTP/AVP 96\r\na=mid:v\r\n"
    desk = called(BARE.replace("m=audio", plain + "m=audio"))
    trickle(desk, fragment(candidate(1), m=""))
    assert ports(desk, media=1) == [20001]


def test_candidates_of_a_media_in_a_bundle_are_its_leaders() -> None:
    group = BARE.replace("t=0 0", "t=0 0\r\na=group:BUNDLE 0 1") + "a=rtcp-mux\r\n"
    desk = called(group + "m=video 0 RTP/AVP 96\r\na=mid:1\r\na=bundle-only\r\n")
    trickle(desk, fragment("a=mid:1", candidate(1)))
    assert ports(desk) == [20001]


@pytest.mark.parametrize("lines", [["a=mid:7"], ["m=video 9 RTP/AVP 96"]], ids=["mid", "place"])
def test_candidates_of_a_media_that_is_not_there_are_counted(lines: list[str]) -> None:
    desk = called()
    trickle(desk, fragment(*lines, candidate(1)))
    assert (ports(desk), refused(desk)) == ([], {"no such media": 1})


def test_candidates_of_a_party_without_ice_are_counted() -> None:
    desk = called(sdp())
    trickle(desk, fragment(candidate(1)))
    assert refused(desk) == {"no such media": 1}


def test_a_wrong_ufrag_is_ignored_and_counted() -> None:
    desk = called()
    trickle(desk, fragment("a=mid:0", candidate(1), "a=end-of-candidates", ufrag="else"))
    assert (ports(desk), ice(desk).ended, refused(desk)) == ([], False, {"ufrag": 1})


def test_a_candidate_of_another_generation_is_ignored_and_counted() -> None:
    desk = called()
    trickle(desk, fragment("a=mid:0", candidate(1, more=" ufrag else"), candidate(2, more=" ufrag abcd")))
    assert (ports(desk), refused(desk)) == ([20002], {"ufrag": 1})


def test_a_fragment_without_ufrag_is_of_the_present_generation() -> None:
    desk = called()
    trickle(desk, fragment("a=mid:0", candidate(1), ufrag=None))
    assert ports(desk) == [20001]


def test_a_restart_begins_with_no_candidates_and_refuses_those_of_before() -> None:
    desk = called()
    desk.answer(sdp(BOB, 20000))
    trickle(desk, fragment("a=mid:0", candidate(1), "a=end-of-candidates"))
    desk.offer(BARE.replace("ufrag:abcd", "ufrag:anew"), to_tag="B")
    assert (ports(desk), ice(desk).ended) == ([], False)
    trickle(desk, fragment("a=mid:0", candidate(2)))
    trickle(desk, fragment("a=mid:0", candidate(3), ufrag="anew"))
    assert (ports(desk), refused(desk)) == ([20003], {"ufrag": 1})


def test_candidates_after_the_end_are_counted() -> None:
    desk = called()
    trickle(desk, fragment("a=mid:0", candidate(1), "a=end-of-candidates"))
    trickle(desk, fragment("a=mid:0", candidate(1), candidate(2)))
    assert (ports(desk), refused(desk)) == ([20001], {"after the end": 1})


def test_a_leg_has_a_hundred_candidates() -> None:
    desk = called(TWO)
    first = [candidate(number) for number in range(60)]
    second = [candidate(number) for number in range(60)]
    trickle(desk, fragment("a=mid:0", *first))
    trickle(desk, fragment("a=mid:1", *second, ufrag="efgh"))
    assert len(ports(desk)) + len(ports(desk, media=1)) == MAX_CANDIDATES
    assert refused(desk) == {"too many": 20}


def test_what_cannot_be_read_is_counted() -> None:
    desk = called()
    trickle(desk, fragment("a=mid:0", "a=candidate:rubbish", candidate(1)))
    assert (ports(desk), refused(desk)) == ([20001], {"malformed": 1})


# Early fragments.


def test_a_fragment_that_overtakes_its_offer_waits_for_it() -> None:
    desk = Desk(PLAIN[:1])
    trickle(desk, fragment("a=mid:0", candidate(1)))
    assert desk.registry.calls == {}
    desk.offer(BARE)
    assert ports(desk) == [20001]
    assert desk.registry.trickle.waiting == 0


def test_a_fragment_that_overtakes_its_answer_waits_for_it() -> None:
    desk = called(ICE="force")
    trickle(desk, fragment("a=mid:0", candidate(1), ufrag="bbbb"), from_tag="B")
    desk.offer(BARE, ICE="force")
    assert desk.registry.trickle.waiting == 1
    desk.answer(sdp(BOB, 9, *BOB_ICE))
    assert (ports(desk), ports(desk, "B")) == ([], [20001])


def test_a_fragment_for_a_media_that_is_offered_only_waits_for_the_answer() -> None:
    desk = called(ICE="force")
    desk.answer(sdp(BOB, 9, *BOB_ICE))
    desk.offer(TWO, to_tag="B", ICE="force")
    second = "m=audio 9 RTP/AVP 0\r\nm=video 9 RTP/AVP 96"
    trickle(desk, fragment(candidate(1), ufrag=None, m=second), from_tag="B")
    assert desk.registry.trickle.waiting == 1
    video = TWO[TWO.index("m=video") :].replace("efgh", "dddd").replace("m=video 9", "m=video 5000")
    desk.answer(sdp(BOB, 9, *BOB_ICE) + video)
    assert ports(desk, "B", 1) == [20001]


def test_early_fragments_are_used_in_the_order_in_which_they_came() -> None:
    desk = Desk(PLAIN[:1])
    for number in (3, 1, 2):
        trickle(desk, fragment("a=mid:0", candidate(number)))
    desk.offer(BARE)
    assert ports(desk) == [20003, 20001, 20002]


@pytest.mark.parametrize("ticking", [True, False])
def test_an_early_fragment_is_dropped_after_ten_seconds(ticking: bool) -> None:
    desk = Desk(PLAIN[:1])
    trickle(desk, fragment("a=mid:0", candidate(1)))
    desk.now += WAIT - 0.1
    trickle(desk, fragment("a=mid:0", candidate(2)))
    desk.now += 0.1
    if ticking:
        desk.tick(0)
        assert desk.registry.trickle.waiting == 1
    desk.offer(BARE)
    assert (ports(desk), refused(desk)) == ([20002], {"expired": 1})


def test_so_many_fragments_of_a_call_wait() -> None:
    desk = Desk(PLAIN[:1])
    for number in range(MAX_WAITING + 2):
        trickle(desk, fragment("a=mid:0", candidate(number)))
    desk.offer(BARE)
    assert (len(ports(desk)), refused(desk)) == (MAX_WAITING, {"no room": 2})


def test_long_fragments_of_a_call_do_not_fill_the_memory() -> None:
    desk = Desk(PLAIN[:1])
    for _ in range(MAX_WAITING):
        trickle(desk, fragment().ljust(MAX_LENGTH, "x"))
    assert (desk.registry.trickle.waiting, refused(desk)) == (4, {"no room": MAX_WAITING - 4})


def test_fragments_of_so_many_calls_wait() -> None:
    desk = Desk(PLAIN[:1])
    for number in range(MAX_CALLS + 3):
        trickle(desk, fragment("a=mid:0", candidate(1)), call_id=f"call-{number}")
    trickle(desk, fragment("a=mid:0", candidate(2)), call_id="call-0")
    assert (desk.registry.trickle.waiting, refused(desk)) == (MAX_CALLS + 1, {"no room": 3})


def test_nothing_waits_for_a_call_that_ended() -> None:
    desk = called(ICE="force")
    trickle(desk, fragment("a=mid:0", candidate(1), ufrag="bbbb"), from_tag="B")
    desk.command("delete", call_id="call", delete_delay=0)
    assert (desk.registry.trickle.waiting, refused(desk)) == (0, {})


# What a fragment does to a call.


def test_a_fragment_changes_no_rule_of_the_call() -> None:
    desk = called(ICE="force")
    desk.answer(sdp(BOB, 9, *BOB_ICE))
    before, sent = dict(desk.box.rules), len(desk.box.sent)
    trickle(desk, fragment("a=mid:0", candidate(1), "a=end-of-candidates"))
    assert (desk.box.rules, desk.box.sent[sent:]) == (before, [])


def test_the_candidates_of_a_lite_peer_are_checked() -> None:
    desk = called(LITE)
    trickle(desk, fragment("a=mid:0", candidate(1)))
    assert [remote for _, remote, _ in desk.box.sent] == [("198.51.100.7", 20001)]
    assert desk.registry.next_check() is not None


def test_the_early_candidates_of_a_lite_peer_are_checked_with_its_description() -> None:
    desk = Desk(PLAIN[:1])
    trickle(desk, fragment("a=mid:0", candidate(1)))
    desk.offer(LITE)
    assert [remote for _, remote, _ in desk.box.sent] == [("198.51.100.7", 20001)]


def test_a_lite_peer_makes_us_check_so_many_places_and_no_more() -> None:
    desk = called(LITE)
    for start in (0, MAX_CHECKED - 2, 3 * MAX_CHECKED):
        trickle(desk, fragment("a=mid:0", *(candidate(number) for number in range(start, start + 10))))
    for _ in range(200):
        due = desk.registry.next_check()
        if due is not None:
            desk.now = due
            desk.registry.check(due)
    places = {remote for _, remote, _ in desk.box.sent}
    assert places == {("198.51.100.7", 20000 + number) for number in (*range(10), *range(14, 20))}


def test_end_to_end_nobody_is_checked_by_us() -> None:
    desk = called(LITE, ICE="optional")
    keys = {"call_id": "call", "from_tag": "A", "flags": ["fragment"]}
    reply = desk.command("offer", sdp=fragment("a=mid:0", candidate(1)), **keys).reply
    assert reply["ice-fragment"] == "passed"
    assert desk.box.sent == []
    assert ports(desk) == [20001]


def test_end_to_end_candidates_that_come_later_are_above_ours_too() -> None:
    session = Desk(PLAIN[:1]).offer(BARE, ICE="optional")
    priorities = [ours.priority for ours in read(session, session.medias[0]).candidates]
    assert len(set(priorities)) == len(priorities)
    assert max(priorities) < priority("relay", component=2)


# Bad requests.


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"sdp": ""}, "No SDP body in message"),
        ({"call-id": None}, "No call-id in message"),
        ({"from-tag": None}, "No from-tag in message"),
        ({"command": "answer"}, "No to-tag in message"),
        ({"sdp": "x" * (MAX_LENGTH + 1)}, "Failed to parse SDP"),
    ],
)
def test_a_fragment_from_nobody_or_with_nothing_in_it_is_an_error(
    options: dict[str, Any], reason: str
) -> None:
    keys = {"command": "offer", "sdp": fragment(), "call-id": "call", "from-tag": "A", **options}
    command = keys.pop("command")
    given = {key.replace("-", "_"): value for key, value in keys.items() if value is not None}
    with pytest.raises(NgError, match=reason):
        Desk().command(command, flags=["fragment"], **given)
