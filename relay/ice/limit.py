"""How many answers a source gets: STUN is UDP, and a source address is easily forged."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field

RATE = 50
"""Answers per second and source. A browser checks twenty times a second in its first moments."""
REMEMBERED = 64
"""Sources counted at a time: twice as many as an agent learns."""


@dataclass(slots=True)
class Limit:
    """Counts by source in seconds that begin with the source's first request.

    The source that was quiet for longest is forgotten when there are too many.
    """

    rate: int = RATE
    _counts: OrderedDict[Hashable, tuple[float, int]] = field(default_factory=OrderedDict)

    def allows(self, source: Hashable, now: float) -> bool:
        """One more for ``source``."""
        since, count = self._counts.get(source, (now, 0))
        if now - since >= 1.0:
            since, count = now, 0
        self._counts[source] = since, count + 1
        self._counts.move_to_end(source)
        if len(self._counts) > REMEMBERED:
            self._counts.popitem(last=False)
        return count < self.rate
