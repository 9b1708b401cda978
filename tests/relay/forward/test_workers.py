"""Several workers: what is one's is no other's business."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from relay.forward._fastpath import NativePlane
from relay.forward.plane import Stun
from relay.forward.rule import Address, Drop, Learn, Rule
from tests.relay.forward.test_fastpath import name, until

Phones = Callable[[str], socket.socket]

CHECKS = 100
"""From one phone: more than the share that a port has of what Python has not read yet."""


@pytest.fixture
def plane() -> Iterator[NativePlane]:
    native = NativePlane(2, rules=1024)
    yield native
    native.stop()


class Listener:
    """A port that passes on whatever STUN comes."""

    def __init__(self, plane: NativePlane, worker: int) -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        sock.bind(("127.0.0.1", 0))
        self._plane, self.side = plane, name(sock)
        self.port, self.rule = plane.open(sock, worker), plane.allocate()
        plane.apply([Rule(self.rule, self.port, None, Learn.NOBODY, stun=True)])

    def close(self) -> None:
        self._plane.apply([Drop(self.rule)])
        self._plane.close(self.port)

    def hear(self, phone: socket.socket) -> None:
        """Each of its checks, one by one."""
        for _ in range(CHECKS):
            check = bytes.fromhex("000100002112a442") + bytes(12)
            phone.sendto(check, self.side)
            source: Address = name(phone)
            heard: list[object] = []

            def told(heard: list[object] = heard) -> bool:
                heard += self._plane.events()
                return bool(heard)

            until(told)
            assert heard == [Stun(self.port, source, check)]


def test_a_port_that_was_another_workers_before_passes_on_every_check(
    plane: NativePlane, phones: Phones
) -> None:
    phone, first = phones("127.0.0.2"), Listener(plane, 0)
    first.hear(phone)
    first.close()
    again = first

    def is_used_again() -> bool:
        """Handles rest for a while; so others have to come and go."""
        nonlocal again
        plane.events()
        again = Listener(plane, 1)
        if again.port != first.port:
            again.close()
        return again.port == first.port

    until(is_used_again)
    again.hear(phone)
