"""Fingerprints: which certificate the peer's SDP promised (RFC 8122, section 5)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass

HASHES = {"sha-512": "sha512", "sha-384": "sha384", "sha-256": "sha256", "sha-224": "sha224", "sha-1": "sha1"}
"""What SDP calls them, the strongest first, and what hashlib does. MD2 and MD5 are forbidden."""


class DtlsError(ValueError):
    """Not a fingerprint we can use. ``text`` is what was there instead."""

    def __init__(self, message: str, text: str) -> None:
        super().__init__(f"{message}: {text[:100]!r}")
        self.text = text


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Of a certificate in DER.

    >>> str(Fingerprint.parse("SHA-1 4a:ad:b9:b1:3f:82:18:3b:54:02:12:df:3e:5d:49:6b:19:e5:7c:ab"))
    'sha-1 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB'
    """

    hash: str
    """A key of ``HASHES``."""
    digest: bytes

    @classmethod
    def parse(cls, text: str) -> Fingerprint:
        """Of the value of ``a=fingerprint``. Raises DtlsError; also for hashes that are not in ``HASHES``."""
        name, _, digits = text.strip().partition(" ")
        if name.lower() not in HASHES:
            raise DtlsError("unknown hash in fingerprint", text)
        try:
            digest = bytes.fromhex(digits.replace(":", " "))
        except ValueError:
            raise DtlsError("no fingerprint", text) from None
        if len(digest) != hashlib.new(HASHES[name.lower()]).digest_size:
            raise DtlsError("fingerprint of a wrong length", text)
        return cls(name.lower(), digest)

    @classmethod
    def of(cls, certificate: bytes, hash: str = "sha-256") -> Fingerprint:
        """``hash`` is a key of ``HASHES``."""
        return cls(hash, hashlib.new(HASHES[hash], certificate).digest())

    def __str__(self) -> str:
        return f"{self.hash} {self.digest.hex(':').upper()}"


def matches(certificate: bytes, expected: Sequence[Fingerprint]) -> bool:
    """Whether this certificate was promised: of the strongest hash used, one fingerprint has to be right."""
    strongest = next((hash for hash in HASHES if any(one.hash == hash for one in expected)), None)
    if strongest is None:
        return False
    shown = Fingerprint.of(certificate, strongest).digest
    return any(hmac.compare_digest(shown, one.digest) for one in expected if one.hash == strongest)
