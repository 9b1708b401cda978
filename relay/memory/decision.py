"""Which ways a party is given, and in which order: a pure function of what is known.

What is not known changes nothing: the static order stands. The rules, and why
feedback can harm nobody:

- A way is known after three legs that we saw try it. Known ways that mostly
  work come first: UDP to us, then TCP to us, then TURN, each by score. Then come
  those that are not known, then those that mostly fail, in the static order.
- A way is left out only if it surely fails, another one surely works, and
  neither it is the default candidate nor would be the last one of its kind.
- Once a day one call is given everything in the static order, for a way in the
  last place is hardly ever tried, and would seem dead for ever.
- Feedback may only undo: the order with it is taken if it departs from the
  static order nowhere that the order without it does not, and a way is left
  out only if it would be left out without feedback as well as with it.
- What clients say of ways past us decides nothing here: see ``direct_works``.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from relay.memory import beta
from relay.memory.arms import DIRECT, OWN, TCP, UDP, Arm
from relay.memory.knowledge import KNOWN, Network, faded, median_ms

FAMILY_WEIGHT = 2.0
"""How much the user agent's family counts in a network that is new."""
EVERYONE_WEIGHT = 1.0
"""The same for all networks together."""
KNOWN_FAMILY = 20
"""Legs that make common knowledge worth anything."""
KNOWN_WELL = 8
"""The same before it is left out, and for the one that surely works instead."""
KNOWN_NETWORK = 20
"""Legs seen in a network before the last way of a kind may be left out."""
DEAD = 0.05
ALIVE = 0.9
DIRECT_WORKS = 0.5
CURIOSITY = 0.02
"""Share of the calls in which a way that would be left out is given."""
DAY = 86400.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is known at the moment of a decision; None: nothing."""

    network: Network | None = None
    family: Network | None = None
    everyone: Network | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What there is to decide on."""

    arms: tuple[Arm, ...]
    """Ways to us that could be given, in the static order; each once."""
    default: Arm
    """The way that ``c=`` and ``m=`` name; one of ``arms``."""


@dataclass(frozen=True, slots=True)
class Belief:
    """One way in one network: how sure we are, with its prior."""

    alpha: float
    beta: float
    rows: int
    median: float | None
    """Milliseconds until it was usable."""

    @property
    def mean(self) -> float:
        """Share of the tries that work."""
        return self.alpha / (self.alpha + self.beta)

    @property
    def score(self) -> float:
        """Likely, and soon."""
        return self.mean / (1.0 + (self.median or 0.0) / 1000.0)

    @property
    def bounds(self) -> tuple[float, float]:
        """Lower and upper 95 % bound of the share; for explanations, slow."""
        low, high = 1.0 - beta.SURE, beta.SURE
        return beta.quantile(low, self.alpha, self.beta), beta.quantile(high, self.alpha, self.beta)


@dataclass(frozen=True, slots=True)
class Decision:
    """What the party is given."""

    order: tuple[Arm, ...]
    """Ways, the best first."""
    dropped: tuple[Arm, ...] = ()
    explored: tuple[Arm, ...] = ()
    """Those of ``order`` that are there, or in their place, out of curiosity."""
    learnt: bool = False
    """What is known made a difference to the static policy."""
    beliefs: dict[Arm, Belief] = field(default_factory=dict)


def static(facts: Facts) -> Decision:
    """What happens without memory."""
    return Decision(facts.arms)


def decide(snapshot: Snapshot, facts: Facts, now: float, seed: int) -> Decision:
    """The ways to give. ``seed`` decides about curiosity; equal arguments give equal decisions."""
    given, network = facts.arms, snapshot.network
    if network is None or network.rows < KNOWN:
        return static(facts)
    seen = {arm: belief(snapshot, arm, now) for arm in given}
    heard = {arm: belief(snapshot, arm, now, with_feedback=True) for arm in given}
    order = _order(given, seen, heard)
    dropped = _dropped(network, facts, given, seen, heard, now)
    doubted = tuple(arm for arm in given if arm in dropped or _class(seen[arm]) is Class.FAILS)
    if doubted and (now < network.explored_at or now >= network.explored_at + DAY):
        return Decision(given, explored=doubted, beliefs=seen)
    explored = _curious(dropped, seed)
    final = (*(arm for arm in order if arm not in dropped), *explored)
    left_out = tuple(arm for arm in dropped if arm not in explored)
    return Decision(final, left_out, explored, final != given, seen)


def direct_works(snapshot: Snapshot, now: float) -> bool:
    """Apps there said that they reached other phones past us, mostly; and we have seen calls of theirs."""
    if snapshot.network is None or snapshot.network.rows < KNOWN:
        return False
    said = [belief(snapshot, arm, now, with_feedback=True) for arm in DIRECT]
    return any(beta.surely_above(DIRECT_WORKS, one.alpha, one.beta) for one in said)


def belief(snapshot: Snapshot, arm: Arm, now: float, with_feedback: bool = False) -> Belief:
    """What is believed of ``arm``, its prior included."""
    alpha, beta_ = _prior(snapshot, arm, now)
    network = snapshot.network
    if network is None or arm not in network.ways:
        return Belief(alpha, beta_, 0, None)
    way = faded(network.ways[arm], now, network.half_life)
    if with_feedback:
        alpha, beta_ = alpha + way.said_ok, beta_ + way.said_bad
    return Belief(alpha + way.alpha, beta_ + way.beta, way.rows, median_ms(way, now, network.half_life))


def _prior(snapshot: Snapshot, arm: Arm, now: float) -> tuple[float, float]:
    for known, weight in ((snapshot.family, FAMILY_WEIGHT), (snapshot.everyone, EVERYONE_WEIGHT)):
        if known is not None and arm in known.ways and known.ways[arm].rows >= KNOWN_FAMILY:
            way = faded(known.ways[arm], now, known.half_life)
            mean = (way.alpha + 0.5) / (way.alpha + way.beta + 1.0)
            return weight * mean, weight * (1.0 - mean)
    return 0.5 * EVERYONE_WEIGHT, 0.5 * EVERYONE_WEIGHT


def _order(given: tuple[Arm, ...], seen: dict[Arm, Belief], heard: dict[Arm, Belief]) -> tuple[Arm, ...]:
    by_rows = _sorted(given, seen, seen)
    with_feedback = _sorted(given, seen, heard)
    return with_feedback if _inversions(with_feedback, given) <= _inversions(by_rows, given) else by_rows


def _sorted(given: tuple[Arm, ...], seen: dict[Arm, Belief], scores: dict[Arm, Belief]) -> tuple[Arm, ...]:
    """By class, which our own rows alone decide, and those that work by kind and score."""

    def place(arm: Arm) -> tuple[int, int, float]:
        group = _class(seen[arm])
        if group is not Class.WORKS:
            return group.value, 0, 0.0
        kind = 0 if arm in UDP else 1 if arm in TCP else 2
        return group.value, kind, -scores[arm].score

    return tuple(sorted(given, key=place))


class Class(enum.Enum):
    """What our own rows say of a way. The values are the order in which ways are given."""

    WORKS = 0
    UNKNOWN = 1
    FAILS = 2


def _class(seen: Belief) -> Class:
    if seen.rows < KNOWN:
        return Class.UNKNOWN
    return Class.WORKS if seen.mean > 0.5 else Class.FAILS


def _inversions(order: Sequence[Arm], static_order: Sequence[Arm]) -> set[tuple[Arm, Arm]]:
    """Pairs that stand the other way round than in the static order."""
    place = {arm: number for number, arm in enumerate(static_order)}
    return {
        (one, other)
        for number, one in enumerate(order)
        for other in order[number + 1 :]
        if place[one] > place[other]
    }


def _dropped(
    network: Network,
    facts: Facts,
    given: tuple[Arm, ...],
    seen: dict[Arm, Belief],
    heard: dict[Arm, Belief],
    now: float,
) -> tuple[Arm, ...]:
    if network.is_open(now):
        return ()
    dead = [arm for arm in given if arm in OWN and _dead(seen[arm]) and _dead(heard[arm])]
    alive = [arm for arm in given if _alive(seen[arm]) and _alive(heard[arm])]
    dropped: list[Arm] = []
    for arm in reversed(dead):  # the lowest of the static order first
        left = [other for other in given if other not in (*dropped, arm)]
        if arm is facts.default or not [other for other in alive if other in left]:
            continue
        if network.rows < KNOWN_NETWORK and not _has_each_kind(left, given):
            continue
        dropped.append(arm)
    return tuple(arm for arm in given if arm in dropped)


def _dead(known: Belief) -> bool:
    return known.rows >= KNOWN_WELL and beta.surely_below(DEAD, known.alpha, known.beta)


def _alive(known: Belief) -> bool:
    return known.rows >= KNOWN_WELL and beta.surely_above(ALIVE, known.alpha, known.beta)


def _has_each_kind(left: Sequence[Arm], given: Sequence[Arm]) -> bool:
    """Of UDP and of TCP, one way is left if there was one."""
    return all(not kind.intersection(given) or kind.intersection(left) for kind in (UDP, TCP))


def _curious(dropped: tuple[Arm, ...], seed: int) -> tuple[Arm, ...]:
    dice = random.Random(seed)
    return (dice.choice(dropped),) if dropped and dice.random() < CURIOSITY else ()
