"""``ice-widen``: a phone that misses what it was not told of our addresses is told the rest."""

from __future__ import annotations

from typing import Any

from relay.calls.state import Call, Leg
from relay.ice.policy import Optimizer, Order, Place, Policy
from sdp.candidate import Candidate
from sdp.fragment import Fragment
from sdp.ice import read
from sdp.session import Session
from tests.relay.calls.desk import ALICE, BOB, RELAY, RELAY6, Desk, sdp
from tests.relay.calls.test_ice import ALICE_KEYS, BOB_ICE, BOB_KEYS, WITH_ICE, Phone

NARROW = Order((4,), dropped=(6,))
OPTIONS: dict[str, Any] = {"ICE": "optimize", "rtcp_mux": ["require"]}
ANSWER = sdp(BOB, 20000, "rtcp-mux", "mid:0", *BOB_ICE)
FRAGMENT = f"a=ice-ufrag:{ALICE_KEYS.ufrag}\r\na=candidate:9 1 udp 5 {ALICE} 5 typ host\r\n"


class Narrow:
    """A desk whose memory leaves IPv6 out for whoever is at one place."""

    def __init__(self, order: Order = NARROW, *policies: Policy, at: str = BOB) -> None:
        self.desk = Desk()
        self.widened: list[tuple[str | None, tuple[int, ...]]] = []
        self.desk.registry.on_widen = self._widen
        self._order, self._at = order, at
        self.desk.registry.optimizer = Optimizer(policies, order=self._ordered)

    def _ordered(self, place: Place, families: tuple[int, ...], default: int) -> Order | None:
        return self._order if place.network == self._at else None

    def _widen(self, call: Call, leg: Leg, families: tuple[int, ...]) -> None:
        self.widened.append((leg.tag, families))

    def call(self, **options: Any) -> Session:
        """Alice calls bob, who answers. Returns what bob was told."""
        legs = {"network_legs": f"{ALICE},{BOB}"}
        offer = self.desk.offer(WITH_ICE, **{**OPTIONS, **legs, **options})
        self.desk.now += 20.0
        self.desk.answer(ANSWER)
        return offer

    def report(self, tag: str = "B") -> dict[str, Any]:
        found: dict[str, Any] = self.desk.command("query", call_id="call").reply["tags"][tag]
        return found


def addresses(candidates: tuple[Candidate, ...]) -> list[str]:
    return [one.address for one in sorted(candidates, key=lambda one: -one.priority)]


def test_after_four_seconds_without_a_check_the_rest_is_there_to_be_told() -> None:
    narrow = Narrow()
    offer = narrow.call()
    told = read(offer, offer.medias[0])
    assert addresses(told.candidates) == [RELAY]
    narrow.desk.tick(3.75)
    assert (narrow.widened, "ice-widen" in narrow.report()) == ([], False)
    narrow.desk.tick(0.5)
    assert narrow.widened == [("B", (6,))]
    report = narrow.report()
    (part,) = Fragment.parse(report["ice-widen"]).parts
    assert (part.mid, part.index, part.ufrag, part.end_of_candidates) == ("0", 0, told.ufrag, True)
    assert addresses(part.candidates) == [RELAY, RELAY6]
    assert part.candidates[0] in told.candidates
    assert f"a=ice-pwd:{told.pwd}\r\n" in report["ice-widen"]
    ice = report["medias"][0]["ICE"]
    assert (ice["left out"], ice["widened"]) == (["v6"], 4250)
    assert "ice-widen" not in narrow.report("A")


def test_it_happens_once() -> None:
    narrow = Narrow()
    narrow.call()
    for _ in range(30):
        narrow.desk.tick(1.0)
    assert len(narrow.widened) == 1


def test_a_phone_that_checks_in_time_misses_nothing() -> None:
    narrow = Narrow()
    offer = narrow.call()
    bob = Phone(narrow.desk, (BOB, 20000), BOB_KEYS, False, offer)
    narrow.desk.now += 3.0
    bob.check()
    narrow.desk.tick(10.0)
    assert (narrow.widened, "ice-widen" in narrow.report()) == ([], False)


def test_a_check_that_comes_too_late_shows_that_something_was_missed_and_needs_no_fragment() -> None:
    narrow = Narrow()
    offer = narrow.call()
    narrow.desk.now += 4.25
    Phone(narrow.desk, (BOB, 20000), BOB_KEYS, False, offer).check()
    narrow.desk.tick(0.5)
    assert narrow.widened == [("B", (6,))]
    keys = {"call_id": "call", "from_tag": "A", "sdp": FRAGMENT, "flags": ["fragment"]}
    assert "sdp" not in narrow.desk.command("offer", **keys).reply


def test_a_repeated_answer_does_not_begin_it_anew() -> None:
    narrow = Narrow()
    narrow.call()
    narrow.desk.tick(5.0)
    narrow.desk.answer(ANSWER)
    narrow.desk.tick(5.0)
    assert len(narrow.widened) == 1


def test_ports_that_the_answer_gave_up_are_not_told_again() -> None:
    narrow = Narrow()
    offer = narrow.call(rtcp_mux=["offer"])
    assert {one.component for one in read(offer, offer.medias[0]).candidates} == {1, 2}
    narrow.desk.tick(5.0)
    (part,) = Fragment.parse(narrow.report()["ice-widen"]).parts
    assert [one.component for one in part.candidates] == [1, 1]


def test_a_phone_that_was_told_everything_misses_nothing() -> None:
    narrow = Narrow(Order((4, 6)))
    narrow.call()
    narrow.desk.tick(10.0)
    assert narrow.widened == []


def test_before_the_answer_nothing_is_missed_however_long_the_phone_rings() -> None:
    narrow = Narrow()
    narrow.desk.offer(WITH_ICE, **OPTIONS, network_legs=f"{ALICE},{BOB}")
    narrow.desk.tick(120.0)
    assert narrow.widened == []


def test_the_caller_may_miss_something_as_well() -> None:
    narrow = Narrow(at=ALICE)
    narrow.call()
    narrow.desk.tick(5.0)
    assert narrow.widened == [("A", (6,))]
    assert RELAY6 in narrow.report("A")["ice-widen"]


def test_the_reply_to_a_fragment_of_the_other_party_carries_it_until_a_check_comes() -> None:
    narrow = Narrow()
    offer = narrow.call()
    keys = {"call_id": "call", "from_tag": "A", "sdp": FRAGMENT, "flags": ["fragment"]}
    assert "sdp" not in narrow.desk.command("offer", **keys).reply
    narrow.desk.tick(5.0)
    carried = narrow.desk.command("offer", **keys).reply
    assert carried["ice-widen"] == carried["sdp"] == narrow.report()["ice-widen"]
    own = FRAGMENT.replace(ALICE_KEYS.ufrag, BOB_KEYS.ufrag)
    assert "ice-widen" not in narrow.desk.command("offer", **{**keys, "from_tag": "B", "sdp": own}).reply
    Phone(narrow.desk, (BOB, 20000), BOB_KEYS, False, offer).check()
    assert "sdp" not in narrow.desk.command("offer", **keys).reply


def test_a_later_description_tells_the_phone_all_with_the_same_priorities() -> None:
    narrow = Narrow()
    narrow.call()
    narrow.desk.tick(5.0)
    (part,) = Fragment.parse(narrow.report()["ice-widen"]).parts
    again = narrow.desk.offer(WITH_ICE, to_tag="B", **OPTIONS)
    assert sorted(map(str, read(again, again.medias[0]).candidates)) == sorted(map(str, part.candidates))
    assert len(narrow.report()["medias"][0]["ICE"]["candidates"]) == 3


def test_the_check_of_a_phone_that_was_widened_is_answered_at_the_address_that_it_missed() -> None:
    narrow = Narrow()
    offer = narrow.call()
    narrow.desk.tick(5.0)
    (part,) = Fragment.parse(narrow.report()["ice-widen"]).parts
    missed = next(one for one in part.candidates if one.address == RELAY6)
    port = next(port for port in narrow.desk.box.ports.values() if port.number == missed.port)
    bob = Phone(narrow.desk, ("2001:db8:2::2", 20000), BOB_KEYS, False, offer)
    bob.port = port.handle
    bob.check()
    assert (port.handle, bob.at) in [(at, to) for at, to, _ in narrow.desk.box.sent]
    (pair,) = narrow.report()["medias"][0]["ICE"]["pairs"]
    assert (pair["local"], pair["way"]) == (f"[{RELAY6}]:{missed.port}", "v6")


def test_a_policy_of_one_address_has_no_more_to_tell() -> None:
    narrow = Narrow(NARROW, Policy("one", own=1))
    narrow.call()
    narrow.desk.tick(5.0)
    assert narrow.widened == []


def test_where_phones_check_each_other_silence_says_nothing() -> None:
    narrow = Narrow(NARROW, Policy("direct", assist=frozenset(("always",))))
    narrow.call(rtcp_mux=[])
    assert narrow.report()["medias"][0]["ICE"]["mode"] == "assist"
    narrow.desk.tick(5.0)
    assert narrow.widened == []


def test_trickling_phones_are_not_told_that_nothing_follows_until_nothing_does() -> None:
    told = str(Narrow().call(flags=["trickle"]))
    assert "a=ice-options:trickle ice2\r\n" in told
    assert "a=end-of-candidates" not in told
    assert "a=end-of-candidates\r\n" in str(Narrow(Order((4, 6))).call(flags=["trickle"]))


def test_all_medias_of_a_phone_are_in_one_fragment() -> None:
    narrow = Narrow()
    video = "m=video 10002 RTP/AVP 96\r\n"
    lines = "".join(f"a={line}\r\n" for line in ("rtcp-mux", "mid:1", *BOB_ICE))
    narrow.desk.offer(WITH_ICE + video, **OPTIONS, network_legs=f"{ALICE},{BOB}")
    narrow.desk.answer(ANSWER + video.replace("10002", "20002") + lines)
    narrow.desk.tick(5.0)
    assert narrow.widened == [("B", (6,))]
    body = narrow.report()["ice-widen"]
    assert [line for line in body.splitlines() if line.startswith("m=")] == [
        "m=audio 9 RTP/AVP 0",
        "m=video 9 RTP/AVP 0",
    ]
