from __future__ import annotations

from relay.ice.pace import TA, Pace


def test_the_first_goes_at_once_and_the_others_wait_their_turn() -> None:
    pace: Pace[str] = Pace()
    for one in ("a", "b", "c", "b"):
        pace.add(one)
    assert pace.take(1.0) == "a"
    assert pace.deadline == 1.0 + TA
    assert pace.take(1.0 + TA / 2) is None
    assert pace.take(1.0 + TA) == "b"
    assert pace.take(5.0) == "c"
    assert pace.deadline is None
    assert pace.take(9.0) is None


def test_who_is_urgent_stands_first_and_only_once() -> None:
    pace: Pace[str] = Pace()
    for one in ("a", "b", "c"):
        pace.add(one)
    pace.add("c", urgent=True)
    assert [pace.take(float(now)) for now in range(4)] == ["c", "a", "b", None]


def test_who_is_removed_is_not_checked() -> None:
    pace: Pace[str] = Pace()
    pace.add("a")
    pace.remove("a")
    pace.remove("unknown")
    assert pace.take(1.0) is None


def test_where_the_peer_shows_itself_is_checked_before_mere_candidates_and_at_once() -> None:
    pace: Pace[str] = Pace()
    for one in ("candidate", "another"):
        pace.add(one)
    assert pace.take(1.0) == "candidate"
    pace.add("shown", triggered=True)
    assert pace.deadline is not None
    assert pace.deadline <= 1.001
    assert pace.take(1.001) == "shown"
    pace.add("shown too", triggered=True)
    assert pace.take(1.002) is None
    assert pace.take(1.001 + TA) == "shown too"
    assert pace.take(1.001 + 2 * TA) == "another"


def test_a_candidate_that_shows_itself_stands_among_those_who_did() -> None:
    pace: Pace[str] = Pace()
    for one in ("a", "b"):
        pace.add(one)
    pace.add("b", triggered=True)
    assert [pace.take(float(now)) for now in range(3)] == ["b", "a", None]
