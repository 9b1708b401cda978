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
    """Those who wait to be checked, each of them once."""

    _waiting: deque[T] = field(default_factory=deque)
    _free: float = float("-inf")
    """When the next one may go."""

    @property
    def deadline(self) -> float | None:
        return self._free if self._waiting else None

    def add(self, one: T, urgent: bool) -> None:
        """Line up; who is urgent stands first."""
        if urgent:
            self.remove(one)
            self._waiting.appendleft(one)
        elif one not in self._waiting:
            self._waiting.append(one)

    def remove(self, one: T) -> None:
        """It is checked already, or forgotten."""
        if one in self._waiting:
            self._waiting.remove(one)

    def take(self, now: float) -> T | None:
        """Whose turn it is, if it is anybody's."""
        if not self._waiting or now < self._free:
            return None
        self._free = now + TA
        return self._waiting.popleft()
