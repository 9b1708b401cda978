"""RTP profiles: the transport protocol of an m= line, in its three parts."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Profile:
    """``RTP/AVP``, ``RTP/SAVPF``, ``UDP/TLS/RTP/SAVPF`` and the three between.

    Under a secure profile that is not ``dtls``, keys may still come by DTLS (old WebRTC); under ``dtls``
    they cannot come by ``a=crypto``.
    """

    secure: bool  # SAVP: RFC 3711
    feedback: bool  # AVPF: RFC 4585, RFC 5124
    dtls: bool = False  # UDP/TLS/RTP: RFC 5764

    def __post_init__(self) -> None:
        if self.dtls and not self.secure:
            raise ValueError("no profile has DTLS without SRTP")

    @classmethod
    def of(cls, protocol: str) -> Profile | None:
        """The profile of an m= line's protocol, in any letter case; None if it is none of the six."""
        return _PROFILES.get(protocol.upper())

    def as_plain(self) -> Profile:
        return replace(self, secure=False, dtls=False)

    def __str__(self) -> str:
        return ("UDP/TLS/" if self.dtls else "") + "RTP/" + "S" * self.secure + "AVP" + "F" * self.feedback


_PROFILES = {
    str(profile): profile
    for feedback in (False, True)
    for profile in (Profile(False, feedback), Profile(True, feedback), Profile(True, feedback, True))
}


def carries_dtls(protocol: str) -> bool:
    """Whether the protocol itself says DTLS or TLS: RTP and data channels, where a=crypto means nothing."""
    return not _TLS.isdisjoint(protocol.upper().split("/"))


_TLS = frozenset({"TLS", "DTLS"})
