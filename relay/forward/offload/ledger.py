"""Whose the kernel's counts are: for each rule, what the kernel has forwarded of it so far.

The kernel counts by slots, which only grow. A slot belongs to one stream at a
time: the rule that received it and the rule that sent it. What a slot grows by
is credited to both. A program that was already running when its flow was
removed counts a moment later; so a slot rests before somebody else gets it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SHARE = np.dtype(
    [
        ("rtp_packets", "u8"),
        ("rtp_bytes", "u8"),
        ("sent_packets", "u8"),
        ("sent_bytes", "u8"),
        ("rtp_skipped", "u8"),
        ("rtp_late", "u8"),
        ("last_packet", "i8"),
        ("ssrc", "u4"),
        ("seq", "u2"),
        ("payload_type", "u1"),
        ("jitter", "u4"),
        ("clock", "u4"),
        ("below", "u8"),
    ]
)
"""What the kernel adds to a row of ``Plane.counters``; of those that do not sum up, the latest.

``below`` is how many packets of RTP user space had forwarded of it when the kernel's last was seen."""

SUMMED = ("rtp_packets", "rtp_bytes", "sent_packets", "sent_bytes", "rtp_skipped", "rtp_late")
STREAM = ("ssrc", "seq", "payload_type", "jitter", "clock")
"""What it knows of the stream that came last; RTCP, which user space forwards, says nothing of it."""
LATEST = ("last_packet", *STREAM)
COUNTED = ("last", *STREAM)
"""The same as the kernel names them."""
FLAWS = {"skipped": "rtp_skipped", "late": "rtp_late"}
"""What it counts of packets that are missing or late, and what that is in a share."""


class Ledger:
    """``counts``: the kernel's (``kernel.COUNT``); ``below``: RTP that user space forwarded, by rule id."""

    def __init__(self, counts: NDArray[np.void], below: NDArray[np.uint64]) -> None:
        rules = len(below)
        self.packets = self.bytes = 0
        """Ever forwarded by the kernel."""
        self.flaws = dict.fromkeys(FLAWS.values(), 0)
        """Of those packets."""
        self.shares = np.zeros(rules + 1, SHARE)
        """By rule id, as of the last ``settle``."""
        self._counts = counts
        self._below = below
        self._nobody = rules
        self._receiver = np.full(len(counts), rules, np.intp)
        self._sender = np.full(len(counts), rules, np.intp)
        self._seen_packets = np.zeros(len(counts), np.uint64)
        self._seen_bytes = np.zeros(len(counts), np.uint64)
        self._seen_flaws = {name: np.zeros(len(counts), np.uint64) for name in FLAWS}
        self._touched = 0
        self._free: list[int] = []
        self._tired: list[int] = []
        self._resting: list[int] = []

    def open(self, receiver: int, sender: int) -> int | None:
        """A slot for a stream between two rules; None if all are in use."""
        if self._free:
            slot = self._free.pop()
        elif self._touched < len(self._counts):
            slot = self._touched
            self._touched += 1
        else:
            return None
        self._receiver[slot], self._sender[slot] = receiver, sender
        return slot

    def close(self, slot: int) -> None:
        """The kernel forwards this stream no more."""
        self.settle_slot(slot)
        self._tired.append(slot)

    def rest(self) -> None:
        """Some time has passed: what rested since the last time may be used again."""
        for slot in self._resting:
            self.settle_slot(slot)
            self._receiver[slot] = self._sender[slot] = self._nobody
        self._free += self._resting
        self._resting, self._tired = self._tired, []

    def pairs(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Who receives and who sends, of all streams in the kernel, and of some that just left it."""
        used = self._receiver[: self._touched] != self._nobody
        return self._receiver[: self._touched][used], self._sender[: self._touched][used]

    def forget(self, rule: int) -> None:
        """The id will mean another rule. Its slots have been closed."""
        for slot in (*self._tired, *self._resting):
            if rule in (self._receiver[slot], self._sender[slot]):
                self._receiver[slot] = self._sender[slot] = self._nobody
        self.shares[rule] = np.zeros((), SHARE)

    def settle(self) -> None:
        """Bring all shares up to date."""
        used = slice(0, self._touched)
        now = self._counts[used].copy()
        moved = np.flatnonzero(now["packets"] != self._seen_packets[used])
        now = now[moved]
        packets, octets = now["packets"] - self._seen_packets[moved], now["bytes"] - self._seen_bytes[moved]
        self._seen_packets[moved], self._seen_bytes[moved] = now["packets"], now["bytes"]
        self.packets += int(packets.sum())
        self.bytes += int(octets.sum())
        receiver, sender = self._receiver[moved], self._sender[moved]
        np.add.at(self.shares["rtp_packets"], receiver, packets)
        np.add.at(self.shares["rtp_bytes"], receiver, octets)
        np.add.at(self.shares["sent_packets"], sender, packets)
        np.add.at(self.shares["sent_bytes"], sender, octets)
        for name, ours in FLAWS.items():
            new = now[name] - self._seen_flaws[name][moved]
            self._seen_flaws[name][moved] = now[name]
            np.add.at(self.shares[ours], receiver, new)
            self.flaws[ours] += int(new.sum())
        known = receiver[receiver != self._nobody]
        self.shares["below"][known] = self._below[known]
        newer = now["last"].astype(np.int64) > self.shares["last_packet"][receiver]
        for ours, theirs in zip(LATEST, COUNTED, strict=True):
            self.shares[ours][receiver[newer]] = now[theirs][newer]

    def settle_slot(self, slot: int) -> None:
        """The same for one slot, without numpy's cost of a call for each step."""
        now = self._counts[slot].copy()
        packets, octets = int(now["packets"]), int(now["bytes"])
        new, new_octets = packets - int(self._seen_packets[slot]), octets - int(self._seen_bytes[slot])
        if not new:
            return
        self._seen_packets[slot], self._seen_bytes[slot] = packets, octets
        self.packets += new
        self.bytes += new_octets
        receiver, sender = self.shares[self._receiver[slot]], self.shares[self._sender[slot]]
        if self._receiver[slot] != self._nobody:
            receiver["below"] = self._below[self._receiver[slot]]
        receiver["rtp_packets"] = int(receiver["rtp_packets"]) + new
        receiver["rtp_bytes"] = int(receiver["rtp_bytes"]) + new_octets
        sender["sent_packets"] = int(sender["sent_packets"]) + new
        sender["sent_bytes"] = int(sender["sent_bytes"]) + new_octets
        for name, ours in FLAWS.items():
            more = int(now[name]) - int(self._seen_flaws[name][slot])
            self._seen_flaws[name][slot] = int(now[name])
            receiver[ours] = int(receiver[ours]) + more
            self.flaws[ours] += more
        if int(now["last"]) > int(receiver["last_packet"]):
            for ours, theirs in zip(LATEST, COUNTED, strict=True):
                receiver[ours] = now[theirs]
