"""A call between two machines, over a plane of two tiers or over user space alone."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from relay.forward._fastpath import NativePlane
from relay.forward.offload import gates
from relay.forward.offload.kernel import Kernel, Kind
from relay.forward.offload.steering import Steering
from relay.forward.offload.tiered import TieredPlane
from relay.forward.plane import Plane
from relay.forward.rule import Address, Clock, Learn, Rule
from tests.namespaces.lab import Lab, Namespace

BINDING = bytes.fromhex("000100002112a442") + bytes(12)
DTLS = bytes([22, 254, 253]) + bytes(20)
RTCP = bytes([0x80, 200, 0, 1]) + bytes(4)


PCMA = Clock(8000, frozenset({8}))


def rtp(seq: int, ssrc: int = 1, payload: bytes = b"voice" * 32, timestamp: int = 0) -> bytes:
    head = bytes([0x80, 8]) + seq.to_bytes(2, "big") + timestamp.to_bytes(4, "big")
    return head + ssrc.to_bytes(4, "big") + payload


def until(condition: Callable[[], bool], timeout: float = 5.0) -> None:
    """Wait for what another thread or the kernel does."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, "it never came true"
        select.select([], [], [], 0.001)


def name(sock: socket.socket) -> Address:
    address: Address = sock.getsockname()[:2]
    return address


@dataclass
class Call:
    """Two phones and a stream between them, over a plane of two tiers."""

    lab: Lab
    below: NativePlane
    plane: TieredPlane
    caller: socket.socket
    callee: socket.socket
    to_caller: Rule
    to_callee: Rule
    caller_side: Address
    callee_side: Address

    def settle(self) -> None:
        """The phones talk until the kernel has both directions."""
        self.caller.sendto(rtp(0), self.caller_side)
        assert self.callee.recv(2000) == rtp(0)
        self.callee.sendto(rtp(0), self.callee_side)
        assert self.caller.recv(2000) == rtp(0)
        until(self.is_settled)

    def is_settled(self) -> bool:
        self.plane.refresh()
        return all(self.plane.given(rule.id) for rule in (self.to_caller, self.to_callee))

    def is_half_settled(self) -> bool:
        """The kernel forwards what the caller sends."""
        self.plane.refresh()
        return self.plane.given(self.to_caller.id)

    def count(self, rule: Rule, field: str) -> int:
        return int(self.plane.row(rule.id)[field])

    def in_user_space(self, rule: Rule, field: str) -> int:
        return int(self.below.row(rule.id)[field])


class Setting:
    """A lab whose relay runs one kind of program."""

    def __init__(self, lab: Lab, kind: Kind) -> None:
        self.lab, self.kind = lab, kind

    def shared(self) -> NativePlane:
        """A plane of user space whose ports share a queue."""
        with self.lab.relay.inside():
            return NativePlane(rules=1024, steering=Steering(1))

    @contextlib.contextmanager
    def planes(self, below: NativePlane | None = None) -> Iterator[tuple[NativePlane, TieredPlane]]:
        local = [self.lab.gateway(phone, v6) for phone in (self.lab.a, self.lab.b) for v6 in (False, True)]
        below = below or NativePlane(rules=1024)
        with self.lab.relay.inside():
            kernel = Kernel()
            found = gates.attach(kernel, gates.survey(local), [self.kind])
        assert [gate.kind for gate in found] == [self.kind] * 4, found
        plane = TieredPlane(below, kernel, found)
        try:
            yield below, plane
        finally:
            plane.stop()

    @contextlib.contextmanager
    def call(self, v6: bool = False) -> Iterator[Call]:
        one, other = self.lab.a, self.lab.b
        with (
            self.planes() as (below, plane),
            one.socket(self.lab.address(one, v6)) as caller,
            other.socket(self.lab.address(other, v6)) as callee,
        ):
            port, caller_side = local_port(plane, self.lab.relay, self.lab.gateway(one, v6))
            other_port, callee_side = local_port(plane, self.lab.relay, self.lab.gateway(other, v6))
            first, second = plane.allocate(), plane.allocate()
            to_caller = Rule(
                *(first, port, name(caller), Learn.WINDOW),
                rtp=(second,),
                rtcp=(second,),
                stun=True,
                clock=PCMA,
            )
            to_callee = Rule(
                second, other_port, name(callee), Learn.WINDOW, rtp=(first,), rtcp=(first,), clock=PCMA
            )
            plane.apply([to_caller, to_callee])
            yield Call(self.lab, below, plane, caller, callee, to_caller, to_callee, caller_side, callee_side)


def local_port(plane: Plane, machine: Namespace, address: str) -> tuple[int, Address]:
    sock = machine.socket(address)
    sock.setblocking(False)
    with machine.inside():  # for what the plane opens beside it
        return plane.open(sock, 0), name(sock)


def nothing_for(phone: socket.socket) -> bool:
    return not select.select([phone], [], [], 0)[0]
