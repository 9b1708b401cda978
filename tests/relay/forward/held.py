"""A worker that is held in the middle of a turn, as one that hangs would be; no debugger is needed.

It tells Python about events by adding to a counter (eventfd). When that is full, and does not
refuse but blocks, the worker waits in its system call until somebody reads it.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from relay.forward._fastpath import NativePlane
from relay.forward.rule import Learn, Rule
from tests.relay.forward.test_fastpath import until

FULL = 2**64 - 2

PORTS = 32
"""Whose events it tells one after the other: so long has Python for filling the counter anew."""

BINDING = bytes.fromhex("000100002112a442") + bytes(12)


class Handle:
    """Holds and releases the first worker of a plane."""

    def __init__(self, plane: NativePlane, opened: contextlib.ExitStack) -> None:
        self._plane, self._news = plane, plane.fileno()
        self._phone = opened.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self._sides = []
        for _ in range(PORTS):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.setblocking(False)
            sock.bind(("127.0.0.1", 0))
            self._sides.append(sock.getsockname())
            plane.apply([Rule(plane.allocate(), plane.open(sock, 0), None, Learn.NOBODY, stun=True)])

    def is_held(self) -> bool:
        """Whether a thread of ours is adding to the counter: writing eight octets to it."""
        wanted = [hex(self._news), hex(8)]
        calls = [file.read_text().split() for file in Path("/proc/self/task").glob("*/syscall")]
        return any(call[1:4:2] == wanted for call in calls)

    def hold(self) -> None:
        """Returns when it is held at the end of a turn."""
        os.set_blocking(self._news, True)
        os.eventfd_write(self._news, FULL)
        self._phone.sendto(BINDING, self._sides[0])
        until(self.is_held)

    def hold_before(self, send: Callable[[], object]) -> bool:
        """It ends its turn, and is held in the next one before it has read what ``send`` sends.

        False if it was quicker than Python; then it is held at the end of a turn, as before.
        """
        for side in self._sides:
            self._phone.sendto(BINDING, side)
        send()
        os.set_blocking(self._news, False)
        os.eventfd_read(self._news)
        with contextlib.suppress(BlockingIOError):
            os.eventfd_write(self._news, FULL - PORTS)  # and one for each port, and one that it was held at
        os.set_blocking(self._news, True)
        (turns, *_) = self._plane.beats()
        until(lambda: self.is_held() or self._plane.beats()[0] > turns + 2)
        if self.is_held():
            return True
        os.set_blocking(self._news, False)
        while self._plane.events():
            pass  # else a port would soon have had its share of them, and there were nothing more to tell
        self.hold()
        return False

    def release(self) -> None:
        """It goes on, and is not held again."""
        os.eventfd_read(self._news)
        os.set_blocking(self._news, False)


@contextlib.contextmanager
def handle(plane: NativePlane) -> Iterator[Handle]:
    with contextlib.ExitStack() as opened:
        yield Handle(plane, opened)
