"""Ports of one local address: which are free, and which to hand out next.

Pure bookkeeping: no socket is opened here. Ports wait in queues, so that a
port that was just freed is the last to be used again: late packets of the call
before must not reach the next one.

                 take_pair                      take
    PAIR -----------------> USED + USED   PAIR -------> USED + LEFTOVER
      ^                        |                          |       | take
      |   its other half       | give_back      give_back |       v
      +------ is free -------- + <------------------------+----- USED
                               |
      RESTING <--- it is not --+          refuse: REFUSED, back after REFUSED_FOR takes
"""

from __future__ import annotations

import random
from collections import OrderedDict, deque

REST = 32
"""A freed single port is used again once so many others wait behind it: about a second of a
busy machine, long enough for the packets that were on their way."""

REFUSED_FOR = 256
"""Takes for which a port stays out that another program holds: trying it again costs a system call."""


class PortError(RuntimeError):
    """A local port could not be had."""


class PortsExhausted(PortError):
    """No port of the range is left."""


class Ports:
    """Hands out the ports ``minimum`` .. ``maximum`` (inclusive, 1 .. 65535) of one address.

    Every call costs about the same, however large or full the range is.
    ``rng`` chooses where the first port is taken, so that two daemons, or a
    daemon before and after a restart, do not begin with the same ports.

    >>> ports = Ports(30000, 30003, random.Random(1))
    >>> pair = ports.take_pair()
    >>> pair % 2, ports.used, ports.free
    (0, 2, 2)
    >>> ports.give_back(pair)
    >>> ports.give_back(pair + 1)
    >>> ports.used, ports.free
    (0, 4)
    """

    def __init__(self, minimum: int, maximum: int, rng: random.Random) -> None:
        if not 1 <= minimum <= maximum <= 65535:
            raise ValueError(f"not a range of ports: {minimum}-{maximum}")
        self.minimum = minimum
        self.maximum = maximum
        self._used: set[int] = set()
        self._leftovers: OrderedDict[int, None] = OrderedDict()
        self._resting: OrderedDict[int, None] = OrderedDict()
        self._refused: deque[tuple[int, int]] = deque()
        self._takes = 0
        first = minimum + minimum % 2
        pairs = list(range(first, maximum, 2))
        start = rng.randrange(len(pairs)) if pairs else 0
        self._pairs: OrderedDict[int, None] = OrderedDict.fromkeys(pairs[start:] + pairs[:start])
        if minimum % 2:
            self._leftovers[minimum] = None
        if maximum % 2 == 0:
            self._leftovers[maximum] = None

    def __contains__(self, port: int) -> bool:
        return self.minimum <= port <= self.maximum

    @property
    def used(self) -> int:
        """Ports handed out and not yet given back."""
        return len(self._used)

    def is_used(self, port: int) -> bool:
        """Whether it is handed out."""
        return port in self._used

    @property
    def refused(self) -> int:
        """Ports kept out because they could not be bound."""
        return len(self._refused)

    @property
    def free(self) -> int:
        """Ports that could be handed out."""
        return 2 * len(self._pairs) + len(self._leftovers) + len(self._resting)

    def take_pair(self) -> int:
        """An even port whose successor is taken as well (RTP and RTCP). Raises ``PortsExhausted``."""
        self._readmit()
        if not self._pairs:
            raise self._exhausted("pair of ports")
        even, _ = self._pairs.popitem(last=False)
        self._used.update((even, even + 1))
        return even

    def take(self) -> int:
        """A single port; pairs are broken only when no half of one has rested. Raises ``PortsExhausted``."""
        self._readmit()
        if self._leftovers:
            port, _ = self._leftovers.popitem(last=False)
        elif self._resting and (len(self._resting) > REST or not self._pairs):
            port, _ = self._resting.popitem(last=False)
        elif self._pairs:
            port, _ = self._pairs.popitem(last=False)
            self._leftovers[port + 1] = None
        else:
            raise self._exhausted("port")
        self._used.add(port)
        return port

    def give_back(self, port: int) -> None:
        """The port is free again. Raises ``ValueError`` if it was not handed out."""
        self._release(port)
        self._admit(port)

    def refuse(self, port: int) -> None:
        """The port was handed out, but another program holds it. Raises ``ValueError`` likewise."""
        self._release(port)
        self._refused.append((self._takes + REFUSED_FOR, port))

    def _release(self, port: int) -> None:
        if port not in self._used:
            raise ValueError(f"port {port} was not handed out")
        self._used.remove(port)

    def _admit(self, port: int) -> None:
        """Put a free port at the end of the queue of pairs, or of singles while its other half is away."""
        other = port ^ 1
        for queue in (self._leftovers, self._resting):
            if other in queue:
                del queue[other]
                self._pairs[port & ~1] = None
                return
        self._resting[port] = None

    def _readmit(self) -> None:
        """Count a take, and let back in what was refused long enough ago."""
        self._takes += 1
        while self._refused and self._refused[0][0] <= self._takes:
            self._admit(self._refused.popleft()[1])

    def _exhausted(self, what: str) -> PortsExhausted:
        return PortsExhausted(
            f"no free {what} in {self.minimum}-{self.maximum}: "
            f"{self.used} in use, {self.free} free, {self.refused} taken by other programs"
        )
