"""What is aimed for, and what a run says of it. Pure; seconds, packets, checks, per cent.

The goals were set by figures from another machine, with rtpengine or with no relay. Where such
a figure was the measure, what counts is the ratio of goal and figure, applied to what the same
treatment took in this run: call by call, two calls of one repetition at a time.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.ice_lab.call import Outcome
from bench.ice_lab.cases import Case
from bench.ice_lab.figures import Spread, interval
from bench.ice_lab.networks import PEER_DELAY, RELAY_DELAY

Figure = Literal[
    "call to media", "answer to media", "round trip", "return path", "lost", "checks", "forwarded"
]
UNITS: dict[Figure, str] = {"lost": "packets", "checks": "checks", "forwarded": "of 100"}
"""Where it is no milliseconds."""
SURE = 20
"""Calls of each treatment that make a missed goal a failure of the run."""
TOLERANCE = 0.10
"""By how much a goal may be missed until then."""


@dataclass(frozen=True)
class Goal:
    """``goal`` and ``beat`` are figures of the other machine; ``than`` is what took ``beat``.

    Without ``than``, the goal is what counts here as well, or ``here`` where the delays of this lab allow
    no less.
    """

    case: Case
    treatment: str
    figure: Figure
    goal: float
    beat: float | None = None
    than: str | None = None
    here: float | None = None


THEIRS, NONE = "rtpengine force", "no relay"
MEDIA_TRIP = 4 * (PEER_DELAY + RELAY_DELAY)
"""From phone to phone by the relay, and back."""
MOVE_COSTS = math.ceil(2 * (PEER_DELAY + RELAY_DELAY) / 0.020)
"""Packets that leave for the old address until the check of the new one is answered: a round trip of them."""

RELAY, ASSIST = "icerelay optimize", "icerelay assist"
WAIT: Figure = "call to media"
ICE: Figure = "answer to media"
AIOICE, CHROMIUM = (Case("same-lan", phone, talk=1.0) for phone in ("aioice", "chromium"))
GOALS = (
    Goal(Case("open", "aioice"), RELAY, WAIT, 0.663, 0.663, THEIRS),
    Goal(Case("open", "aioice", gathers=False), RELAY, WAIT, 0.402, 0.402, THEIRS),
    Goal(Case("symmetric", "aioice"), RELAY, ICE, 0.180, 0.180, THEIRS),
    Goal(Case("symmetric", "aioice"), ASSIST, ICE, 0.260, 0.286, NONE),
    Goal(Case("symmetric", "aioice"), "icerelay force-relay", ICE, 0.260, 0.286, NONE),
    Goal(Case("open", "aioice", 32), RELAY, ICE, 0.187, 0.187, THEIRS),
    Goal(Case("open", "aioice", 32), RELAY, "checks", 4),
    Goal(Case("open", "chromium", gathers=False), RELAY, WAIT, 0.527, 0.527, THEIRS),
    Goal(Case("open", "chromium", 32), RELAY, ICE, 0.088, 0.088, THEIRS),
    Goal(Case("udp-443", "chromium", gathers=False), RELAY, WAIT, 0.605, 0.605, THEIRS),
    Goal(Case("no-udp", "chromium", gathers=False), RELAY, WAIT, 0.703, 0.703, THEIRS),
    Goal(AIOICE, RELAY, "round trip", 0.005),
    Goal(AIOICE, RELAY, WAIT, 0.470, 0.460, NONE),
    Goal(CHROMIUM, RELAY, "round trip", 0.005),
    Goal(CHROMIUM, RELAY, WAIT, 0.470, 0.460, NONE),
    Goal(Case("far-relay", "chromium", talk=3.0), ASSIST, "round trip", 0.070),
    Goal(Case("open", "aioice", event="moves"), "icerelay force", "return path", MEDIA_TRIP + 0.020),
    Goal(Case("open", "aioice", event="moves"), "icerelay force", "lost", 3, here=MOVE_COSTS),
    Goal(Case("open", "aioice", event="stranger"), "icerelay force", "forwarded", 0),
)


def figure_of(outcome: Outcome, figure: Figure) -> float | None:
    match figure:
        case "call to media":
            return outcome.offered
        case "answer to media":
            return outcome.applied
        case "round trip":
            return outcome.round_trip
        case "return path":
            return outcome.move.returned if outcome.move else None
        case "lost":
            return float(outcome.move.lost) if outcome.move else None
        case "checks":
            return float(outcome.caller_checks + outcome.callee_checks)
        case "forwarded":
            return None if outcome.strange is None else float(outcome.strange)


@dataclass(frozen=True)
class Verdict:
    """How a goal fared. ``here`` is what it comes to in this run, ``beaten`` what ``than`` took.

    ``missed`` is by how much, in the goal's unit; None for met, also where no difference is to be seen.
    """

    goal: Goal
    n: int
    ok: int
    ours: Spread | None
    theirs: Spread | None
    here: float
    missed: float | None

    @property
    def fails(self) -> bool:
        """It is missed by more than is tolerated, and with calls enough to say so."""
        if self.n < SURE:
            return False
        return self.ours is None or (self.missed or 0.0) > TOLERANCE * self.here

    @property
    def words(self) -> str:
        if self.ours is None:
            return "missed: no figure"
        if self.missed is None:
            return "met"
        return f"missed by {amount(self.missed, self.goal.figure)}"


def amount(value: float, figure: Figure) -> str:
    """
    >>> amount(0.0625, "round trip"), amount(3.0, "lost")
    ('62 ms', '3 packets')
    """
    unit = UNITS.get(figure)
    return f"{value * 1000:.0f} ms" if unit is None else f"{value:g} {unit}"


def judge(outcomes: Sequence[Outcome]) -> list[Verdict]:
    """The goals whose cases were measured."""
    return [verdict for goal in GOALS if (verdict := _judged(goal, outcomes)) is not None]


def _judged(goal: Goal, outcomes: Sequence[Outcome]) -> Verdict | None:
    mine = _of(outcomes, goal.case, goal.treatment)
    other = _of(outcomes, goal.case, goal.than or THEIRS)
    if not mine or (goal.than and not other):
        return None
    ours, theirs = _figures(mine, goal.figure), _figures(other, goal.figure)
    spread, rival = Spread.of(list(ours.values())), Spread.of(list(theirs.values()))
    if goal.than is None or goal.beat is None:
        here = goal.goal if goal.here is None else goal.here
        missed = spread.median - here if spread and spread.median > here else None
    else:
        ratio = goal.goal / goal.beat
        here = ratio * rival.median if rival else 0.0
        differences = [ours[number] - ratio * theirs[number] for number in ours.keys() & theirs.keys()]
        low, _ = interval(differences)
        missed = statistics.median(differences) if differences and low > 0 else None
    return Verdict(goal, len(mine), sum(one.why is None for one in mine), spread, rival, here, missed)


def _of(outcomes: Sequence[Outcome], case: Case, treatment: str) -> list[Outcome]:
    return [one for one in outcomes if (one.case, one.treatment) == (case, treatment)]


def _figures(outcomes: Sequence[Outcome], figure: Figure) -> dict[int, float]:
    """By repetition, of the calls that connected."""
    found = {one.repetition: figure_of(one, figure) for one in outcomes if one.why is None}
    return {number: value for number, value in found.items() if value is not None}


@dataclass(frozen=True)
class Gain:
    """The median of the differences of two calls of one repetition, and its 95 % interval; seconds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, before: dict[int, float], after: dict[int, float]) -> Gain | None:
        """None if no pair of calls connected."""
        differences = [before[number] - after[number] for number in before.keys() & after.keys()]
        return cls(statistics.median(differences), *interval(differences)) if differences else None


@dataclass(frozen=True)
class Shares:
    """Call to media of phones that gather and of phones that were told not to, and who gained what.

    ``advice`` is what rtpengine gains by phones that were told; ``daemon`` what icerelay gains on rtpengine
    where the phones of both were told, ``gathering`` where those of both gather.
    """

    network: str
    phone: str
    theirs_gathering: float | None
    theirs_told: float
    ours_gathering: float | None
    ours_told: float
    advice: Gain | None
    daemon: Gain | None
    gathering: Gain | None


def shares(outcomes: Sequence[Outcome]) -> Iterator[Shares]:
    """Of each network and phone that was told not to gather, with ``force`` of both relays."""
    for case in dict.fromkeys(outcome.case for outcome in outcomes):
        waits = Case(case.network, case.phone)
        theirs, ours, theirs_waiting, ours_waiting = (
            _figures(_of(outcomes, which, treatment), WAIT)
            for which in (case, waits)
            for treatment in (THEIRS, "icerelay force")
        )
        if not case.gathers and theirs and ours:
            yield Shares(
                case.network,
                case.phone,
                statistics.median(theirs_waiting.values()) if theirs_waiting else None,
                statistics.median(theirs.values()),
                statistics.median(ours_waiting.values()) if ours_waiting else None,
                statistics.median(ours.values()),
                Gain.of(theirs_waiting, theirs),
                Gain.of(theirs, ours),
                Gain.of(theirs_waiting, ours_waiting),
            )


@dataclass(frozen=True)
class Connected:
    """``calls`` of a treatment of ours, beside calls with ``force``; ``worse`` of them failed only here."""

    treatment: str
    calls: int
    failed: int
    worse: int


def connectivity(outcomes: Sequence[Outcome]) -> list[Connected]:
    """Each treatment of ours against ``force`` of either relay, repetition by repetition."""
    forced = [one for one in outcomes if one.treatment.endswith(" force")]
    tried = {(one.case, one.repetition) for one in forced}
    reached = {(one.case, one.repetition) for one in forced if one.why is None}
    found = []
    for treatment in dict.fromkeys(one.treatment for one in outcomes):
        mine = [one for one in outcomes if one.treatment == treatment and (one.case, one.repetition) in tried]
        failed = [one for one in mine if one.why is not None]
        if mine and treatment.startswith("icerelay "):
            worse = sum((one.case, one.repetition) in reached for one in failed)
            found.append(Connected(treatment, len(mine), len(failed), worse))
    return found


def failures(outcomes: Sequence[Outcome]) -> list[str]:
    """Why a run is not good enough, in words; none for a run that is, or has too few calls."""
    found = [
        f"{one.goal.case}, {one.goal.treatment}, {one.goal.figure}: {one.words}"
        for one in judge(outcomes)
        if one.fails
    ]
    found += [
        f"{one.treatment}: {one.worse} of {one.calls} calls failed where ICE=force connects"
        for one in connectivity(outcomes)
        if one.worse > TOLERANCE * one.calls
    ]
    return found
