from __future__ import annotations

import pytest

from relay.calls.timers import Timers
from relay.ng.errors import NOT_DELETED, NgError
from tests.relay.calls.desk import BOB, CAROL, Desk, sdp

NOTHING = {"warning": NOT_DELETED, "result": "ok"}


def forked() -> Desk:
    """A, and two branches that answered."""
    desk = Desk(timers=Timers(delete_delay=0))
    for branch in ("b1", "b2"):
        desk.offer(sdp(), via_branch=branch)
    desk.answer(sdp(BOB), "B1", via_branch="b1")
    desk.answer(sdp(CAROL), "B2", via_branch="b2")
    return desk


def tags(desk: Desk) -> set[str | None]:
    call = desk.registry.calls.get("call")
    return {leg.tag for leg in call.legs.values()} if call is not None else set()


def delete(desk: Desk, **options: object) -> dict[str, object]:
    return desk.command("delete", call_id="call", **options).reply


def test_an_unknown_call_is_a_warning() -> None:
    assert delete(Desk()) == NOTHING


def test_an_unknown_call_is_an_error_with_fatal() -> None:
    with pytest.raises(NgError, match=NOT_DELETED):
        delete(Desk(), flags=["fatal"])


def test_without_a_tag_the_whole_call_goes() -> None:
    desk = forked()
    delete(desk)
    assert tags(desk) == set()
    assert (desk.box.ports, desk.box.allocated) == ({}, set())


def test_with_an_empty_tag_the_whole_call_goes_as_in_rtpengine() -> None:
    for keys in ({}, {"via_branch": "b1"}, {"to_tag": "B1", "flags": ["to-tag"]}):
        desk = forked()
        delete(desk, from_tag="", **keys)
        assert tags(desk) == set()


def test_an_empty_to_tag_is_none() -> None:
    desk = forked()
    delete(desk, from_tag="B1", to_tag="", flags=["to-tag"])
    assert tags(desk) == {"A", "B2"}


def test_with_the_callers_tag_the_whole_call_goes() -> None:
    desk = forked()
    delete(desk, from_tag="A")
    assert tags(desk) == set()


def test_a_via_branch_names_the_branch_alone() -> None:
    desk = forked()
    delete(desk, from_tag="A", via_branch="b1")
    assert tags(desk) == {"A", "B2"}


def test_a_to_tag_counts_only_with_its_flag() -> None:
    desk = forked()
    delete(desk, from_tag="A", to_tag="B1", flags=["to-tag"])
    assert tags(desk) == {"A", "B2"}
    delete(desk, from_tag="A", to_tag="B2")
    assert tags(desk) == set()


def test_a_branch_that_never_answered_is_found_by_the_callers_tag() -> None:
    desk = Desk(timers=Timers(delete_delay=0))
    desk.offer(sdp())
    delete(desk, from_tag="A", to_tag="never seen", flags=["to-tag"])
    assert tags(desk) == set()


def test_unknown_tags_leave_the_call_alone() -> None:
    desk = forked()
    assert delete(desk, from_tag="stranger") == NOTHING
    assert tags(desk) == {"A", "B1", "B2"}


def test_the_last_branch_takes_the_caller_along() -> None:
    desk = forked()
    delete(desk, from_tag="A", via_branch="b1")
    delete(desk, from_tag="A", via_branch="b2")
    assert tags(desk) == set()
    assert desk.box.ports == {}


def test_the_caller_is_heard_by_the_remaining_branch() -> None:
    desk = forked()
    delete(desk, from_tag="A", via_branch="b2")
    heard_by = {rule.remote for rule in desk.box.rules.values()}
    assert (CAROL, 10000) not in heard_by
    for rule in desk.box.rules.values():
        assert set(rule.rtp) <= desk.box.rules.keys()


def test_a_delay_keeps_media_flowing_and_the_call_listed() -> None:
    desk = forked()
    delete(desk, delete_delay=10)
    assert desk.tick(9) == []
    assert desk.command("list").reply["calls"] == ["call"]
    assert desk.tick(2) == [("call", "deleted")]
    assert desk.box.ports == {}


def test_an_offer_after_a_delete_cancels_it() -> None:
    desk = forked()
    delete(desk, delete_delay=10)
    desk.offer(sdp(), to_tag="B1")
    assert desk.tick(11) == []
    assert tags(desk) == {"A", "B1", "B2"}


def test_an_answer_that_crosses_a_delayed_delete_cancels_it_as_in_rtpengine() -> None:
    desk = Desk()
    for branch in ("b1", "b2"):
        desk.offer(sdp(), via_branch=branch)
    desk.answer(sdp(BOB), "B1", via_branch="b1")
    delete(desk, delete_delay=30)
    desk.answer(sdp(CAROL), "B2", via_branch="b2")
    assert desk.tick(31) == []
    assert tags(desk) == {"A", "B1", "B2"}
    assert desk.tick(60) == [("call", "timeout")]


def test_a_delayed_delete_of_a_branch_ends_that_branch() -> None:
    desk = forked()
    delete(desk, from_tag="A", via_branch="b1", delete_delay=5)
    assert tags(desk) == {"A", "B1", "B2"}
    desk.tick(6)
    assert tags(desk) == {"A", "B2"}


def test_both_parties_deleted_with_a_delay_end_the_call_once_and_leave_the_others_alone() -> None:
    desk = forked()
    desk.offer(sdp(), call_id="other")
    for tag in ("A", "B1", "B2"):
        delete(desk, from_tag=tag, delete_delay=1)
    assert desk.tick(2) == [("call", "deleted")]
    assert desk.registry.closed["deleted"] == 1
    assert set(desk.registry.calls) == {"other"}


def test_a_branch_that_two_phones_answered_goes_as_a_whole() -> None:
    desk = Desk(timers=Timers(delete_delay=0))
    for branch in ("b1", "b2"):
        desk.offer(sdp(), via_branch=branch)
    desk.answer(sdp(BOB), "T1", via_branch="b1")
    desk.answer(sdp(CAROL), "T2", via_branch="b1")
    delete(desk, from_tag="A", via_branch="b1")
    assert tags(desk) == {"A", None}


def test_a_delete_reports_what_was_there_and_a_fast_one_does_not() -> None:
    assert {"created", "tags", "totals", "result"} <= delete(forked()).keys()
    assert delete(forked(), flags=["fast"]) == {"result": "ok"}
