from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.memory.beta import cdf, quantile, surely_above, surely_below

SCIPY_CDF = [
    (0.05, 1, 58, 0.9489531313163966),
    (0.05, 0.5, 58.5, 0.985496774319308),
    (0.9, 8.5, 0.5, 0.18717600132108267),
    (0.9, 100, 2, 0.00029217538776346293),
    (0.5, 1000, 1001, 0.5089195055729272),
    (0.5, 3, 2, 0.3125),
    (0.01, 0.5, 1000.5, 0.9999926722104432),
    (0.999, 1000.5, 0.5, 0.15714352336551876),
    (0.3, 0.5, 0.5, 0.36901011956554536),
    (0.05, 20.5, 900, 0.9999940851772081),
]
"""scipy.stats.beta.cdf(x, alpha, beta), of SciPy 1."""

SCIPY_QUANTILES = [
    (0.95, 1, 9, 0.28312883556311347),
    (0.95, 0.5, 58.5, 0.0324355128909996),
    (0.05, 8.5, 0.5, 0.792491958319267),
    (0.05, 100, 2, 0.9538926500751109),
    (0.95, 3, 2, 0.9023885371135856),
    (0.05, 0.5, 1.5, 0.0015429193026729438),
]

weights = st.floats(0.05, 3000.0)


@pytest.mark.parametrize(("x", "alpha", "beta", "expected"), SCIPY_CDF)
def test_shares_are_those_that_scipy_computes(x: float, alpha: float, beta: float, expected: float) -> None:
    assert cdf(x, alpha, beta) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(("p", "alpha", "beta", "expected"), SCIPY_QUANTILES)
def test_bounds_are_those_that_scipy_computes(p: float, alpha: float, beta: float, expected: float) -> None:
    assert quantile(p, alpha, beta) == pytest.approx(expected, rel=1e-9)


@given(st.floats(0.001, 0.999), weights, weights)
def test_a_share_is_a_probability_and_its_complement_the_rest(x: float, alpha: float, beta: float) -> None:
    assert -1e-12 <= cdf(x, alpha, beta) <= 1.0 + 1e-12
    assert cdf(x, alpha, beta) + cdf(1.0 - x, beta, alpha) == pytest.approx(1.0, abs=1e-9)


@given(st.floats(0.01, 0.99), weights, weights)
def test_being_sure_is_the_same_as_comparing_the_bound(x: float, alpha: float, beta: float) -> None:
    low, high = quantile(0.05, alpha, beta), quantile(0.95, alpha, beta)
    if abs(high - x) > 1e-9:
        assert surely_below(x, alpha, beta) is (high < x)
    if abs(low - x) > 1e-9:
        assert surely_above(x, alpha, beta) is (low > x)
