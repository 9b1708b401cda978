from __future__ import annotations

from relay.ice.pace import TA, Pace


def test_the_first_goes_at_once_and_the_others_wait_their_turn() -> None:
    pace: Pace[str] = Pace()
    for one in ("a", "b", "c", "b"):
        pace.add(one, urgent=False)
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
        pace.add(one, urgent=False)
    pace.add("c", urgent=True)
    assert [pace.take(float(now)) for now in range(4)] == ["c", "a", "b", None]


def test_who_is_removed_is_not_checked() -> None:
    pace: Pace[str] = Pace()
    pace.add("a", urgent=False)
    pace.remove("a")
    pace.remove("unknown")
    assert pace.take(1.0) is None
