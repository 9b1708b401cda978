"""Daemons that the black-box tests share; each test leaves them without calls."""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from tests.blackbox.daemon import ADDRESS, Daemon, wait_until
from tests.blackbox.dialogue import Dialogue

NETWORKS = (
    "pub/127.0.1.11",
    "pub/::1",
    "priv/127.0.1.12",
    "nat/127.0.1.13!203.0.113.7",
    "six/::1",
)
"""Interfaces of ``networks``: dual stack, IPv4 alone, behind a NAT, IPv6 alone."""

_call_ids = itertools.count()


@contextmanager
def shared(*options: str, interfaces: Sequence[str] = (ADDRESS,)) -> Iterator[Daemon]:
    """A daemon for many tests, which together must not cost it a file descriptor."""
    daemon = Daemon(options, interfaces)
    try:
        descriptors = daemon.descriptors
        yield daemon
        wait_until(lambda: daemon.descriptors <= descriptors, "all descriptors are closed")
    finally:
        assert daemon.stop() == 0


@pytest.fixture(scope="session")
def started() -> Iterator[Daemon]:
    with shared("--port-min=20000", "--port-max=21999", "--delete-delay=0") as daemon:
        yield daemon


@pytest.fixture(scope="session")
def started_networks() -> Iterator[Daemon]:
    options = ("--port-min=22000", "--port-max=22999", "--delete-delay=0")
    with shared(*options, interfaces=NETWORKS) as daemon:
        yield daemon


@pytest.fixture(scope="session")
def started_brisk() -> Iterator[Daemon]:
    options = (
        "--port-min=23000", "--port-max=23999", "--delete-delay=1", "--timeout=2", "--offer-timeout=2",
        "--silent-timeout=60",
    )  # fmt: skip
    with shared(*options) as daemon:
        yield daemon


@pytest.fixture
def daemon(started: Daemon) -> Iterator[Daemon]:
    """One address, no delay of deletes."""
    yield started
    started.clear()


@pytest.fixture
def networks(started_networks: Daemon) -> Iterator[Daemon]:
    """Several interfaces, ``pub`` is the default."""
    yield started_networks
    started_networks.clear()


@pytest.fixture
def brisk(started_brisk: Daemon) -> Iterator[Daemon]:
    """Short timeouts: 2 s without packets, 1 s from delete to the end."""
    yield started_brisk
    started_brisk.clear()


@pytest.fixture
def call_id() -> str:
    """A Call-ID that nobody used before."""
    return f"{next(_call_ids)}@blackbox"


@pytest.fixture
def call(daemon: Daemon, call_id: str) -> Dialogue:
    """A call that has not begun, over ``daemon``."""
    return Dialogue(daemon.client, call_id)


@pytest.fixture
def roaming(networks: Daemon, call_id: str) -> Dialogue:
    """A call that has not begun, over ``networks``."""
    return Dialogue(networks.client, call_id)
