from __future__ import annotations

import pytest

from relay.ice.consent import INTERVAL, QUIET, TIMEOUT, Consent


@pytest.mark.parametrize(("chance", "after"), [(0.0, 0.8 * INTERVAL), (0.5, INTERVAL), (1.0, 1.2 * INTERVAL)])
def test_looks_are_spread_around_the_interval(chance: float, after: float) -> None:
    consent = Consent(given=10.0)
    consent.plan(10.0, chance)
    assert consent.deadline == pytest.approx(10.0 + after)


def test_a_peer_is_asked_only_after_it_was_quiet() -> None:
    consent = Consent(given=0.0)
    consent.plan(0.0, 0.5)
    assert not consent.is_asked_for(INTERVAL - 0.01)
    assert consent.is_asked_for(INTERVAL)
    consent.renew(INTERVAL - QUIET + 0.01)
    assert not consent.is_asked_for(INTERVAL)


def test_it_is_over_when_the_peer_gave_no_sign_for_long_enough() -> None:
    consent = Consent(given=0.0)
    consent.renew(7.0)
    consent.renew(6.0)
    consent.plan(7.0, 1.0)
    assert not consent.is_over(7.0 + TIMEOUT - 0.01)
    assert consent.is_over(7.0 + TIMEOUT)
    assert consent.deadline <= 7.0 + TIMEOUT
