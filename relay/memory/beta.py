"""The beta distribution: how sure we are of a share after some successes and failures.

The regularized incomplete beta function by its continued fraction (Numerical
Analysis textbooks call the method Lentz's; the formula is DLMF 8.17.22), exact
to about 1e-12 for the weights that occur here (up to some thousands).
"""

from __future__ import annotations

from math import exp, lgamma, log, log1p

TERMS = 500
"""Of the continued fraction: it needs about the square root of the larger weight."""
TINY = 1e-300
EXACT = 1e-15


def cdf(x: float, alpha: float, beta: float) -> float:
    """Probability that the share is at most ``x`` (0 .. 1); ``alpha`` and ``beta`` are above 0.

    >>> round(cdf(0.5, 2.0, 3.0), 6)
    0.6875
    """
    if x <= 0.0 or x >= 1.0:
        return 0.0 if x <= 0.0 else 1.0
    if x > (alpha + 1.0) / (alpha + beta + 2.0):  # the fraction converges fast below this point only
        return 1.0 - cdf(1.0 - x, beta, alpha)
    scale = lgamma(alpha + beta) - lgamma(alpha) - lgamma(beta) + alpha * log(x) + beta * log1p(-x)
    return exp(scale) * _fraction(x, alpha, beta) / alpha


def _fraction(x: float, alpha: float, beta: float) -> float:
    c = 1.0
    d = 1.0 / _not_zero(1.0 - (alpha + beta) * x / (alpha + 1.0))
    value = d
    for m in range(1, TERMS):
        even = m * (beta - m) * x / ((alpha + 2 * m - 1) * (alpha + 2 * m))
        odd = -(alpha + m) * (alpha + beta + m) * x / ((alpha + 2 * m) * (alpha + 2 * m + 1))
        before = value
        for term in (even, odd):
            d = 1.0 / _not_zero(1.0 + term * d)
            c = _not_zero(1.0 + term / c)
            value *= d * c
        if abs(value - before) <= EXACT * abs(value):
            break
    return value


def _not_zero(value: float) -> float:
    return value if abs(value) > TINY else TINY


def quantile(p: float, alpha: float, beta: float, precision: float = 1e-12) -> float:
    """The share that is not exceeded with probability ``p``, by bisection: slow, for explanations."""
    low, high = 0.0, 1.0
    while high - low > precision:
        middle = (low + high) / 2
        low, high = (middle, high) if cdf(middle, alpha, beta) < p else (low, middle)
    return (low + high) / 2


SURE = 0.95
"""One-sided: so sure are we of a bound."""


def surely_below(x: float, alpha: float, beta: float) -> bool:
    """The upper 95 % bound is below ``x``; the same as ``quantile(0.95, ...) < x``, and much faster."""
    return cdf(x, alpha, beta) > SURE


def surely_above(x: float, alpha: float, beta: float) -> bool:
    """The lower 95 % bound is above ``x``."""
    return cdf(x, alpha, beta) < 1.0 - SURE
