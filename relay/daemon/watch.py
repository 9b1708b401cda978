"""Whether the forwarding threads still take turns. A pure count: looks come from outside, once a second."""

from __future__ import annotations

from collections.abc import Sequence

PATIENCE = 3
"""Looks in a row at which a worker had done nothing. One is no sign: the process may have been stopped."""


class Watch:
    """Compares how many turns each worker had taken, look by look.

    >>> watch = Watch(1)
    >>> [watch.look([7]) for _ in range(5)]
    [([], []), ([], []), ([], []), ([0], []), ([], [])]
    >>> watch.look([8])
    ([], [0])
    """

    def __init__(self, workers: int) -> None:
        self._before = [-1] * workers
        self._idle = [0] * workers

    @property
    def stuck(self) -> int:
        """Workers that are stuck now."""
        return sum(looks >= PATIENCE for looks in self._idle)

    def look(self, turns: Sequence[int]) -> tuple[list[int], list[int]]:
        """The workers that are stuck since this look, and those that are no longer."""
        stuck, again = [], []
        for number, count in enumerate(turns):
            if count == self._before[number]:
                self._idle[number] += 1
                if self._idle[number] == PATIENCE:
                    stuck.append(number)
            else:
                if self._idle[number] >= PATIENCE:
                    again.append(number)
                self._idle[number] = 0
            self._before[number] = count
        return stuck, again
