"""Peers that move, and consent to send to them."""

from __future__ import annotations

import pytest

from relay.ice import stun
from relay.ice.agent import DETOUR, OVERLAP, SILENT, TOGETHER, Agent
from relay.ice.outputs import ConsentLost, Forgotten, Output, Path, Selected, Usable, Validated
from relay.ice.stun import Class
from tests.relay.ice.peer import (
    HOME,
    MOBILE,
    RTP,
    STRANGER,
    THEIRS,
    agent,
    answer,
    check,
    events,
    selected,
    sent,
)


def test_a_peer_that_moves_takes_the_path_along_after_one_round_trip() -> None:
    it = agent()
    it.received(HOME, answer(it.received(HOME, check(nominate=True), now=0.0)), now=0.05)
    outputs = it.received(MOBILE, check(nominate=True), now=9.0)
    assert events(outputs) == [Validated(MOBILE)]
    assert it.received(MOBILE, answer(outputs), now=9.05) == [Usable(MOBILE), Selected(MOBILE)]
    outputs = it.received(HOME, check(nominate=True), now=20.0)
    assert events(outputs) == []
    assert it.received(HOME, answer(outputs), now=20.05) == [Selected(HOME)]


def test_a_replay_from_another_source_selects_nothing() -> None:
    it = agent()
    request = check(nominate=True)
    it.received(HOME, answer(it.received(HOME, request, now=0.0)), now=0.05)
    outputs = it.received(STRANGER, request, now=1.0)
    assert events(outputs) == [Validated(STRANGER)]
    while it.deadline is not None and it.deadline < 20.0:
        assert events(it.timeout(it.deadline)) == []
    assert it.selected == {RTP: HOME}


def test_a_replay_from_a_source_of_before_selects_nothing() -> None:
    it = agent()
    request = check(nominate=True)
    it.received(HOME, answer(it.received(HOME, request, now=0.0)), now=0.05)
    it.received(MOBILE, answer(it.received(MOBILE, check(nominate=True), now=1.0)), now=1.05)
    assert events(it.received(HOME, request, now=2.0)) == []
    assert it.selected == {RTP: MOBILE}


@pytest.mark.parametrize(("priority", "wins"), [(1, False), (2, True), (3, True)])
def test_priority_decides_between_nominations_that_come_together(priority: int, wins: bool) -> None:
    it = agent()
    first = it.received(HOME, check(nominate=True, priority=2), now=0.0)
    second = it.received(MOBILE, check(nominate=True, priority=priority), now=TOGETHER - 0.01)
    assert Selected(HOME) in it.received(HOME, answer(first), now=0.1)
    assert (Selected(MOBILE) in it.received(MOBILE, answer(second), now=0.2)) is wins


def test_of_nominations_far_apart_the_later_wins_even_if_it_is_answered_first() -> None:
    it = agent()
    first = it.received(HOME, check(nominate=True, priority=9), now=0.0)
    second = it.received(MOBILE, check(nominate=True, priority=1), now=TOGETHER)
    assert Selected(MOBILE) in it.received(MOBILE, answer(second), now=0.2)
    assert Selected(HOME) not in it.received(HOME, answer(first), now=0.3)


@pytest.mark.parametrize(("later", "wins"), [(DETOUR - 0.01, False), (DETOUR, True)])
def test_an_aggressive_peers_way_by_its_turn_server_does_not_replace_the_shorter_one(
    later: float, wins: bool
) -> None:
    it = agent()
    it.turned = frozenset({MOBILE.remote})
    assert Selected(HOME) in it.received(
        HOME, answer(it.received(HOME, check(nominate=True), now=0.0)), now=0.1
    )
    outputs = it.received(MOBILE, check(nominate=True), now=later)
    assert (Selected(MOBILE) in it.received(MOBILE, answer(outputs), now=later + 0.1)) is wins


def test_from_its_turn_server_a_peer_moves_to_what_is_shorter() -> None:
    it = agent()
    it.turned = frozenset({HOME.remote})
    it.received(HOME, answer(it.received(HOME, check(nominate=True), now=0.0)), now=0.1)
    outputs = it.received(MOBILE, check(nominate=True), now=0.5)
    assert Selected(MOBILE) in it.received(MOBILE, answer(outputs), now=0.6)


def test_a_nomination_of_a_path_that_has_just_answered_needs_no_other_round_trip() -> None:
    it = selected()
    it.received(MOBILE, answer(it.received(MOBILE, check(), now=9.0)), now=9.05)
    assert events(it.received(MOBILE, check(nominate=True), now=9.1)) == [Selected(MOBILE)]


def test_after_a_move_the_old_path_is_received_from_for_a_while() -> None:
    it = selected()
    it.received(MOBILE, answer(it.received(MOBILE, check(nominate=True), now=9.0)), now=9.05)
    assert it.timeout(9.05 + OVERLAP - 0.01) == []
    assert list(it.validated) == [HOME, MOBILE]
    assert it.timeout(9.05 + OVERLAP) == [Forgotten(HOME)]
    assert list(it.validated) == [MOBILE]


def test_a_path_on_which_the_peer_still_checks_after_a_move_stays() -> None:
    it = selected()
    it.received(MOBILE, answer(it.received(MOBILE, check(nominate=True), now=9.0)), now=9.05)
    it.received(HOME, check(), now=10.0)
    assert it.timeout(9.05 + OVERLAP) == []
    assert it.validated == (HOME, MOBILE)


def test_a_lite_agent_believes_a_request_only_once() -> None:
    it = agent(lite=True)
    request = check(nominate=True)
    it.received(HOME, request, now=0.0)
    assert events(it.received(STRANGER, request, now=9.0)) == [Validated(STRANGER)]
    assert it.selected == {RTP: HOME}
    assert Selected(MOBILE) in it.received(MOBILE, check(nominate=True), now=10.0)


def test_a_controlled_peer_has_moved_if_the_old_path_is_silent_and_the_new_one_answers_first() -> None:
    it = selected(controlling=True)
    outputs = it.received(MOBILE, check(controlling=False), now=0.05 + SILENT)
    assert [path for path, _ in sent(outputs, Class.REQUEST)] == [HOME, MOBILE]
    [_, (_, request)] = sent(outputs, Class.REQUEST)
    outputs = it.received(MOBILE, stun.success(request, ("192.0.2.99", 9), THEIRS.key), now=0.2)
    assert events(outputs) == [Usable(MOBILE), Selected(MOBILE)]
    [(path, request)] = sent(outputs, Class.REQUEST)
    assert (path, "USE-CANDIDATE" in request.attributes) == (MOBILE, True)


def test_a_controlled_peer_has_not_moved_if_the_old_path_answers_as_well() -> None:
    it = selected(controlling=True)
    outputs = it.received(MOBILE, check(controlling=False), now=1.0)
    for path, request in sent(outputs, Class.REQUEST):
        outputs = it.received(path, stun.success(request, ("192.0.2.99", 9), THEIRS.key), now=1.1)
    assert events(outputs) == [Usable(MOBILE)]
    assert it.selected == {RTP: HOME}


def test_a_controlled_peer_has_not_moved_while_the_old_path_is_alive() -> None:
    it = selected(controlling=True)
    it.received(HOME, check(controlling=False), now=1.0)
    outputs = it.received(MOBILE, check(controlling=False), now=1.0 + SILENT - 0.01)
    assert [path for path, _ in sent(outputs, Class.REQUEST)] == [MOBILE]
    assert events(it.received(MOBILE, answer(outputs), now=1.1)) == [Usable(MOBILE)]


def test_a_silent_peer_is_asked_for_consent_and_then_not_sent_to() -> None:
    it = selected()
    asked, lost = [], []
    while it.deadline is not None:
        now = it.deadline
        outputs = it.timeout(now)
        asked += [now for _ in sent(outputs, Class.REQUEST)]
        lost += [(now, output) for output in events(outputs)]
    assert 4.0 <= asked[0] - 0.05 <= 6.0
    assert lost == [(30.05, ConsentLost(HOME))]
    assert (it.selected, it.validated) == ({}, (HOME,))


def test_consent_that_was_lost_comes_back_with_an_answered_check() -> None:
    it = selected()
    while it.deadline is not None:
        it.timeout(it.deadline)
    outputs = it.received(HOME, check(), now=100.0)
    assert it.received(HOME, answer(outputs), now=100.1) == [Selected(HOME)]


def test_authenticated_media_is_as_good_as_a_check() -> None:
    it = selected()
    for now in range(1, 100):
        assert it.alive(HOME, float(now)) == []
        assert it.timeout(float(now)) == []
    assert it.alive(STRANGER, 100.0) == []


def test_authenticated_media_on_a_path_whose_consent_was_lost_starts_a_check() -> None:
    it = selected()
    while it.deadline is not None:
        it.timeout(it.deadline)
    assert it.received(HOME, answer(it.alive(HOME, 100.0)), now=100.1) == [Selected(HOME)]


def test_a_path_that_the_peer_may_have_moved_to_is_checked_before_all_others() -> None:
    it = selected()
    for number in range(10):
        it.received(Path(RTP, ("203.0.113.1", 1000 + number)), check(), now=9.0)
    it.received(MOBILE, check(nominate=True), now=9.01)
    assert [path for path, _ in sent(it.timeout(9.02), Class.REQUEST)] == [HOME, MOBILE]


def test_the_path_whose_consent_was_lost_is_forgotten_after_the_next_move() -> None:
    it = selected()
    while it.deadline is not None:
        it.timeout(it.deadline)
    outputs = it.received(MOBILE, check(nominate=True), now=100.0)
    it.received(MOBILE, answer(outputs), now=100.1)
    assert it.timeout(100.1 + OVERLAP) == [Forgotten(HOME)]


def run_silently(it: Agent, until: float) -> list[tuple[float, Output]]:
    """The peer says nothing up to a time: what the agent makes of it, and when."""
    found: list[tuple[float, Output]] = []
    while it.deadline is not None and it.deadline <= until:
        now = it.deadline
        found += [(round(now, 3), output) for output in events(it.timeout(now))]
    return found


def with_a_spare_path() -> tuple[Agent, bytes]:
    """A controlling agent with HOME selected, and MOBILE that lost its race against it but was heard at 3 s.

    And the answer to the check of MOBILE that comes of it.
    """
    it = selected(controlling=True)
    for path, request in sent(it.received(MOBILE, check(controlling=False), now=1.0), Class.REQUEST):
        it.received(path, stun.success(request, ("192.0.2.99", 9), THEIRS.key), now=1.1)
    outputs = it.received(MOBILE, check(controlling=False), now=3.0)
    [request] = [request for path, request in sent(outputs, Class.REQUEST) if path == MOBILE]
    return it, stun.success(request, MOBILE.remote, THEIRS.key)


def test_a_spare_path_takes_over_when_the_selected_one_does_not_answer_for_long() -> None:
    it, reply = with_a_spare_path()
    assert events(it.received(MOBILE, reply, now=3.1)) == []
    assert run_silently(it, 3.69) == []
    assert run_silently(it, 3.71) == [(3.7, Selected(MOBILE))]


def test_a_spare_path_that_answers_late_takes_over_at_once() -> None:
    it, reply = with_a_spare_path()
    assert run_silently(it, 4.9) == []
    assert events(it.received(MOBILE, reply, now=5.0)) == [Selected(MOBILE)]
