"""The network between the sites: takes IP packets to where they are addressed, after a while.

A process of its own, so that nobody's work delays it. Each site is a TUN
interface, and each has its distance; a packet waits as long as both distances
together. Where an address belongs to nobody the packet is lost, and nobody is told:
that is what makes a dead candidate dead. (netem would do as well where the
kernel has it; this needs nothing but TUN.)

    python -m bench.ice_lab.wire '{"sites": [[FILE, DELAY, ["203.0.113.1", ...]], ...]}'

ends with its standard input.
"""

from __future__ import annotations

import errno
import heapq
import json
import os
import selectors
import socket
import sys
import time
from dataclasses import dataclass, field

PATIENCE = 0.5
"""Seconds; the wire has nothing to do when nothing is under way."""
SPURT = 64
"""Packets taken from one site before those that are due are delivered."""


@dataclass(frozen=True)
class Site:
    """``delay`` in seconds, one way; ``addresses`` is what is reached there."""

    file: int
    delay: float
    addresses: tuple[str, ...]


@dataclass
class Wire:
    sites: list[Site]
    _under_way: list[tuple[float, int, int, bytes]] = field(default_factory=list)
    _count: int = 0

    def __post_init__(self) -> None:
        self._reached = {socket.inet_aton(address): site for site in self.sites for address in site.addresses}

    def taken(self, site: Site, packet: bytes, now: float) -> None:
        """A packet came from a site."""
        to = self._reached.get(packet[16:20])
        if packet[0] >> 4 == 4 and to is not None and to is not site:
            self._count += 1
            heapq.heappush(self._under_way, (now + site.delay + to.delay, self._count, to.file, packet))

    def due(self, now: float) -> list[tuple[int, bytes]]:
        """Packets that arrive by now, and the files of their sites."""
        arrived = []
        while self._under_way and self._under_way[0][0] <= now:
            _, _, file, packet = heapq.heappop(self._under_way)
            arrived.append((file, packet))
        return arrived

    def wait(self, now: float) -> float:
        """Seconds until the next packet arrives."""
        return max(0.0, self._under_way[0][0] - now) if self._under_way else PATIENCE


def read(site: Site, wire: Wire) -> None:
    for _ in range(SPURT):
        try:
            packet = os.read(site.file, 65536)
        except BlockingIOError:
            return
        wire.taken(site, packet, time.monotonic())


def write(file: int, packet: bytes) -> None:
    """A site whose queue is full, or whose interface is not up yet, loses the packet."""
    try:
        os.write(file, packet)
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EIO, errno.ENOBUFS):
            raise


def main() -> None:
    sites = [Site(file, delay, tuple(reached)) for file, delay, reached in json.loads(sys.argv[1])["sites"]]
    wire = Wire(sites)
    os.nice(-10)  # the network is not slower because the phones are busy
    with selectors.DefaultSelector() as selector:
        selector.register(sys.stdin, selectors.EVENT_READ, None)
        for site in sites:
            os.set_blocking(site.file, False)
            selector.register(site.file, selectors.EVENT_READ, site)
        while True:
            for key, _ in selector.select(wire.wait(time.monotonic())):
                if key.data is None:
                    return
                read(key.data, wire)
            for file, packet in wire.due(time.monotonic()):
                write(file, packet)


if __name__ == "__main__":
    main()
