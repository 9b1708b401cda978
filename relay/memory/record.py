"""What is written down of one leg when it ends."""

from __future__ import annotations

import msgspec

from relay.memory.arms import Arm

LARGEST = 200
"""Bytes of an encoded record."""

IN_TIME = 5000
"""Milliseconds after the answer within which a way has to be usable."""
MEDIA = 50
"""Packets that show that media flows: a second of audio."""
SHORTEST = 2.0
"""Seconds; a shorter call says nothing of the network."""
PATIENT = 5.0
"""Seconds in which a phone that can reach us has done so: browsers begin to check with the answer."""
ASSIST = "assist"
"""``Record.mode`` where the phones check each other as well."""
MAX_MS = 65_535
"""Later is as good as never."""
MAX_COUNT = 2**31


class Said(msgspec.Struct, frozen=True, array_like=True):
    """Figures of an app (``ice-feedback``). Nobody here has checked them."""

    ok: bool
    ms: int | None = None
    """Until media flowed."""
    lost: int | None = None
    """Of 1000 packets."""
    round_trip: int | None = None
    """Milliseconds, from phone to phone or to the relay: apps differ."""


class Record(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """One leg. Times are whole milliseconds from the answer to it; what came earlier is 0."""

    network: bytes | None
    family: bytes | None
    named: bool = False
    mode: str = ""
    given: tuple[Arm, ...] = ()
    """Ways that the peer had, in the order in which it was to prefer them."""
    dropped: tuple[Arm, ...] = ()
    """Ways that were left out by what was known of the network."""
    explored: tuple[Arm, ...] = ()
    """Those of ``given`` that would have been left out or put last, but for curiosity."""
    offered: int = 0
    """Bit set of candidate types that the peer offered: 1 host, 2 srflx, 4 prflx, 8 relay."""
    first_check: int | None = None
    """When the first authenticated check came; None: never."""
    usable: dict[Arm, int] = {}
    """When each way first could carry media."""
    seen: tuple[Arm, ...] = ()
    """Ways by which an authenticated check came."""
    chosen: Arm | None = None
    """Where media went in the end."""
    remote: str = ""
    """Type of the peer's candidate there."""
    checks_in: int = 0
    checks_out: int = 0
    consent_lost: int = 0
    moves: int = 0
    received: int = 0
    """Media packets."""
    sent: int = 0
    seconds: int = 0
    """From the answer to the end."""
    answered: bool = False
    """And with ICE."""
    reason: str = ""
    round_trip: int | None = None
    """Milliseconds from us to the phone and back."""
    lost: int | None = None
    """Of 1000 packets that it was sent, as it reported (RTCP)."""
    jitter: int | None = None
    """Milliseconds, as it reported."""
    maps_anew: bool | None = None
    """Its NAT mapped its socket anew for us."""
    said: Said | None = None
    """What its app said while the call went on."""
    same_site: bool = False
    """A path was usable in time to the very site that the phone signals from: it needed no TURN server."""

    @property
    def counts(self) -> bool:
        """It says something of the network: the call was answered, and was more than an error."""
        return self.answered and self.seconds >= SHORTEST

    @property
    def worked(self) -> tuple[Arm, ...]:
        """Ways that were usable in time, on a leg whose media flowed."""
        if self.received < MEDIA:
            return ()
        return tuple(arm for arm, ms in self.usable.items() if ms <= IN_TIME)

    @property
    def failed(self) -> tuple[Arm, ...]:
        """Ways known to have been tried in vain.

        A peer checks in the order that it was given. So what stood before the
        way that it ended on was tried; what stood after it may not have been.
        Beside that, ways on which a check came, but nothing more.
        """
        tried = list(self.seen)
        if self.chosen in self.given and self.received >= MEDIA:
            tried += self.given[: self.given.index(self.chosen)]
        return tuple(arm for arm in dict.fromkeys(tried) if self.usable.get(arm, MAX_MS) > IN_TIME)

    @property
    def unreached(self) -> bool:
        """It never had a usable path, though it had the time: it cannot reach us, or its app is gone.

        Where the phones check each other, one that never had a path to us may do well without.
        """
        patient = self.answered and self.seconds >= PATIENT and self.mode != ASSIST
        return patient and not self.usable and self.received < MEDIA

    @property
    def straight(self) -> bool | None:
        """It reached us, surely without a TURN server; None: the leg tells nothing of that.

        False is all that is not sure: no path in time, its TURN server, or an address that may be one.
        """
        if self.chosen is Arm.TURN:
            return False
        if self.same_site:
            return True if self.received >= MEDIA else None
        return False if self.unreached or self.chosen is not None else None

    @property
    def surprising(self) -> tuple[Arm, ...]:
        """What had been taken for dead and was alive, or was left out when nothing else worked."""
        if found := tuple(arm for arm in self.explored if arm in self.worked):
            return found
        return self.dropped if self.dropped and self.widened else ()

    @property
    def widened(self) -> bool:
        """No check came within the time after which a peer with few candidates is given all of them."""
        if self.first_check is None:
            return self.seconds * 1000 >= WIDEN_AFTER
        return self.first_check > WIDEN_AFTER


WIDEN_AFTER = 4000
"""Milliseconds from the answer without a check, after which leaving out ways was wrong."""


def encode(record: Record) -> bytes:
    """At most ``LARGEST`` bytes."""
    return msgspec.msgpack.encode(record)


def decode(data: bytes) -> Record:
    """Raises ``msgspec.DecodeError`` for anything that ``encode`` did not write."""
    return msgspec.msgpack.decode(data, type=Record)
