"""Replies kept for repeats: a command runs once however often it is sent.

A proxy that gets no answer sends the same bytes again, with the same cookie. It
must get the same answer, and an offer must not open ports twice. A command is
over before the next datagram is read, so that there are no repeats of one that runs.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import TypeAlias

LIFETIME = 60.0
"""Seconds. Kamailio and OpenSIPS give up after 5 tries of 1 s; rtpengine keeps replies for 30 to 60 s."""
MAX_ENTRIES = 100_000
"""60 s of 500 calls a second, with three commands each."""
MAX_BYTES = 128 * 1024 * 1024
"""Ordinary replies have 1 KiB, but one of 64 KiB is possible."""

Key: TypeAlias = tuple[Hashable, bytes]
"""Who asked (address and port, and transport where there are several), and the cookie.

The cookie alone is not enough: two proxies, or one that was restarted, count
their cookies from the same start.
"""


class ReplyCache:
    """The replies of the last minute.

    Every entry is added once and dropped once, from the front of a queue in
    the order of time, so that no call does work for more than the entries that
    it drops. When too many or too large, the oldest go first.
    """

    def __init__(
        self, lifetime: float = LIFETIME, max_entries: int = MAX_ENTRIES, max_bytes: int = MAX_BYTES
    ) -> None:
        self.lifetime = lifetime
        self.max_entries = max_entries
        self.max_bytes = max_bytes
        self._entries: OrderedDict[Key, tuple[float, bytes]] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, key: Key, now: float) -> bytes | None:
        """The reply to a command that is done: send it again. None: run the command."""
        self._expire(now)
        _, reply = self._entries.get(key, (now, None))
        return reply

    def keep(self, key: Key, reply: bytes, now: float) -> None:
        """The command is done."""
        self._drop(key)
        self._entries[key] = now, reply
        self._bytes += len(reply)
        self._expire(now)
        self._shrink()

    def _expire(self, now: float) -> None:
        while self._entries:
            key, (since, _) = next(iter(self._entries.items()))
            if now - since < self.lifetime:
                return
            self._drop(key)

    def _shrink(self) -> None:
        while len(self._entries) > self.max_entries or self._bytes > self.max_bytes:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: Key) -> None:
        _, reply = self._entries.pop(key, (0.0, b""))
        self._bytes -= len(reply)
