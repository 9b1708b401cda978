"""The far end of DTLS-SRTP, by pyOpenSSL alone, and its call through the relay: honest or not."""

from __future__ import annotations

import contextlib
import hashlib
import select
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from pylibsrtp import Policy, Session

from tests.blackbox.description import plain
from tests.blackbox.dialogue import Dialogue
from tests.blackbox.phone import Phone, Port, told
from tests.ng import Address

PROFILE = b"SRTP_AES128_CM_SHA1_80"
KEY, SALT = 16, 14
DTLS = "UDP/TLS/RTP/SAVP"


@dataclass(frozen=True)
class Certificate:
    """Self-signed, with its key."""

    key: ec.EllipticCurvePrivateKey
    x509: x509.Certificate

    @classmethod
    def create(cls) -> Certificate:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "phone")])
        today = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(today - timedelta(days=1))
            .not_valid_after(today + timedelta(days=30))
            .sign(key, hashes.SHA256())
        )
        return cls(key, certificate)

    @property
    def fingerprint(self) -> str:
        digest = hashlib.sha256(self.x509.public_bytes(Encoding.DER)).digest()
        return f"sha-256 {digest.hex(':').upper()}"


CERTIFICATE, ANOTHER = Certificate.create(), Certificate.create()


def dtls_sdp(address: Address, setup: str, fingerprint: str = CERTIFICATE.fingerprint) -> str:
    """A phone with DTLS-SRTP and rtcp-mux."""
    keys = (f"a=fingerprint:{fingerprint}", f"a=setup:{setup}", "a=rtcp-mux")
    return plain(*address, *keys, user="dtls", protocol=DTLS)


@dataclass
class Call:
    """A plain caller, and a callee with DTLS: where each of them finds the relay."""

    caller_side: Address
    callee_side: Address


def set_up(call: Dialogue, caller: Phone, callee: Address, setup: str, fingerprint: str = "") -> Call:
    """Offer and answer; ``setup`` is the callee's role, ``fingerprint`` its own unless it lies."""
    offer = call.offer(caller.sdp(), **{"transport-protocol": DTLS, "rtcp-mux": ["offer", "require"]})
    answer = call.answer(dtls_sdp(callee, setup, fingerprint or CERTIFICATE.fingerprint))
    return Call(told(answer), told(offer))


class DtlsPhone:
    """Shakes hands from one socket; then talks SRTP. ``certificate`` None: shows none."""

    def __init__(
        self,
        host: str,
        active: bool = True,
        certificate: Certificate | None = CERTIFICATE,
        port: Port | None = None,
    ) -> None:
        self.port = port or Port(host)
        self.active = active
        context = SSL.Context(SSL.DTLS_METHOD)
        if certificate is not None:
            context.use_privatekey(certificate.key)
            context.use_certificate(certificate.x509)
        context.set_verify(SSL.VERIFY_PEER, lambda *_: True)
        context.set_tlsext_use_srtp(PROFILE)
        self._connection = SSL.Connection(context, None)
        if active:
            self._connection.set_connect_state()
        else:
            self._connection.set_accept_state()

    def __enter__(self) -> DtlsPhone:
        return self

    def __exit__(self, *_: object) -> None:
        self.port.close()

    def flight(self, *received: bytes) -> bytes:
        """What OpenSSL says after it has received these. Raises ``SSL.Error`` if the relay refuses."""
        for datagram in received:
            self._connection.bio_write(datagram)
        with contextlib.suppress(SSL.WantReadError):
            self._connection.do_handshake()
        try:
            return self._connection.bio_read(65536)
        except SSL.WantReadError:
            return b""

    def shake(self, to: Address, patience: float = 20.0) -> None:
        """Until the keys are there. Raises ``SSL.Error`` if the relay refuses, and ``TimeoutError``."""
        deadline = time.monotonic() + patience
        self._say(to, self.flight())
        while not self._has_keys():
            if time.monotonic() > deadline:
                raise TimeoutError("no handshake")
            wait = self._connection.DTLSv1_get_timeout()
            if self.port.is_readable(min(wait or 1.0, 1.0)):
                self._say(to, self.flight(self.port.receive()[0]))
            elif wait is not None and self._connection.DTLSv1_handle_timeout():
                self._say(to, self.flight())

    def sessions(self) -> tuple[Session, Session]:
        """SRTP of what it sends, and of what it receives."""
        both = 2 * KEY
        material = self._connection.export_keying_material(b"EXTRACTOR-dtls_srtp", both + 2 * SALT)
        client = material[:KEY] + material[both : both + SALT]
        server = material[KEY:both] + material[both + SALT :]
        sent, heard = (client, server) if self.active else (server, client)
        profile = Policy.SRTP_PROFILE_AES128_CM_SHA1_80
        return (
            Session(Policy(key=sent, ssrc_type=Policy.SSRC_ANY_OUTBOUND, srtp_profile=profile)),
            Session(Policy(key=heard, ssrc_type=Policy.SSRC_ANY_INBOUND, srtp_profile=profile)),
        )

    def _has_keys(self) -> bool:
        try:
            self._connection.do_handshake()
        except SSL.WantReadError:
            return False
        return True

    def _say(self, to: Address, flight: bytes) -> None:
        if flight:
            self.port.send(to, flight)


def fragments(flight: bytes, size: int) -> list[bytes]:
    """One handshake message in the clear, in a record per ``size`` octets of it (RFC 6347, section 4.2.3).

    Their numbers are some that the next flight does not have.
    """
    header, message = flight[:13], flight[13:]
    kind_and_length, number, body = message[:4], message[4:6], message[12:]
    found = []
    for index, start in enumerate(range(0, len(body), size), 32):
        part = body[start : start + size]
        content = kind_and_length + number + start.to_bytes(3) + len(part).to_bytes(3) + part
        found.append(header[:5] + index.to_bytes(6) + len(content).to_bytes(2) + content)
    return found


class Lossy:
    """Forwards UDP between the relay and one phone, and loses what ``loses`` says, in a thread of its own."""

    def __init__(self, host: str, phone: Address) -> None:
        self._towards_relay, self._towards_phone = (_bound(host) for _ in range(2))
        self.address: Address = self._towards_relay.getsockname()
        self.inside: Address = self._towards_phone.getsockname()
        """Where the phone finds it."""
        self.loses: Callable[[], bool] = lambda: False
        self._phone = phone
        self._running = True

    def __enter__(self) -> Lossy:
        return self

    def __exit__(self, *_: object) -> None:
        self._running = False
        self._thread.join()
        self._towards_relay.close()
        self._towards_phone.close()

    def start(self, relay: Address, loses: Callable[[], bool]) -> None:
        self.loses = loses
        self._thread = threading.Thread(target=self._serve, args=(relay,), daemon=True)
        self._thread.start()

    def _serve(self, relay: Address) -> None:
        while self._running:
            for sock in select.select([self._towards_relay, self._towards_phone], [], [], 0.05)[0]:
                datagram = sock.recv(4096)
                if self.loses():
                    continue
                if sock is self._towards_relay:
                    self._towards_phone.sendto(datagram, self._phone)
                else:
                    self._towards_relay.sendto(datagram, relay)


def _bound(host: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((host, 0))
    return sock
