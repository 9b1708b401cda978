"""How long the way to the peer is, as answered checks tell."""

from __future__ import annotations

import pytest

from relay.ice.stun import Class
from tests.relay.ice import test_passing as passing
from tests.relay.ice.peer import HOME, MOBILE, agent, answer, check, selected, sent


def test_a_check_that_was_answered_at_once_tells_the_round_trip() -> None:
    assert agent().round_trip is None
    assert selected().round_trip == pytest.approx(0.05)


def test_an_answer_to_one_of_two_sends_tells_nothing_until_a_patient_check_was_answered() -> None:
    """The first repeat is sent after 0.1 s, and the peer is farther away."""
    it = agent()
    outputs = it.received(HOME, check(nominate=True), now=0.0)
    reply = answer(outputs)
    it.timeout(0.1)
    it.received(HOME, reply, now=0.3)
    assert it.round_trip is None
    while it.deadline is not None:
        now = it.deadline
        it.alive(HOME, now)
        if asked := it.timeout(now):
            break
    assert 4.3 <= now <= 6.3
    assert sent(it.timeout(now + 0.29), Class.REQUEST) == []
    it.received(HOME, answer(asked), now=now + 0.3)
    assert it.round_trip == pytest.approx(0.3)


def test_a_peer_that_is_timed_and_talks_is_asked_no_more() -> None:
    it = selected()
    for now in range(1, 60):
        it.alive(HOME, float(now))
        assert it.timeout(float(now)) == []


def test_the_round_trip_is_that_of_the_path_in_use() -> None:
    it = selected()
    outputs = it.received(MOBILE, check(nominate=True), now=9.0)
    it.received(MOBILE, answer(outputs), now=9.08)
    assert it.round_trip == pytest.approx(0.08)


def test_later_answers_weigh_an_eighth() -> None:
    it = selected()
    while it.deadline is not None and not (asked := it.timeout(now := it.deadline)):
        pass
    it.received(HOME, answer(asked), now=now + 0.09)
    assert it.round_trip == pytest.approx(0.05 + 0.04 / 8)


def test_checks_that_pass_through_tell_the_round_trip_to_each_side() -> None:
    passer = passing.connected()
    request = passing.check(passing.ALICE, passing.BOB)
    passer.received(passing.A, passing.AT_ALICE, request, now=1.0)
    assert passer.round_trip(passing.B) is None
    passer.received(passing.B, passing.AT_BOB, passing.answer(request, passing.BOB.key), now=1.12)
    assert passer.round_trip(passing.B) == pytest.approx(0.12)
    assert passer.round_trip(passing.A) is None


def test_a_check_that_was_passed_on_twice_tells_nothing() -> None:
    passer = passing.connected()
    request = passing.check(passing.ALICE, passing.BOB)
    passer.received(passing.A, passing.AT_ALICE, request, now=1.0)
    passer.received(passing.A, passing.AT_ALICE, request, now=1.1)
    passer.received(passing.B, passing.AT_BOB, passing.answer(request, passing.BOB.key), now=1.12)
    assert passer.round_trip(passing.B) is None
