"""Of which parties ``query`` tells, and how they are called there: by tag, and by label."""

from typing import Any

import pytest

from tests.relay.calls.desk import BOB, CAROL, Desk, sdp


def parties(desk: Desk, **tags: str) -> dict[str, Any]:
    found: dict[str, Any] = desk.command("query", call_id="call", **tags).reply["tags"]
    return found


def forked() -> Desk:
    """A is connected to B and to C."""
    desk = Desk()
    desk.offer(sdp(), via_branch="one")
    desk.offer(sdp(), via_branch="two")
    desk.answer(sdp(BOB), "B", via_branch="one")
    desk.answer(sdp(CAROL), "C", via_branch="two")
    return desk


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({}, {"A", "B", "C"}),
        ({"from_tag": ""}, {"A", "B", "C"}),
        ({"from_tag": "B"}, {"A", "B"}),
        ({"from_tag": "A", "to_tag": "B"}, {"A", "B"}),
        ({"from_tag": "A", "to_tag": ""}, {"A", "B", "C"}),
        ({"to_tag": "B"}, {"A", "B"}),
        ({"from_tag": "ZZ"}, set()),
        ({"from_tag": "A", "to_tag": "ZZ"}, set()),
    ],
)
def test_a_query_tells_of_a_party_and_those_that_it_hears_or_of_all(
    tags: dict[str, str], expected: set[str]
) -> None:
    assert set(parties(forked(), **tags)) == expected


def test_each_party_has_the_label_that_came_with_its_description() -> None:
    desk = Desk()
    desk.offer(sdp(), label="caller")
    desk.answer(sdp(BOB), label="callee")
    assert {tag: party["label"] for tag, party in parties(desk).items()} == {"A": "caller", "B": "callee"}


def test_a_label_stays_though_the_next_description_has_none() -> None:
    desk = Desk()
    desk.offer(sdp(), label="caller")
    desk.answer(sdp(BOB), label="callee")
    desk.offer(sdp(BOB), from_tag="B", to_tag="A")
    desk.answer(sdp(), to_tag="A", from_tag="B")
    assert {tag: party["label"] for tag, party in parties(desk).items()} == {"A": "caller", "B": "callee"}
