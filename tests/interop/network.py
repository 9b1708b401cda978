"""Networks of the tests' own: namespaces, joined by cables. Needs no root, only user namespaces.

A process cannot be in two networks, but a socket stays in the one it was made in: `bound` hands one out,
and `enter` starts a program in there.
"""

import socket
import subprocess
import sys

from tests.interop.process import find_program

FORBIDDEN = (
    "unshare(1) may not make a network namespace. A container needs CAP_SYS_ADMIN or a seccomp profile that"
    " allows it; Ubuntu needs root, or kernel.apparmor_restrict_unprivileged_userns=0"
)
MAKE_SOCKET = """
import socket, sys
made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
made.bind((sys.argv[1], 0))
socket.send_fds(socket.socket(fileno=0), [b"."], [made.fileno()])
"""


class Namespace:
    """A network namespace, empty but for loopback. With `owner` it belongs to the same user namespace."""

    def __init__(self, owner: "Namespace | None" = None) -> None:
        become = ["--user", "--map-root-user"] if owner is None else []
        within: list[str] = [] if owner is None else owner.enter
        self._holder = subprocess.Popen(
            [*within, find_program("unshare"), *become, "--net", "sh", "-c", "echo made; exec cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"made\n", FORBIDDEN
        self.enter: list[str] = [
            find_program("nsenter"), "--preserve-credentials", "--user", "--net", f"--target={self.pid}",
        ]  # fmt: skip
        self.ip("link set lo up")

    @property
    def pid(self) -> int:
        return self._holder.pid

    def ip(self, *commands: str) -> None:
        """Run commands of ip(8) in there, given without the first word."""
        subprocess.run(
            [*self.enter, find_program("ip"), "-batch", "-"], input="\n".join(commands).encode(), check=True
        )

    def bound(self, host: str) -> socket.socket:
        """A UDP socket in there, bound to a port of `host`."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            make = [*self.enter, sys.executable, "-c", MAKE_SOCKET, host]
            subprocess.run(make, stdin=theirs.fileno(), check=True)
            _, (made,), _, _ = socket.recv_fds(ours, 1, 1)
        return socket.socket(fileno=made)

    def close(self) -> None:
        """What runs in there has to have ended."""
        self._holder.communicate()


def cable(one: Namespace, name: str, other: Namespace, other_name: str) -> None:
    """A link between two namespaces, down at both ends."""
    one.ip(
        f"link add name {name} type veth peer name {other_name}",
        f"link set {other_name} netns {other.pid}",
    )
