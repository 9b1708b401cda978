"""Machines for one test: network namespaces with virtual wires between them. Needs root.

phone A  192.0.2.2  ----- wire ----- 192.0.2.1  relay  198.51.100.1 ----- wire ----- 198.51.100.2  phone B
         2001:db8:1::2    2001:db8:1::1                2001:db8:2::1      2001:db8:2::2
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import itertools
import os
import socket
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

_libc = ctypes.CDLL(None, use_errno=True)
_numbers = itertools.count()

CLONE_NEWNET = 0x40000000
SO_RCVBUFFORCE = 33
SIOCETHTOOL, ETHTOOL_STXCSUM, ETHTOOL_SGRO = 0x8946, 0x17, 0x2C


def run(*command: str) -> str:
    """Raises with what the command said."""
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()}"
    return done.stdout


class Namespace:
    """A network of its own, with nothing but loopback. Its name is short enough for a device."""

    def __init__(self, what: str) -> None:
        self.name = f"{what}{os.getpid()}-{next(_numbers)}"
        run("ip", "netns", "add", self.name)
        run("ip", "-n", self.name, "link", "set", "lo", "up")

    def close(self) -> None:
        """Remove it, with its ends of wires."""
        run("ip", "netns", "delete", self.name)

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """What this thread opens belongs to the namespace."""
        with open("/proc/thread-self/ns/net") as home, open(f"/run/netns/{self.name}") as here:
            _enter(here.fileno())
            try:
                yield
            finally:
                _enter(home.fileno())

    def sysctl(self, name: str, value: str) -> None:
        """``name`` is a path below ``/proc/sys``."""
        with self.inside(), open(f"/proc/sys/{name}", "w") as file:
            file.write(value)

    def socket(self, address: str, port: int = 0) -> socket.socket:
        """A UDP socket that waits 5 s for a packet, and keeps what comes while nobody looks."""
        with self.inside():
            sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 4 << 20)
        sock.bind((address, port))
        sock.settimeout(5.0)
        return sock

    def set_offload(self, device: str, command: int, on: bool) -> None:
        """As ``ethtool -K`` does."""
        value = ctypes.create_string_buffer(struct.pack("II", command, on))
        request = struct.pack("16sP16x", device.encode(), ctypes.addressof(value))
        with self.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            fcntl.ioctl(any_socket, SIOCETHTOOL, request)


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "no other network namespace for us: these tests need root")


@dataclass
class Lab:
    """Three machines; ``a`` and ``b`` see each other through ``relay`` only."""

    relay: Namespace
    a: Namespace
    b: Namespace

    def address(self, machine: Namespace, v6: bool = False) -> str:
        """Of a phone."""
        network = "a" if machine is self.a else "b"
        return f"{NETWORKS[network][v6]}2"

    def gateway(self, machine: Namespace, v6: bool = False) -> str:
        """The relay's address on that phone's side."""
        network = "a" if machine is self.a else "b"
        return f"{NETWORKS[network][v6]}1"


NETWORKS = {"a": ("192.0.2.", "2001:db8:1::"), "b": ("198.51.100.", "2001:db8:2::")}


@contextlib.contextmanager
def lab(forwarding: bool = True, checksums: bool = False) -> Iterator[Lab]:
    """``checksums``: phones compute them, as they do before a real wire; else they leave it to the device."""
    with contextlib.ExitStack() as opened:

        def machine(what: str) -> Namespace:
            made = Namespace(what)
            opened.callback(made.close)
            return made

        built = Lab(machine("relay"), machine("a"), machine("b"))
        for network, phone in (("a", built.a), ("b", built.b)):
            _wire(built.relay, phone, f"to-{network}", NETWORKS[network])
            if checksums:
                phone.set_offload("wire", ETHTOOL_STXCSUM, on=False)
        if forwarding:
            for path in ("net/ipv4/conf/all/forwarding", "net/ipv6/conf/all/forwarding"):
                built.relay.sysctl(path, "1")
        yield built


def _wire(relay: Namespace, phone: Namespace, device: str, network: tuple[str, str]) -> None:
    peer = ("peer", "name", "wire", "netns", phone.name)
    run("ip", "-n", relay.name, "link", "add", device, "type", "veth", *peer)
    for machine, name, host in ((relay, device, 1), (phone, "wire", 2)):
        run("ip", "-n", machine.name, "address", "add", f"{network[0]}{host}/24", "dev", name)
        run("ip", "-n", machine.name, "address", "add", f"{network[1]}{host}/64", "dev", name, "nodad")
        run("ip", "-n", machine.name, "link", "set", name, "up")
    for prefix in network:
        run("ip", "-n", phone.name, "route", "add", "default", "via", f"{prefix}1")
