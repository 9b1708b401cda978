"""What the samples say. Pure; seconds."""

from __future__ import annotations

import math
import random
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bench.ice_lab.call import STRANGE, Outcome
from bench.ice_lab.cases import Case

RESAMPLES = 2000


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile: a value that was measured.

    >>> percentile([float(value) for value in range(1, 21)], 0.95)
    19.0
    """
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


@dataclass(frozen=True)
class Spread:
    least: float
    median: float
    p95: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread | None:
        if not values:
            return None
        return cls(min(values), statistics.median(values), percentile(values, 0.95), max(values))


@dataclass(frozen=True)
class Row:
    """One treatment in one case. The times are those of the calls that succeeded: read them with ``ok``."""

    case: Case
    treatment: str
    n: int
    ok: int
    offered: Spread | None
    applied: Spread | None
    caller_checks: Spread | None
    callee_checks: Spread | None
    round_trip: Spread | None
    returned: Spread | None
    """After a move: until media came to the new address; of the ``moved_ok`` calls in which it did."""
    moved_ok: int
    lost: Spread | None
    """Packets for the phone that moved; ``lost_of`` were sent."""
    lost_of: int
    strange: int | None
    """Of all calls' packets of strangers, the share that was forwarded, per cent."""
    results: tuple[str, ...]
    """What ``ICE=optimize`` came to."""
    failures: dict[str, int]

    @property
    def has_more(self) -> bool:
        return self.round_trip is not None or self.lost is not None or self.strange is not None

    @classmethod
    def of(cls, case: Case, treatment: str, outcomes: Sequence[Outcome]) -> Row:
        good = [outcome for outcome in outcomes if outcome.why is None]
        moves = [outcome.move for outcome in good if outcome.move is not None]
        strange = [outcome.strange for outcome in good if outcome.strange is not None]
        return cls(
            case,
            treatment,
            len(outcomes),
            len(good),
            Spread.of([outcome.offered for outcome in good if outcome.offered is not None]),
            Spread.of([outcome.applied for outcome in good if outcome.applied is not None]),
            Spread.of([float(outcome.caller_checks) for outcome in good]),
            Spread.of([float(outcome.callee_checks) for outcome in good]),
            Spread.of([outcome.round_trip for outcome in good if outcome.round_trip is not None]),
            Spread.of([move.returned for move in moves if move.returned is not None]),
            sum(move.returned is not None for move in moves),
            Spread.of([float(move.lost) for move in moves]),
            max((move.sent for move in moves), default=0),
            round(statistics.mean(strange) * 100 / STRANGE) if strange else None,
            tuple(sorted({outcome.result for outcome in good if outcome.result})),
            dict(Counter(outcome.why for outcome in outcomes if outcome.why is not None)),
        )


def rows(outcomes: Sequence[Outcome], treatments: Sequence[str]) -> list[Row]:
    """By case, in the order in which the treatments are given."""
    cases = sorted({outcome.case for outcome in outcomes}, key=lambda case: _place(case, outcomes))
    found = []
    for case in cases:
        for treatment in treatments:
            those = [one for one in outcomes if (one.case, one.treatment) == (case, treatment)]
            if those:
                found.append(Row.of(case, treatment, those))
    return found


def _place(case: Case, outcomes: Sequence[Outcome]) -> tuple[int, str, bool, str, int]:
    first = next(index for index, one in enumerate(outcomes) if one.case.network == case.network)
    return first, case.phone, not case.gathers, case.event, case.dead


@dataclass(frozen=True)
class Comparison:
    """``ours`` against ``theirs``, call by call: each difference is of two calls of one repetition.

    ``later`` is the median of the differences, seconds, and ``low`` and ``high`` its 95 % interval
    (bootstrap). ``only_theirs`` counts repetitions in which only their call succeeded.
    """

    case: Case
    pairs: int
    later: float | None
    low: float
    high: float
    only_theirs: int
    only_ours: int

    @property
    def words(self) -> str:
        if self.later is None:
            return "no pair of calls succeeded"
        if self.low > 0:
            return f"slower by {self.later * 1000:.0f} ms"
        if self.high < 0:
            return f"faster by {-self.later * 1000:.0f} ms"
        return "no difference seen"


def compare(outcomes: Sequence[Outcome], ours: str, theirs: str) -> list[Comparison]:
    found = []
    for case in dict.fromkeys(outcome.case for outcome in outcomes):
        mine, other = ({
            one.repetition: one.applied for one in outcomes if one.case == case and one.treatment == name
        } for name in (ours, theirs))  # fmt: skip
        if not mine or not other:
            continue
        both = [(mine[number], other[number]) for number in mine.keys() & other.keys()]
        differences = [a - b for a, b in both if a is not None and b is not None]
        low, high = interval(differences)
        found.append(
            Comparison(
                case,
                len(differences),
                statistics.median(differences) if differences else None,
                low,
                high,
                sum(a is None and b is not None for a, b in both),
                sum(a is not None and b is None for a, b in both),
            )
        )
    return found


def interval(differences: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of the median, by drawing again from what was measured."""
    if not differences:
        return 0.0, 0.0
    chance = random.Random(0)
    medians = [statistics.median(chance.choices(differences, k=len(differences))) for _ in range(RESAMPLES)]
    return percentile(medians, 0.025), percentile(medians, 0.975)
