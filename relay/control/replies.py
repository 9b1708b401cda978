"""Replies kept for repeats: a command runs once however often it is sent.

A proxy that gets no answer sends the same bytes again, with the same cookie. It
must get the same answer, and an offer must not open ports twice. While the
first copy is still being worked on, the repeats wait for it.

    unknown --- begin: NEW ---> in flight --- finish ---> kept --- 60 s ---> unknown
                                 | begin: InFlight         | begin: Reply
"""

from __future__ import annotations

import enum
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Reply:
    """A repeat of a command that is done: send this again."""

    datagram: bytes


class Progress(enum.Enum):
    """There is no reply yet."""

    NEW = "new"
    """Run the command, then ``finish``."""
    IN_FLIGHT = "in flight"
    """A repeat of a command that is running: do nothing, ``finish`` will count it."""


@dataclass(slots=True)
class _Entry:
    since: float
    reply: bytes | None = None
    waiters: int = 0


class ReplyCache:
    """The replies of the last minute, and the commands that are running.

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
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def begin(self, key: Key, now: float) -> Progress | Reply:
        """A command came in: whether it is to be run, waited for, or already answered."""
        self._expire(now)
        entry = self._entries.get(key)
        if entry is None:
            self._entries[key] = _Entry(now)
            self._shrink()
            return Progress.NEW
        if entry.reply is None:
            entry.waiters += 1
            return Progress.IN_FLIGHT
        return Reply(entry.reply)

    def finish(self, key: Key, reply: bytes, now: float) -> int:
        """The command is done, and ``reply`` is kept. Returns how many repeats wait for a copy of it."""
        entry = self._drop(key)
        self._entries[key] = _Entry(now, reply)
        self._bytes += len(reply)
        self._expire(now)
        self._shrink()
        return entry.waiters if entry is not None else 0

    def waiters(self, key: Key) -> int:
        """How many repeats wait for a command that is running."""
        entry = self._entries.get(key)
        return entry.waiters if entry is not None else 0

    def _expire(self, now: float) -> None:
        while self._entries:
            key, entry = next(iter(self._entries.items()))
            if now - entry.since < self.lifetime:
                return
            self._drop(key)

    def _shrink(self) -> None:
        while len(self._entries) > self.max_entries or self._bytes > self.max_bytes:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: Key) -> _Entry | None:
        entry = self._entries.pop(key, None)
        if entry is not None and entry.reply is not None:
            self._bytes -= len(entry.reply)
        return entry
