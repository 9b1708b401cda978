"""Every plane there is, between machines. What is in ``PLANES`` does the same with the same packets."""

from __future__ import annotations

import contextlib
import functools
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

from relay.forward._fastpath import NativePlane
from relay.forward.fake import FakePlane
from relay.forward.offload import gates
from relay.forward.offload.kernel import Kernel, Kind
from relay.forward.offload.steering import Steering
from relay.forward.offload.tiered import TieredPlane
from relay.forward.plane import Plane
from tests.namespaces.lab import Lab, run

RULES = 64

FOREVER = 1e6
"""Seconds of the learn window: what is learnt depends on packets alone, however slow the machine is."""

SECOND_PHONE = ("192.0.2.3", "2001:db8:1::3")
"""On network a, where there is a plane that forwards between phones of one network only."""


@dataclass(frozen=True)
class Subject:
    """A plane and what its owner does for it."""

    plane: Plane
    turn: Callable[[], object] = lambda: None
    """From time to time."""
    in_kernel: Callable[[], int] = lambda: 0
    """Packets that the kernel forwarded."""
    by_shared: Callable[[], int] = lambda: 0
    """Packets that came by the range socket."""


class ServedFake(FakePlane):
    """The fake, with real sockets that are looked at in every turn."""

    def turn(self) -> None:
        for handle, port in list(self._ports.items()):
            with contextlib.suppress(BlockingIOError):
                while True:
                    datagram, source = port.sock.recvfrom(10_000)
                    for out, to, sent in self.deliver(handle, source[:2], datagram, time.monotonic()):
                        self._ports[out].sock.sendto(sent, to)


@contextlib.contextmanager
def fake(_: Lab) -> Iterator[Subject]:
    plane = ServedFake(rules=RULES, window=FOREVER)
    try:
        yield Subject(plane, plane.turn)
    finally:
        plane.stop()


@contextlib.contextmanager
def native(_: Lab) -> Iterator[Subject]:
    plane = NativePlane(rules=RULES, window=FOREVER)
    try:
        yield Subject(plane)
    finally:
        plane.stop()


@contextlib.contextmanager
def ranged(lab: Lab) -> Iterator[Subject]:
    """Streams of settled peers come by one socket."""
    with lab.relay.inside():
        plane = NativePlane(rules=RULES, window=FOREVER, steering=Steering(1))
    try:
        yield Subject(plane, by_shared=plane.by_shared)
    finally:
        plane.stop()


@contextlib.contextmanager
def tiered(kind: Kind, lab: Lab) -> Iterator[Subject]:
    """The kernel over user space."""
    local = [lab.gateway(phone, v6) for phone in (lab.a, lab.b) for v6 in (False, True)]
    local = local if kind is not Kind.XDP else local[:2]
    with lab.relay.inside():
        kernel = Kernel()
        found = gates.attach(kernel, gates.survey(local), [kind])
    if kind is Kind.XDP:  # this driver takes frames from XDP where XDP is at the other end too
        with lab.a.inside():
            kernel.attach(socket.if_nametoindex("wire"), kind)
    assert all(gate.kind is kind for gate in found), found
    plane = TieredPlane(NativePlane(rules=RULES, window=FOREVER), kernel, found)
    try:
        yield Subject(plane, plane.refresh, lambda: plane.kernel_totals()["rtp_packets"])
    finally:
        plane.stop()


@dataclass(frozen=True)
class Kept:
    """How a plane is opened, and what it needs of the machines."""

    open: Callable[[Lab], AbstractContextManager[Subject]]
    has_kernel: bool = False
    has_shared: bool = False
    checksums: bool = False
    """Phones have to compute them."""
    one_network: bool = False
    """Both phones are on network a."""


PLANES = {
    "user space": Kept(native),
    "range socket": Kept(ranged, has_shared=True),
    "TCX": Kept(functools.partial(tiered, Kind.TCX), has_kernel=True),
    "generic XDP": Kept(functools.partial(tiered, Kind.GENERIC), has_kernel=True, checksums=True),
    "XDP": Kept(functools.partial(tiered, Kind.XDP), has_kernel=True, checksums=True, one_network=True),
}


def settle_two_phones_on_one_network(lab: Lab) -> None:
    """Network a gets a second address for phones."""
    for address, length in zip(SECOND_PHONE, (24, 64), strict=True):
        nodad = ("nodad",) if ":" in address else ()
        run("ip", "-n", lab.a.name, "address", "add", f"{address}/{length}", "dev", "wire", *nodad)
