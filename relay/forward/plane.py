"""The interface between signalling and forwarding: values go down, events come up.

Nothing below this line knows a call, nothing above it touches a media packet.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from relay.forward.rule import Address, Change
from relay.srtp.profiles import MasterKey, Profile
from sdp.values import valueclass

SUMS = (
    "rtp_packets",
    "rtp_bytes",
    "rtcp_packets",
    "rtcp_bytes",
    "sent_packets",
    "sent_bytes",
    "stranger",
    "malformed",
    "no_output",
    "no_peer",
    "send_error",
    "stun",
    "auth",
    "replay",
    "stun_answered",
    "stun_limited",
    "no_media",
    "feedback",
    "rtp_skipped",
    "rtp_late",
)
"""Fields of a row that only grow, and that live on in ``totals``."""

PLANE_WIDE = ("no_rule", "overrun", "events_lost", "own_sent", "own_send_error")
"""Totals of no rule: datagrams at a port without rules, and at a full queue that ports share, events that
found no room, and ``Plane.send``."""

COUNTERS = np.dtype(
    {
        "names": [
            *SUMS,
            "last_packet",
            "last_check",
            "ssrc",
            "seq",
            "payload_type",
            "state",
            "jitter",
            "clock",
        ],
        "formats": [*("u8" for _ in SUMS), "i8", "i8", "u4", "u2", "u1", "u1", "u4", "u4"],
        "offsets": [
            *range(0, 8 * len(SUMS), 8),
            *(8 * len(SUMS) + place for place in (0, 8, 16, 20, 22, 23, 24, 28)),
        ],
        "itemsize": 192,
    }
)
"""A row of ``Plane.counters``: ``struct counters`` in ext/rules.h.

``rtp_skipped`` less ``rtp_late`` is what was lost (RFC 3550, section A.3). ``jitter`` is 16 times that of
section A.8, in units of ``clock`` Hz; it means nothing while ``clock`` is 0.
"""


MAX_REPORTED = 4
"""SSRCs per rule of which reports are kept: audio has one, video one or two beside its repairs."""


class Reported(NamedTuple):
    """What a rule's peer said so far of one SSRC that it is sent (RFC 3550, section 6.4.1)."""

    ssrc: int
    blocks: int
    """Report blocks, 1 or more."""
    fraction: int
    """Sum of what they say was lost since the one before, in 1/256."""
    lost: int
    """Packets lost since the beginning, as said last; 0 where duplicates outnumber them."""
    jitter: int
    """Sum, in units of the RTP timestamp."""
    round_trips: int
    """Blocks that tell the round trip from here to the peer, by a sender report that was forwarded to it."""
    round_trip: int
    """Sum, microseconds."""


class PlaneFull(RuntimeError):
    """No row is left for another rule, no place for another pair of keys, or no room for another command."""


class SrtpUnavailable(RuntimeError):
    """libsrtp is not there, not the one we know, or does not have the profile."""


@valueclass
class Stun:
    """A STUN datagram arrived at a local port that has a rule with ``stun``, and none that answered it."""

    port: int
    source: Address
    datagram: bytes


@valueclass
class Dtls:
    """A DTLS datagram of a rule with ``dtls`` arrived, from a source that the rule accepts."""

    port: int
    source: Address
    datagram: bytes


@valueclass
class Latched:
    """A rule has settled on a source; with keys, or for the signalled address, it may still move."""

    rule: int
    peer: Address


Event = Stun | Dtls | Latched


class Plane(Protocol):
    """Forwards datagrams between local ports by rules."""

    @property
    def workers(self) -> int:
        """Threads, 1 or more; all ports of a call belong to one of them."""

    def fileno(self) -> int:
        """A descriptor that is readable while ``events`` has something."""

    def open(self, sock: socket.socket, worker: int) -> int:
        """Take over a bound, non-blocking UDP socket; returns its handle. Raises ``PlaneFull``."""

    def close(self, *ports: int) -> None:
        """Stop reading. Each socket is closed once its worker has let go of it; each worker is woken once."""

    def retag(self, port: int, tos: int) -> None:
        """Mark what leaves from a port from now on; ``tos`` is the whole byte, 0 .. 255."""

    def allocate(self) -> int:
        """A free rule id with zeroed counters. Raises ``PlaneFull``."""

    def open_keys(
        self, profile: Profile, receive: MasterKey, send: MasterKey, after: int | None = None
    ) -> int:
        """SRTP for the peer of the rules that will name this handle in ``keys``.

        ``receive`` opens what arrives from the peer, ``send`` protects what
        leaves towards it. All rules that name it belong to one worker.
        Roll-over counters start at 0. ``after`` are keys that these will take the
        place of, in the same rules: a direction whose key stays goes on with its
        counters and its replay window. Raises ``SrtpUnavailable``, ``SrtpError``
        for keys of the wrong length, and ``PlaneFull``.
        """

    def close_keys(self, keys: int) -> None:
        """Forget the keys. Rules that still name them receive and send nothing: change them before."""

    def apply(self, changes: Sequence[Change]) -> None:
        """Make one batch visible to its worker at once, in this order."""

    def send(self, port: int, remote: Address, datagram: bytes) -> None:
        """Send from a local port. Network errors are counted, never raised."""

    def events(self) -> list[Event]:
        """What happened since the last time, oldest first."""

    def counters(self) -> NDArray[np.void]:
        """One row per rule id. From a plane that counts in one place it is a live view, else a copy."""

    def row(self, rule: int) -> np.void:
        """One row of ``counters``."""

    def reports(self, rule: int) -> tuple[Reported, ...]:
        """What this rule's peer says of the latest ``MAX_REPORTED`` SSRCs that it is sent."""

    def totals(self) -> dict[str, int]:
        """Sums over all rules there ever were, and what reached no rule."""

    def peer(self, rule: int) -> Address | None:
        """Where this rule's peer is sent to at the moment; None if nowhere, or it cannot be known."""

    def beats(self) -> list[int]:
        """Turns that each worker has taken. Asks each for one more: between two calls every number grows."""

    def stop(self) -> None:
        """End the workers and close every port."""
