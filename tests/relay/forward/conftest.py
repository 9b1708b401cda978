"""Real sockets on the loopback interface, and a native plane between them."""

import contextlib
import socket
from collections.abc import Callable, Iterator

import pytest

from relay.forward._fastpath import NativePlane
from relay.forward.offload.steering import Steering
from relay.forward.rule import Address

Phones = Callable[[str], socket.socket]
"""Binds a phone's socket on a local address; it waits 5 s for a packet."""

LocalPorts = Callable[[NativePlane, str], tuple[int, Address]]
"""Opens a port of the plane on a local address: handle and address."""


@pytest.fixture(params=["a socket for each port", "range socket"])
def steering(request: pytest.FixtureRequest) -> Steering | None:
    """The plane that gets it closes it. Needs root."""
    return Steering(1) if request.param == "range socket" else None


@pytest.fixture
def plane(steering: Steering | None) -> Iterator[NativePlane]:
    native = NativePlane(rules=1024, steering=steering)
    yield native
    native.stop()


@pytest.fixture
def phones() -> Iterator[Phones]:
    with contextlib.ExitStack() as opened:

        def phone(address: str) -> socket.socket:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            sock = opened.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            sock.bind((address, 0))
            sock.settimeout(5.0)
            return sock

        yield phone


@pytest.fixture
def local_ports() -> LocalPorts:
    def local_port(plane: NativePlane, address: str) -> tuple[int, Address]:
        sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.bind((address, 0))
        return plane.open(sock, 0), sock.getsockname()[:2]

    return local_port
