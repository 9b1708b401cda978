"""Where phones and relays are: on the loopback interface, or in network namespaces with cables between.

    loopback   phones 127.0.0.22 and .23, relays 127.0.0.40, .41, ...

    veth       +- phones ----------+   veth    +- relay 0 ------+
               | 192.0.2.22 and .23|-----------| 198.51.100.2   |
               |                   |   veth    +----------------+
               |                   |-----------| 198.51.100.6   | relay 1 ...
               +-------------------+           +----------------+

    with IPv6  2001:db8::22 and ::23, relays 2001:db8:1::2, 2001:db8:2::2, ...; commands go by IPv4

What a relay lets the kernel do with its packets works on real interfaces and on
veth, and on loopback it may not.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import fcntl
import os
import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from relay.bench.errors import BenchFailed
from relay.forward.rule import Address

CLONE_NEWNET = 0x40000000
SIOCETHTOOL, ETHTOOL_STXCSUM, ETHTOOL_SGRO = 0x8946, 0x17, 0x2C
NG_PORT = 2223
PATIENCE = 5.0
"""Seconds for a cable to be there."""


@dataclass(frozen=True, slots=True)
class Network:
    """``relays`` have their media at these addresses; ``enter`` stands before the command of each."""

    name: str
    phones: tuple[str, str]
    relays: Sequence[str]
    controlled: Sequence[str]
    """Where relays take commands."""
    enter: Sequence[Sequence[str]]

    def ng(self, place: int) -> Address:
        """Where a relay is to take commands: a port that nobody uses."""
        if self.enter[place]:
            return self.controlled[place], NG_PORT
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((self.controlled[place], 0))
            return self.controlled[place], int(probe.getsockname()[1])


def loopback(relays: int) -> Network:
    """Everything on this machine's own interface."""
    addresses = [f"127.0.0.{40 + place}" for place in range(relays)]
    return Network("loopback", ("127.0.0.22", "127.0.0.23"), addresses, addresses, [()] * relays)


@contextlib.contextmanager
def veth(relays: int, v6: bool = False) -> Iterator[Network]:
    """Namespaces for the time of the block, in which this thread is where the phones are.

    ``v6``: media has IPv6. Raises ``BenchFailed``: it takes root, and the program ``ip``.
    """
    if shutil.which("ip") is None:
        raise BenchFailed("--network=veth needs the program ip (Debian: iproute2)")
    phones = f"icerelay-bench-{os.getpid()}"
    names = [f"{phones}-{place}" for place in range(relays)]
    hosts = ("2001:db8::22", "2001:db8::23") if v6 else ("192.0.2.22", "192.0.2.23")
    with contextlib.ExitStack() as undo:
        for name in (phones, *names):
            _run("ip", "netns", "add", name)
            undo.callback(_run, "ip", "netns", "del", name)
            _run("ip", "-n", name, "link", "set", "lo", "up")
        for host in hosts:
            _run("ip", "-n", phones, "address", "add", f"{host}/{128 if v6 else 32}", "dev", "lo")
        for place, name in enumerate(names):
            _cable(phones, name, place)
        undo.enter_context(_inside(phones))
        enter = [("ip", "netns", "exec", name) for name in names]
        media, controlled = ([_address(place, 2, each) for place in range(relays)] for each in (v6, False))
        yield Network("veth, IPv6" if v6 else "veth", hosts, media, controlled, enter)


def _address(place: int, end: int, v6: bool) -> str:
    return f"2001:db8:{place + 1}::{end}" if v6 else f"198.51.100.{4 * place + end}"


def _cable(phones: str, relay: str, place: int) -> None:
    """Without checksum offload, and with GRO: else what native XDP sends on is lost on the way."""
    here, there = f"phones{place}", "relay"
    _run("ip", "-n", phones, "link", "add", here, "type", "veth", "peer", "name", there, "netns", relay)
    for name, device, end in ((phones, here, 1), (relay, there, 2)):
        _run("ip", "-n", name, "address", "add", f"{_address(place, end, False)}/30", "dev", device)
        _run("ip", "-n", name, "address", "add", f"{_address(place, end, True)}/64", "dev", device, "nodad")
        _switch(name, f"ipv6/conf/{device}/accept_dad", 0)
        _run("ip", "-n", name, "link", "set", device, "up")
        _set_offload(name, device)
    for name, device in ((phones, here), (relay, there)):
        _await_neighbours(name, device)
    for v6 in (False, True):
        _run("ip", "-n", relay, "route", "add", "default", "via", _address(place, 1, v6))
    for switch in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):  # bpf_fib_lookup wants it
        _switch(relay, switch, 1)


def _await_neighbours(namespace: str, device: str) -> None:
    """Both ends ask for each other's Ethernet address by link-local ones, which come with the carrier."""
    end = time.monotonic() + PATIENCE
    question = ("ip", "-n", namespace, "-6", "-o", "address", "show", "dev", device, "scope", "link")
    while not subprocess.run(question, capture_output=True, check=False).stdout:
        if time.monotonic() > end:
            raise BenchFailed(f"{device} does not come up")
        time.sleep(0.01)


def _switch(namespace: str, name: str, value: int) -> None:
    with _inside(namespace):
        Path("/proc/sys/net", name).write_text(str(value))


def _set_offload(namespace: str, device: str) -> None:
    """As ``ethtool -K device tx off gro on``."""
    with _inside(namespace), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for command, value in ((ETHTOOL_STXCSUM, 0), (ETHTOOL_SGRO, 1)):
            order = array.array("I", (command, value))
            request = struct.pack("16sP", device.encode(), order.buffer_info()[0])
            try:
                fcntl.ioctl(any_socket, SIOCETHTOOL, request)
            except OSError as error:
                raise BenchFailed(f"cannot set the offload of {device}: {error.strerror}") from error


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchFailed(f"{' '.join(command)}: {done.stderr.strip()}")


@contextlib.contextmanager
def _inside(name: str) -> Iterator[None]:
    with contextlib.closing(_Namespace("/proc/thread-self/ns/net")) as home:
        with contextlib.closing(_Namespace(f"/run/netns/{name}")) as there:
            there.enter()
        try:
            yield
        finally:
            home.enter()


class _Namespace:
    def __init__(self, path: str) -> None:
        self._fd = os.open(Path(path), os.O_RDONLY)

    def enter(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(self._fd, CLONE_NEWNET):
            raise BenchFailed(f"cannot enter a network namespace: {os.strerror(ctypes.get_errno())}")

    def close(self) -> None:
        os.close(self._fd)
