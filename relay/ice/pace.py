"""Pacing of new checks (RFC 8445, section 14): the first goes at once, the others wait their turn."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

TA = 0.02
"""Seconds between two new checks. Repeats of checks have times of their own."""

T = TypeVar("T")


@dataclass(slots=True)
class Pace(Generic[T]):
    """Those who wait to be checked, each of them once.

    Triggered checks, of where the peer has shown itself, come first, and do not
    wait for the time that a check of a mere candidate takes up.
    """

    _triggered: deque[T] = field(default_factory=deque)
    _ordinary: deque[T] = field(default_factory=deque)
    _free: float = float("-inf")
    """When the next one may go."""
    _free_for_triggered: float = float("-inf")

    @property
    def deadline(self) -> float | None:
        if self._triggered:
            return self._free_for_triggered
        return self._free if self._ordinary else None

    def __contains__(self, one: T) -> bool:
        return one in self._triggered or one in self._ordinary

    def add(self, one: T, urgent: bool = False, triggered: bool = False) -> None:
        """Line up; who is urgent stands first of all."""
        if urgent:
            self.remove(one)
            self._triggered.appendleft(one)
        elif triggered and one not in self._triggered:
            self.remove(one)
            self._triggered.append(one)
        elif one not in self._triggered and one not in self._ordinary:
            self._ordinary.append(one)

    def remove(self, one: T) -> None:
        """It is checked already, or forgotten."""
        for waiting in (self._triggered, self._ordinary):
            if one in waiting:
                waiting.remove(one)

    def take(self, now: float) -> T | None:
        """Whose turn it is, if it is anybody's."""
        if self._triggered:
            if now < self._free_for_triggered:
                return None
            self._free = self._free_for_triggered = now + TA
            return self._triggered.popleft()
        if not self._ordinary or now < self._free:
            return None
        self._free = now + TA
        return self._ordinary.popleft()
