"""What comes of the streams that the kernel was given: whether it forwards them, and to which neighbours.

The kernel may find no way out, and then leaves every packet to user space:
what it was given is one thing, what it carries another. Both tiers count; how
far they came since the last look tells who had the packets.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

NOBODY = -1

SEVERAL = 2
"""Streams that tell something about their gate; one alone may have a phone that is gone."""


@dataclass(frozen=True, slots=True)
class Look:
    """What happened since the look before. Gates are numbers."""

    works: frozenset[int] = frozenset()
    """Gates of which the kernel forwarded something."""
    fails: frozenset[int] = frozenset()
    """Gates of which user space forwarded something that the kernel was given, and the kernel nothing."""
    ceased: frozenset[int] = frozenset()
    """Those of them with several streams that the kernel forwarded before."""
    hops: frozenset[bytes] = field(default_factory=frozenset)
    """Neighbours to whom the kernel sent."""


class Carried:
    """``counts``: the kernel's (``kernel.COUNT``), by slot; ``below``: RTP of user space, by rule id."""

    def __init__(self, counts: NDArray[np.void], below: NDArray[np.uint64]) -> None:
        self._counts, self._below = counts, below
        slots = len(counts)
        self._gate = np.full(slots, NOBODY, np.int32)
        self._rule = np.zeros(slots, np.intp)
        self._seen = np.zeros(slots, np.uint64)
        self._seen_below = np.zeros(slots, np.uint64)
        self._carried = np.zeros(slots, np.bool_)

    def begin(self, slot: int, rule: int, gate: int) -> None:
        """The kernel is about to get a stream, which ``rule`` receives by this gate."""
        self._gate[slot], self._rule[slot], self._carried[slot] = gate, rule, False
        self._seen[slot], self._seen_below[slot] = self._counts["packets"][slot], self._below[rule]

    def end(self, slot: int) -> None:
        """It has it no more."""
        self._gate[slot] = NOBODY

    def carries(self, slot: int) -> bool:
        """Whether the kernel forwarded the last that came of this stream, as far as is known."""
        return bool(self._carried[slot]) or int(self._counts["packets"][slot]) != int(self._seen[slot])

    def look(self) -> Look:
        """Once in a while, long enough for a talker to have said something."""
        slots = np.flatnonzero(self._gate != NOBODY)
        now, below = self._counts["packets"][slots], self._below[self._rule[slots]]
        moved = now != self._seen[slots]
        missed = ~moved & (below != self._seen_below[slots])
        gates, before = self._gate[slots], self._carried[slots]
        works = frozenset(gates[moved].tolist())
        ceased = Counter(gates[missed & before].tolist())
        found = Look(
            works,
            frozenset(gates[missed].tolist()) - works,
            frozenset(gate for gate, streams in ceased.items() if streams >= SEVERAL) - works,
            frozenset(self._counts["hop"][slots[moved]].tolist()),
        )
        self._seen[slots], self._seen_below[slots] = now, below
        self._carried[slots] = (before | moved) & ~missed
        return found
