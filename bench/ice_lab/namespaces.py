"""Network namespaces of this run: made, entered and always removed."""

from __future__ import annotations

import ctypes
import fcntl
import os
import secrets
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

PREFIX = "icelab"
KEPT = Path("/run/netns")
"""Where ``ip netns`` keeps the names."""

CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000

libc = ctypes.CDLL(None, use_errno=True)
T = TypeVar("T")


class LabError(Exception):
    """The lab cannot be built here; the text says what is missing."""


def run(*command: str, given: str | None = None) -> None:
    """A command that has to succeed, with ``given`` as its input. Raises LabError with what it wrote."""
    done = subprocess.run(command, input=given, capture_output=True, text=True)
    if done.returncode:
        raise LabError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")


class Namespace:
    """One network namespace, without IPv6 and with its loopback up."""

    def __init__(self, words: str) -> None:
        self.name = f"{PREFIX}-{os.getpid()}-{words}"
        run("ip", "netns", "add", self.name)
        self.ip("link", "set", "lo", "up")
        self.set("net.ipv6.conf.all.disable_ipv6", 1)
        self.set("net.ipv6.conf.default.disable_ipv6", 1)

    def ip(self, *words: str) -> None:
        run("ip", "-n", self.name, *words)

    def set(self, option: str, value: int) -> None:
        """A kernel option of this namespace."""
        run(*self.command("sysctl", "-q", "-w", f"{option}={value}"))

    def filter(self, rules: str) -> None:
        """nftables rules."""
        run(*self.command("nft", "-f", "-"), given=rules)

    def command(self, *words: str) -> list[str]:
        """The command that runs another one in here, and ends it if the lab dies."""
        return ["setpriv", "--pdeathsig", "KILL", "ip", "netns", "exec", self.name, *words]

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Sockets that this thread opens meanwhile are in this namespace, and stay there."""
        with open("/proc/thread-self/ns/net") as outside, (KEPT / self.name).open() as inside:
            _enter(inside.fileno())
            try:
                yield
            finally:
                _enter(outside.fileno())

    def open_tun(self, name: str) -> int:
        """A network interface that somebody reads packets from and writes them to; returns its file."""
        with self.entered():
            file = os.open("/dev/net/tun", os.O_RDWR)
            fcntl.ioctl(file, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
        return file

    def remove(self) -> None:
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True)


def _enter(file: int) -> None:
    if libc.setns(file, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def connect(first: Namespace, name: str, second: Namespace, other: str) -> None:
    """A cable between two namespaces; ``name`` and ``other`` are its ends. Unlike names, both are up."""
    run(
        "ip",
        "link",
        "add",
        name,
        "netns",
        first.name,
        "type",
        "veth",
        "peer",
        "name",
        other,
        "netns",
        second.name,
    )
    first.ip("link", "set", name, "up")
    second.ip("link", "set", other, "up")


def remove_leftovers() -> list[str]:
    """Removes namespaces of labs that were killed; returns their names."""
    removed = []
    for kept in KEPT.glob(f"{PREFIX}-*-*"):
        process = kept.name.split("-")[1]
        if not Path("/proc", process).exists():
            run("ip", "netns", "del", kept.name)
            removed.append(kept.name)
    return removed


def why_not() -> str | None:
    """What is missing for a lab, or None."""
    if os.geteuid() != 0:
        return "The ICE lab makes network namespaces and NATs, so it has to be root: sudo make bench-ice"
    checks: Sequence[tuple[str, Callable[[], object]]] = (
        ("network namespaces (ip netns, iproute2)", _try_namespace),
        ("TUN interfaces (/dev/net/tun)", lambda: Path("/dev/net/tun").stat()),
        ("packet sockets", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM).close()),
    )
    for what, check in checks:
        try:
            check()
        except (OSError, LabError) as error:
            return f"The ICE lab needs {what}, and here that fails: {error}"
    return None


def _try_namespace() -> None:
    namespace = Namespace(f"try{secrets.token_hex(2)}")
    try:
        with namespace.entered():
            pass
        namespace.filter("table ip lab {}\n")
    finally:
        namespace.remove()
