from __future__ import annotations

from relay.ice.limit import RATE, REMEMBERED, Limit


def test_each_source_has_its_own_limit_per_second() -> None:
    limit = Limit()
    allowed = [limit.allows("a", now=1.0 + number / 1000) for number in range(100)]
    assert allowed == [True] * RATE + [False] * (100 - RATE)
    assert limit.allows("b", now=1.1)
    assert not limit.allows("a", now=1.9)
    assert limit.allows("a", now=2.0)


def test_sources_are_bounded_and_the_quietest_is_forgotten() -> None:
    limit = Limit(rate=1)
    assert limit.allows("a", now=1.0)
    for number in range(REMEMBERED - 1):
        assert limit.allows(number, now=1.0)
    assert not limit.allows("a", now=1.0)
    assert limit.allows("one more", now=1.0)
    assert limit.allows(0, now=1.0)
    assert not limit.allows("a", now=1.0)
