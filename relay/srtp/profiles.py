"""What SRTP can be protected with: profiles and the keys they need (RFC 3711, 4568, 5764, 6188, 7714).

Values only. What of it the library on this machine can do is the business of
``relay.forward.srtp_library``.
"""

from __future__ import annotations

from dataclasses import dataclass, field


class SrtpError(ValueError):
    """A profile nobody knows, or a key that does not fit its profile."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A cipher and an authentication, under the names of both worlds.

    Lengths are octets. ``rtcp_tag`` is what SRTCP adds beside its index: the
    short tags are for RTP only (RFC 4568, section 6.2).
    """

    name: str
    """The crypto suite of ``a=crypto`` (RFC 4568)."""
    dtls: str | None
    """The DTLS-SRTP profile (RFC 5764) in OpenSSL's spelling; None if DTLS cannot negotiate it."""
    key_length: int
    salt_length: int
    rtp_tag: int
    rtcp_tag: int
    aead: bool = False
    """Galois/Counter Mode: a packet index must never be used for two different packets."""


@dataclass(frozen=True, slots=True)
class MasterKey:
    """What one direction's session keys are derived from. Never shown in a log."""

    key: bytes = field(repr=False)
    salt: bytes = field(repr=False)

    @classmethod
    def split(cls, profile: Profile, both: bytes) -> MasterKey:
        """From key and salt as one string. Raises ``SrtpError`` for a wrong length."""
        master = cls(both[: profile.key_length], both[profile.key_length :])
        master.check(profile)
        return master

    def check(self, profile: Profile) -> None:
        """Raises ``SrtpError`` if the lengths are not those of the profile."""
        lengths = (len(self.key), len(self.salt))
        if lengths != (profile.key_length, profile.salt_length):
            raise SrtpError(
                f"{profile.name} needs a key of {profile.key_length} octets and a salt of"
                f" {profile.salt_length}, not {lengths[0]} and {lengths[1]}"
            )


AES_CM_128_HMAC_SHA1_80 = Profile("AES_CM_128_HMAC_SHA1_80", "SRTP_AES128_CM_SHA1_80", 16, 14, 10, 10)
AES_CM_128_HMAC_SHA1_32 = Profile("AES_CM_128_HMAC_SHA1_32", "SRTP_AES128_CM_SHA1_32", 16, 14, 4, 10)
AES_192_CM_HMAC_SHA1_80 = Profile("AES_192_CM_HMAC_SHA1_80", None, 24, 14, 10, 10)
AES_192_CM_HMAC_SHA1_32 = Profile("AES_192_CM_HMAC_SHA1_32", None, 24, 14, 4, 10)
AES_256_CM_HMAC_SHA1_80 = Profile("AES_256_CM_HMAC_SHA1_80", None, 32, 14, 10, 10)
AES_256_CM_HMAC_SHA1_32 = Profile("AES_256_CM_HMAC_SHA1_32", None, 32, 14, 4, 10)
AEAD_AES_128_GCM = Profile("AEAD_AES_128_GCM", "SRTP_AEAD_AES_128_GCM", 16, 12, 16, 16, aead=True)
AEAD_AES_256_GCM = Profile("AEAD_AES_256_GCM", "SRTP_AEAD_AES_256_GCM", 32, 12, 16, 16, aead=True)
NULL_HMAC_SHA1_80 = Profile("NULL_HMAC_SHA1_80", None, 16, 14, 10, 10)

PROFILES = (
    AES_CM_128_HMAC_SHA1_80,
    AES_CM_128_HMAC_SHA1_32,
    AES_192_CM_HMAC_SHA1_80,
    AES_192_CM_HMAC_SHA1_32,
    AES_256_CM_HMAC_SHA1_80,
    AES_256_CM_HMAC_SHA1_32,
    AEAD_AES_128_GCM,
    AEAD_AES_256_GCM,
    NULL_HMAC_SHA1_80,
)
"""In the order of their names; a preference is the configuration's business.

Not here, as libsrtp has neither: ``F8_128_HMAC_SHA1_80`` and ``NULL_HMAC_SHA1_32``.
"""

_BY_NAME = {profile.name: profile for profile in PROFILES}
_BY_DTLS = {profile.dtls: profile for profile in PROFILES if profile.dtls is not None}


def profile_named(name: str) -> Profile:
    """The profile of a crypto suite (RFC 4568). Raises ``SrtpError``.

    >>> profile_named("AEAD_AES_256_GCM").key_length
    32
    """
    try:
        return _BY_NAME[name]
    except KeyError:
        raise SrtpError(f"no such crypto suite: {name}") from None


def profile_of_dtls(name: str) -> Profile:
    """The profile that DTLS negotiated, by OpenSSL's name. Raises ``SrtpError``.

    >>> profile_of_dtls("SRTP_AES128_CM_SHA1_80").name
    'AES_CM_128_HMAC_SHA1_80'
    """
    try:
        return _BY_DTLS[name]
    except KeyError:
        raise SrtpError(f"no such DTLS-SRTP profile: {name}") from None
