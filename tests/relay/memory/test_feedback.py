from __future__ import annotations

import pytest

from relay.memory.arms import Arm
from relay.memory.feedback import BURST, PATIENCE, RATE, Claims, FeedbackError, parse
from relay.memory.identity import NOWHERE, Identity
from relay.memory.knowledge import Report
from relay.memory.record import Said

HOME = Identity(b"h" * 16, None)
WORK = Identity(b"w" * 16, None)
LIVING = {"A": HOME, "B": WORK}


def test_a_report_of_an_app_is_understood() -> None:
    body = {"call-id": "c", "tag": "A", "ok": "yes", "kind": "tcp443", "ms": 120, "wifi/cell": "cell", "x": 1}
    said = parse(body)
    assert (said.call_id, said.tag, said.network) == ("c", "A", None)
    assert said.report == Report(ok=True, arm=Arm.T443, cellular=True, said=Said(True, 120))
    silent = parse({"call-id": "c", "network": "home", "ok": False}).report
    assert silent == Report(ok=False, said=Said(False))


def test_the_figures_of_an_app_are_whole_milliseconds_and_thousandths() -> None:
    figures = {"ms": "120", "lost": 2.55, "rtt": 80.4}
    said = parse({"call-id": "c", "tag": "A", "ok": 1, **figures}).report.said
    assert said == Said(True, ms=120, lost=26, round_trip=80)


@pytest.mark.parametrize(
    ("word", "cellular", "moved"),
    [("wifi", False, False), ("cell", True, False), ("wifi->cell", True, True), ("cell->wifi", False, True)],
)
def test_an_app_says_where_it_is_or_where_it_went(word: str, cellular: bool, moved: bool) -> None:
    report = parse({"call-id": "c", "tag": "A", "ok": 1, "wifi/cell": word}).report
    assert (report.cellular, report.moved) == (cellular, moved)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ([], "a dictionary"),
        ({"tag": "A", "ok": 1}, "which leg"),
        ({"call-id": "c", "ok": 1}, "which leg"),
        ({"call-id": "c", "tag": "A"}, "say ok"),
        ({"call-id": "c", "tag": "A", "ok": "perhaps"}, "say ok"),
        ({"call-id": "c", "tag": "A", "ok": 10**5000}, "say ok"),
        ({"call-id": "c", "tag": "A", "ok": 1, "kind": "pigeon"}, "kind is one of"),
        ({"call-id": "c", "tag": "A", "ok": 1, "wifi/cell": "lan"}, "wifi->cell"),
        ({"call-id": "c", "tag": "A", "ok": 1, "ms": -1}, "ms is a number from 0 to 65535"),
        ({"call-id": "c", "tag": "A", "ok": 1, "ms": "soon"}, "ms is a number"),
        ({"call-id": "c", "tag": "A", "ok": 1, "rtt": float("nan")}, "rtt is a number"),
        ({"call-id": "c", "tag": "A", "ok": 1, "rtt": 10**400}, "rtt is a number"),
        ({"call-id": "c", "tag": "A", "ok": 1, "lost": 101}, "lost is a number from 0 to 100"),
        ({"call-id": "c", "tag": "A", "ok": 1, "lost": [1]}, "lost is a number"),
        ({"call-id": 7, "tag": "A", "ok": 1}, "call-id is a string"),
        ({"call-id": "c", "tag": ["A"], "ok": 1}, "tag is a string"),
    ],
)
def test_what_is_wrong_with_a_report_is_named(body: object, reason: str) -> None:
    with pytest.raises(FeedbackError, match=reason) as caught:
        parse(body)
    assert caught.value.status == 400


def test_a_leg_is_spoken_of_once_by_tag_or_by_network() -> None:
    claims = Claims()
    by_tag = parse({"call-id": "c", "tag": "A", "ok": 1})
    assert claims.take(by_tag, LIVING, NOWHERE, 0.0) == ("A", HOME)
    with pytest.raises(FeedbackError, match="already") as caught:
        claims.take(by_tag, LIVING, NOWHERE, 0.0)
    assert caught.value.status == 409
    by_network = parse({"call-id": "c", "network": "work", "ok": 1})
    assert claims.take(by_network, LIVING, WORK, 0.0) == ("B", WORK)
    with pytest.raises(FeedbackError, match="no such leg"):
        claims.take(by_network, LIVING, Identity(b"x" * 16, None), 0.0)


def test_a_leg_may_be_spoken_of_for_two_minutes_after_its_end() -> None:
    claims = Claims()
    claims.ended("c", "A", HOME, 100.0)
    claims.ended("c", "B", WORK, 100.0)
    assert claims.take(parse({"call-id": "c", "tag": "A", "ok": 1}), {}, NOWHERE, 219.9) == ("A", HOME)
    with pytest.raises(FeedbackError, match="too long ago") as caught:
        claims.take(parse({"call-id": "c", "tag": "B", "ok": 1}), {}, NOWHERE, 100.0 + PATIENCE)
    assert caught.value.status == 404


def test_a_flood_is_refused_and_ends_with_the_flood() -> None:
    claims = Claims()
    for _ in range(int(BURST)):
        claims.admit(1000.0)
    with pytest.raises(FeedbackError, match="too much") as caught:
        claims.admit(1000.0)
    assert caught.value.status == 429
    claims.admit(1000.0 + 2 / RATE)
