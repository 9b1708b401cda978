"""A DTLS 1.2 handshake that yields SRTP keys (RFC 5764), around OpenSSL in memory.

No socket, no clock: ``now`` is seconds on any monotonic clock. Whoever owns a
handshake sends what it returns, and calls ``timeout`` at ``deadline``.

           start() as active            handshake complete, with a
           or a ClientHello            certificate that was expected
    IDLE -------------------> SHAKING ------------------------------> DONE
                                 |
                                 | another one, refused, late, too much
                                 +--------------------------------------> OVER

In DONE and OVER there is no OpenSSL any more: its connection takes 50 to 80 kB, and
all that a peer can still want is our last flight, 70 bytes. So a peer's close_notify
is not read; that a call is over, signalling says.

Lost datagrams: the last flight is repeated as it is after 0.2, 0.6, 1.4 s and so
on, which mends most losses soon. A peer that has our flight already ignores such
copies, though its answer may be lost. Then OpenSSL's own repeats help, at 1, 3, 7
and 15 s, which are new records. They go by OpenSSL's clock, not by ``now``.

A ClientHello that does not belong to this handshake never disturbs it: it is
reported as ``Restart``. Whoever answers it with a new ``Handshake`` keeps the old
keys in use until the new one has yielded its own, because anybody can send a
ClientHello.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from OpenSSL import SSL, crypto

from relay.dtls.fingerprint import Fingerprint
from relay.dtls.identity import Identity
from relay.dtls.peer import Peer
from relay.dtls.profile import LABEL, PROFILES, Profile
from relay.dtls.records import (
    APPLICATION_DATA,
    HANDSHAKE,
    MAX_DATAGRAM,
    Record,
    claims_too_much,
    client_random,
    pack,
    read_records,
)

PATIENCE = 30.0
"""Seconds from the first flight to the keys; a person hangs up sooner."""
FIRST_REPEAT = 0.2
"""Seconds; more than most round trips, and soon enough not to be heard. Doubled for each repeat."""
LONGEST_REPEAT = 2.0
MAX_DATAGRAMS = 128
"""Taken from the peer in one handshake: all flights of a large certificate chain, with a dozen repeats."""
MAX_EARLY = 32
"""Encrypted records among them. OpenSSL sets aside 17 kB for each that comes before its time."""
MAX_AFTERWARDS = 32
"""Repeats of the last flight once the handshake is complete."""
AMPLIFICATION = 3
"""Bytes sent for each one from a source that may be forged (as RFC 9000, section 8)."""
PACKET_HEADERS = 28
"""IPv4 and UDP. They count on both sides of the amplification: that is what a victim gets."""


class Role(enum.Enum):
    """``a=setup`` of our end (RFC 4145)."""

    ACTIVE = "active"
    PASSIVE = "passive"


class State(enum.Enum):
    IDLE = enum.auto()
    SHAKING = enum.auto()
    DONE = enum.auto()
    OVER = enum.auto()


class Reason(enum.StrEnum):
    """Why there will be no keys; words to count by."""

    FINGERPRINT = "fingerprint"  # a certificate that the SDP did not promise
    NO_CERTIFICATE = "no-certificate"
    NO_PROFILE = "no-profile"  # no protection profile in common, or none offered
    REFUSED = "refused"  # the peer sent an alert
    PROTOCOL = "protocol"  # what came is no handshake that we can go on with
    TIMEOUT = "timeout"
    FLOOD = "flood"  # more datagrams than any handshake needs


@dataclass(frozen=True, slots=True)
class Send:
    """Output: send this now, to where the peer is."""

    datagram: bytes


@dataclass(frozen=True, slots=True)
class Keys:
    """Output, once: the peer is who the SDP said. Each is a master key with its salt behind it."""

    profile: Profile
    local: bytes = field(repr=False)
    """Protects what we send."""
    remote: bytes = field(repr=False)
    """Protects what the peer sends."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Output, the last but for ``Restart``: no keys from this handshake, or none any more."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Restart:
    """Output: the datagram begins another handshake, and was not looked at any further. Not authenticated."""


Output: TypeAlias = Send | Keys | Failed | Restart


class Handshake:
    """One association with one peer. Owned by one thread at a time; ``received`` may compute for 0.3 ms.

    ``expected``: the fingerprints in the peer's SDP. ``earned``: bytes that a
    passive end may send beyond three times what it got, before the peer has proven
    that it hears us: any number where it is known to be there (ICE), none if its
    source may be forged. It may grow at any time.
    """

    def __init__(
        self,
        identity: Identity,
        role: Role,
        expected: Sequence[Fingerprint],
        *,
        earned: float = math.inf,
    ) -> None:
        self.role = role
        self.earned = earned
        self.state = State.IDLE
        self._peer = Peer(expected)
        self._connection: SSL.Connection | None = None
        self._identity = identity
        self._hello: bytes | None = None
        """The random number of the peer's ClientHello."""
        self._flight: list[bytes] = []
        self._unsent: list[bytes] = []
        self._credit = math.inf if role is Role.ACTIVE else 0
        """Bytes that may still be sent, beside ``earned``."""
        self._datagrams = self._early = self._afterwards = 0
        self._expires = self._repeat_at = self._openssl_at = math.inf
        self._interval = FIRST_REPEAT

    @property
    def holds_back(self) -> bool:
        """A part of the flight waits until more is ``earned``, or received; ``timeout`` sends what may go."""
        return bool(self._unsent)

    @property
    def deadline(self) -> float | None:
        """When to call ``timeout``, unless something is received before."""
        if self.state is not State.SHAKING:
            return None
        return min(self._expires, self._repeat_at, self._openssl_at)

    def start(self, now: float) -> list[Output]:
        """There is a path to the peer. A passive end goes on waiting for the peer's ClientHello."""
        if self.role is Role.PASSIVE or self.state is not State.IDLE:
            return []
        self._begin(now)
        return self._advance(now)

    def received(self, datagram: bytes, now: float) -> list[Output]:
        """A datagram from the peer whose first byte is 20 to 63; never raises, whatever it is."""
        records = [record for record in read_records(datagram) if record.kind != APPLICATION_DATA]
        if not records or claims_too_much(records):
            return []
        hello = client_random(records)
        if self.state is State.IDLE and self.role is Role.PASSIVE and hello is not None:
            self._hello = hello
            self._begin(now)
        if self.state is State.IDLE:
            return []
        if hello is not None and hello != self._hello:
            return [Restart()]
        if self.state is State.SHAKING:
            return self._shake(records, now)
        return self._hear(records, now)

    def timeout(self, now: float) -> list[Output]:
        """``deadline`` has come, or more is ``earned``. Calling it sooner does nothing."""
        if self.state is not State.SHAKING:
            return []
        if now >= self._expires:
            return self._fail(Reason.TIMEOUT)
        if released := self._release():
            self._repeat_at = now + self._interval
            return released
        try:
            self._openssl.DTLSv1_handle_timeout()
        except SSL.Error as error:
            return self._fail(self._reason(error))
        repeated = self._flush()
        if now >= self._repeat_at:
            self._interval = min(2 * self._interval, LONGEST_REPEAT)
            self._repeat_at = now + self._interval
            if not repeated:
                self._unsent = list(self._flight)
                repeated = self._release()
        self._ask_openssl(now)
        return repeated

    @property
    def _openssl(self) -> SSL.Connection:
        """There is one from the first flight to the keys."""
        assert self._connection is not None
        return self._connection

    def _begin(self, now: float) -> None:
        self.state = State.SHAKING
        self._expires = now + PATIENCE
        self._connection = SSL.Connection(self._identity.context, None)
        self._connection.set_app_data(self._peer)
        self._connection.set_ciphertext_mtu(MAX_DATAGRAM)
        if self.role is Role.ACTIVE:
            self._connection.set_connect_state()
        else:
            self._connection.set_accept_state()

    def _shake(self, records: list[Record], now: float) -> list[Output]:
        datagram = b"".join(record.data for record in records)
        self._datagrams += 1
        self._early += sum(record.epoch > 0 for record in records)
        if self._datagrams > MAX_DATAGRAMS or self._early > MAX_EARLY:
            return self._fail(Reason.FLOOD)
        self._credit += AMPLIFICATION * (len(datagram) + PACKET_HEADERS)
        self._openssl.bio_write(datagram)
        return [*self._release(), *self._advance(now)]

    def _advance(self, now: float) -> list[Output]:
        complete = True
        try:
            self._openssl.do_handshake()
        except SSL.WantReadError:
            complete = False
        except SSL.Error as error:
            reason = self._reason(error)
            return [*self._flush(), *self._fail(reason)]
        if complete:
            self._credit = math.inf
        outputs = self._flush()
        if outputs:
            self._interval = FIRST_REPEAT
            self._repeat_at = now + self._interval
        self._ask_openssl(now)
        return [*outputs, *self._complete()] if complete else outputs

    def _complete(self) -> list[Output]:
        name = self._openssl.get_selected_srtp_profile().decode()
        profile = next((profile for profile in PROFILES if profile.name == name), None)
        if profile is None:
            return self._refuse(Reason.NO_PROFILE)
        client, server = profile.split(self._openssl.export_keying_material(LABEL, profile.material))
        certificate = self._openssl.get_peer_certificate()
        if certificate is None:
            return self._refuse(Reason.NO_CERTIFICATE)
        if not self._peer.accepts(crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)):
            return self._refuse(Reason.FINGERPRINT)
        self.state = State.DONE
        self._connection = None
        if self.role is Role.PASSIVE:
            return [Keys(profile, local=server, remote=client)]
        self._flight = []  # the last flight was the peer's
        return [Keys(profile, local=client, remote=server)]

    def _hear(self, records: list[Record], now: float) -> list[Output]:
        """After the handshake: the peer may have missed our last flight."""
        missed = any(record.kind == HANDSHAKE and record.epoch for record in records)
        if not missed or not self._flight or self._afterwards == MAX_AFTERWARDS or now < self._repeat_at:
            return []
        self._afterwards += 1
        self._repeat_at = now + FIRST_REPEAT / 4
        return [Send(datagram) for datagram in self._flight]

    def _refuse(self, reason: Reason) -> list[Output]:
        """A peer that believes it is connected has to hear that it is not."""
        return [*self._say_goodbye(), *self._fail(reason)]

    def _say_goodbye(self) -> list[Output]:
        if self._connection is None:
            return []
        try:
            self._openssl.shutdown()
        except SSL.Error:
            return []
        return self._flush()

    def _fail(self, reason: Reason) -> list[Output]:
        return [self._end(Failed(reason))]

    def _end(self, last: Output) -> Output:
        self.state = State.OVER
        self._connection = self._keys = None
        self._flight = self._unsent = []
        return last

    def _flush(self) -> list[Output]:
        """What OpenSSL wants to send, as far as it may be sent. It is the flight to repeat from now on."""
        written = bytearray()
        try:
            while True:
                written += self._openssl.bio_read(65536)
        except SSL.Error:
            pass
        if not written:
            return []
        self._flight = pack(bytes(written))
        self._unsent = list(self._flight)
        return self._release()

    def _release(self) -> list[Output]:
        outputs: list[Output] = []
        while self._unsent and len(self._unsent[0]) + PACKET_HEADERS <= self._credit + self.earned:
            datagram = self._unsent.pop(0)
            self._credit -= len(datagram) + PACKET_HEADERS
            outputs.append(Send(datagram))
        return outputs

    def _ask_openssl(self, now: float) -> None:
        remaining = self._openssl.DTLSv1_get_timeout()
        self._openssl_at = math.inf if remaining is None else now + remaining

    def _reason(self, error: SSL.Error) -> Reason:
        if self._peer.refused:
            return Reason.FINGERPRINT
        words = str(error)
        if "peer did not return a certificate" in words:
            return Reason.NO_CERTIFICATE
        return Reason.REFUSED if " alert " in words else Reason.PROTOCOL
