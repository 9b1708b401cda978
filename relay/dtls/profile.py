"""SRTP protection profiles that a handshake may agree on, and their keys (RFC 5764 4.2, RFC 7714 14.2)."""

from __future__ import annotations

from dataclasses import dataclass

LABEL = b"EXTRACTOR-dtls_srtp"


@dataclass(frozen=True, slots=True)
class Profile:
    """One way to protect RTP. Lengths are in bytes."""

    name: str
    """OpenSSL's, which is the registry's but for the letters HMAC."""
    suite: str
    """What SDP security descriptions call the same thing (RFC 4568)."""
    key: int
    salt: int

    @property
    def material(self) -> int:
        """Bytes that both directions need together."""
        return 2 * (self.key + self.salt)

    def split(self, material: bytes) -> tuple[bytes, bytes]:
        """The client's master key with its salt behind it, and the server's, out of what was exported."""
        client_salt, server_salt = 2 * self.key, 2 * self.key + self.salt
        return (
            material[: self.key] + material[client_salt:server_salt],
            material[self.key : client_salt] + material[server_salt:],
        )


PROFILES = (
    Profile("SRTP_AEAD_AES_256_GCM", "AEAD_AES_256_GCM", 32, 12),
    Profile("SRTP_AEAD_AES_128_GCM", "AEAD_AES_128_GCM", 16, 12),
    Profile("SRTP_AES128_CM_SHA1_80", "AES_CM_128_HMAC_SHA1_80", 16, 14),
    Profile("SRTP_AES128_CM_SHA1_32", "AES_CM_128_HMAC_SHA1_32", 16, 14),
)
"""The one we like best first: GCM takes two thirds of the time of AES-CM with SHA-1."""
