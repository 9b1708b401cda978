"""What phones report of the media that they are sent, in records and in the report of a call."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from relay.calls.quality import MOST_STREAMS, heard, mos, round_trip
from relay.calls.report import Readings, Traffic, call_report
from relay.calls.state import Leg
from relay.forward.plane import Reported
from tests.relay.calls.desk import ALICE, BOB, PLAIN, UNIX, Desk, sdp, told
from tests.relay.calls.test_outcome import Book, end, talk

MUSIC, SPEECH = 0x1234, 0x5678
FAR = Reported(MUSIC, blocks=4, fraction=64, lost=10, jitter=640, round_trips=2, round_trip=160_000)
"""A sixteenth is lost, 20 ms of jitter at 8 kHz, 80 ms there and back."""
NEAR = Reported(SPEECH, blocks=2, fraction=0, lost=0, jitter=0, round_trips=1, round_trip=20_000)


@dataclass
class Plane:
    """Reports by rule."""

    of: dict[int, tuple[Reported, ...]] = field(default_factory=dict)

    def reported(self, rule: int) -> tuple[Reported, ...]:
        return self.of.get(rule, ())


def call(kind: str = "audio", codec: str = "0") -> tuple[Desk, Plane]:
    """Bob reports what he is sent of alice, and the other way round."""
    desk, plane = Desk(PLAIN[:1]), Plane()
    texts = [
        sdp(host, 10000).replace("m=audio", f"m={kind}").replace("AVP 0", f"AVP {codec}")
        for host in (ALICE, BOB)
    ]
    to_bob, to_alice = desk.offer(texts[0]), desk.answer(texts[1])
    plane.of[desk.box.rule_at(told(to_bob)[1]).id] = (FAR,)
    plane.of[desk.box.rule_at(told(to_alice)[1]).id] = (NEAR,)
    return desk, plane


def leg(desk: Desk, tag: str) -> Leg:
    found = desk.registry.calls["call"].leg_of(tag)
    assert found is not None
    return found


def report(desk: Desk, plane: Plane) -> dict[str, dict[str, object]]:
    readings = Readings(lambda rule: Traffic(), lambda monotonic: monotonic + UNIX, plane.reported)
    found: dict[str, dict[str, object]] = call_report(desk.registry.calls["call"], readings)["SSRC"]
    return found


def test_the_report_of_a_call_has_each_stream_as_rtpengine_names_it() -> None:
    assert report(*call()) == {
        str(MUSIC): {
            "cumulative loss": 10,
            "average MOS": {
                "MOS": 38, "packet loss": 6, "jitter": 20, "samples": 4,
                "round-trip time leg": 80_000, "round-trip time": 100_000,
            },
        },
        str(SPEECH): {
            "cumulative loss": 0,
            "average MOS": {
                "MOS": 44, "packet loss": 0, "jitter": 0, "samples": 2,
                "round-trip time leg": 20_000, "round-trip time": 100_000,
            },
        },
    }  # fmt: skip


def test_video_has_no_opinion_score_and_a_codec_without_a_clock_no_jitter() -> None:
    entry = report(*call("video", "99"))[str(MUSIC)]["average MOS"]
    assert isinstance(entry, dict)
    assert set(entry) == {"packet loss", "samples", "round-trip time leg", "round-trip time"}


def test_a_report_has_room_for_so_many_streams() -> None:
    desk, plane = call()
    rule = next(iter(plane.of))
    plane.of[rule] = tuple(FAR._replace(ssrc=ssrc) for ssrc in range(1000))
    assert len(report(desk, plane)) == MOST_STREAMS


def test_what_nobody_reports_is_not_known() -> None:
    desk, _ = call()
    assert report(desk, Plane()) == {}
    found = heard(leg(desk, "A"), Plane().reported)
    assert (found.lost, found.jitter, round_trip(leg(desk, "A"), Plane().reported)) == (None, None, None)


def test_the_means_of_a_leg_are_those_of_all_its_reports() -> None:
    desk, plane = call()
    found = heard(leg(desk, "B"), plane.reported)
    assert found.lost == 1 / 16
    assert found.jitter == 0.02
    assert round_trip(leg(desk, "B"), plane.reported) == pytest.approx(0.08)


@pytest.mark.parametrize(
    "worse", [(0.05, 0.0, 0.1), (0.0, 0.1, 0.1), (0.0, 0.0, 2.0)], ids=["loss", "jitter", "delay"]
)
def test_loss_jitter_and_delay_each_lower_the_score(worse: tuple[float, float, float]) -> None:
    assert 1.0 <= mos(*worse) < mos(0.0, 0.0, 0.1) <= 4.5


# In the record of a leg with ICE.


def test_the_record_has_the_round_trip_of_a_check_and_what_the_phone_reported() -> None:
    desk, plane = Desk(PLAIN[:1]), Plane()
    book = Book(desk, plane.reported)
    talk(desk, delay=0.06)
    end(desk)
    assert (book.records["A"].round_trip, book.records["A"].lost, book.records["A"].jitter) == (
        60,
        None,
        None,
    )
    desk = Desk(PLAIN[:1])
    book = Book(desk, plane.reported)
    talk(desk, delay=0.06)
    for rule in desk.box.rules:
        plane.of[rule] = (FAR._replace(round_trip=20_000),)
    end(desk)
    found = book.records["A"]
    assert (found.lost, found.jitter) == (62, 20)
    assert found.round_trip == 10, "the lesser one of what checks and reports say"
