"""Certificates of our own, and when to make a new one."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from OpenSSL import SSL

from relay.dtls.fingerprint import Fingerprint
from relay.dtls.peer import verify
from relay.dtls.profile import PROFILES

LIFETIME = 7 * 86400.0
"""Seconds for which new calls use one certificate: what leaks with it is a week of calls at most."""
VALID = timedelta(days=365)
"""Longer than any call. Peers go by the fingerprint and hardly look at the dates."""
EARLY = timedelta(days=1)
"""Begin of validity, before now, for peers with a bad clock."""
DTLS_1_2 = 0xFEFD
"""On the wire. Later versions have other record headers than ``records`` reads."""
CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES"
"""All of them with forward secrecy. CBC is for old phones; RFC 8827 demands GCM of all newer ones."""

PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate with its key, and the OpenSSL context that all handshakes with it share.

    A leg keeps the one that its SDP promised. May be used by several threads.
    """

    context: SSL.Context
    certificate: bytes
    """DER."""

    @classmethod
    def create(cls, wall: float) -> Identity:
        """A new ECDSA P-256 key, self-signed. ``wall`` is Unix seconds, for the dates. Takes 1 ms."""
        return cls.with_key(ec.generate_private_key(ec.SECP256R1()), wall)

    @classmethod
    def with_key(cls, key: PrivateKey, wall: float) -> Identity:
        certificate = _self_signed(key, datetime.fromtimestamp(wall, UTC))
        return cls(_context(key, certificate), certificate.public_bytes(Encoding.DER))

    def fingerprint(self, hash: str = "sha-256") -> Fingerprint:
        """``hash`` is a key of ``fingerprint.HASHES``."""
        return Fingerprint.of(self.certificate, hash)


class Identities:
    """One after the other. Handshakes that run and legs that live keep the one they began with."""

    def __init__(self, wall: float, lifetime: float = LIFETIME) -> None:
        self._lifetime = lifetime
        self._made = wall
        self._identity = Identity.create(wall)

    def current(self, wall: float) -> Identity:
        """For a leg that begins at ``wall`` (Unix seconds)."""
        if not self._made <= wall < self._made + self._lifetime:
            self._made = wall
            self._identity = Identity.create(wall)
        return self._identity


def _self_signed(key: PrivateKey, today: datetime) -> x509.Certificate:
    """As small as it gets: what a stranger can make us send to his victim is mostly this."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "relay")])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1 + secrets.randbits(63))
        .not_valid_before(today - EARLY)
        .not_valid_after(today + VALID)
        .sign(key, hashes.SHA256())
    )


def _context(key: PrivateKey, certificate: x509.Certificate) -> SSL.Context:
    """For both roles. Without resumption, which would not show the peer's certificate again."""
    context = SSL.Context(SSL.DTLS_METHOD)
    context.set_min_proto_version(DTLS_1_2)
    context.set_max_proto_version(DTLS_1_2)
    context.set_options(SSL.OP_NO_QUERY_MTU | SSL.OP_NO_TICKET | SSL.OP_NO_RENEGOTIATION)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)  # 20 kB less for each call that talks
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, verify)
    context.set_cipher_list(CIPHERS)
    context.set_tlsext_use_srtp(":".join(profile.name for profile in PROFILES).encode())
    context.use_privatekey(key)
    context.use_certificate(certificate)
    return context
