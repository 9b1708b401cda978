"""What a description says about DTLS: fingerprints, roles, identity of the association.

RFC 8122 (fingerprint), RFC 4145 and RFC 5763 (setup), RFC 8842 (tls-id, and all of it in offer and answer).
"""

from __future__ import annotations

import enum
import re
from dataclasses import field

from sdp.session import Media, SdpError, Session
from sdp.values import valueclass

DIGEST_LENGTH = {"md5": 16, "sha-1": 20, "sha-224": 28, "sha-256": 32, "sha-384": 48, "sha-512": 64}
"""Bytes of the digests that we can check the length of."""

FINGERPRINTS = 16
"""How many lines of one section are read: two certificates, of six hashes each, and some room. More only cost
us time."""

_FINGERPRINT = re.compile(r"\s*([!-~]+)\s+([0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2})*)\s*", re.ASCII)


@valueclass
class Fingerprint:
    """Digest of a certificate. Letter case does not count in comparisons."""

    hash: str  # "sha-256" ..., becomes lower case
    value: str  # "AB:CD:...", becomes upper case
    _text: str = field(default="", init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "hash", self.hash.lower())
        object.__setattr__(self, "value", self.value.upper())

    @classmethod
    def parse(cls, value: str) -> Fingerprint:
        """Reads what follows ``a=fingerprint:``; ``str()`` gives it back.

        Raises SdpError, also where the digest has not the length that its hash gives; a hash that is not
        in DIGEST_LENGTH may have any.
        """
        match = _FINGERPRINT.fullmatch(value)
        if match is None:
            raise SdpError("not a hash and a digest in hexadecimal", f"a=fingerprint:{value}")
        found = cls(match[1], match[2])
        if len(found.digest) != DIGEST_LENGTH.get(found.hash, len(found.digest)):
            raise SdpError("digest of the wrong length", f"a=fingerprint:{value}")
        object.__setattr__(found, "_text", value)
        return found

    @property
    def digest(self) -> bytes:
        return bytes.fromhex(self.value.replace(":", ""))

    def __str__(self) -> str:
        return self._text or f"{self.hash} {self.value}"


class Setup(enum.StrEnum):
    """Who begins the handshake, seen from the author of the line (RFC 4145, section 4)."""

    ACTPASS = "actpass"
    ACTIVE = "active"  # the author sends the ClientHello
    PASSIVE = "passive"
    HOLDCONN = "holdconn"  # nobody, for now


_SETUPS = {setup.value: setup for setup in Setup}


@valueclass
class DtlsDescription:
    """The DTLS attributes that count for one media."""

    fingerprints: tuple[Fingerprint, ...]
    setup: Setup | None  # None: the line is missing, or says nothing we know
    tls_id: str | None
    invalid: tuple[str, ...] = ()  # values of a=fingerprint lines that could not be read

    @property
    def offered(self) -> bool:
        """Whether the author can do DTLS for this media: it names a certificate that we can check."""
        return bool(self.fingerprints)


def read(session: Session, media: Media) -> DtlsDescription:
    """The media's DTLS attributes; each that it has not is taken from the session level.

    Fingerprints that cannot be read are left out and listed in ``invalid``: a peer that is held to fewer
    certificates is not held to the wrong ones. Raises nothing.
    """
    fingerprints, invalid = [], []
    values = media.attributes("fingerprint") or session.attributes("fingerprint")
    for value in values[:FINGERPRINTS]:
        try:
            fingerprints.append(Fingerprint.parse(value))
        except SdpError:
            invalid.append(value)
    setup = (_value(session, media, "setup") or "").lower()
    return DtlsDescription(
        fingerprints=tuple(fingerprints),
        setup=_SETUPS.get(setup),
        tls_id=_value(session, media, "tls-id"),
        invalid=tuple(invalid),
    )


def _value(session: Session, media: Media, name: str) -> str | None:
    value = media.attribute(name)
    if value is None:
        value = session.attribute(name)
    return value.strip() or None if value else None


def answer_setup(offered: Setup | None, current: Setup | None = None, passive: bool = False) -> Setup:
    """What we answer, which is our role: ACTIVE, PASSIVE or HOLDCONN.

    ``current`` is our role in an association that goes on (RFC 8842, section 5.3: an offer of actpass does
    not change it), None before there is one. ``passive`` asks for that role where the offer leaves the
    choice. An offer without a=setup counts as active (RFC 4145, section 4.1).
    """
    if offered is Setup.ACTPASS:
        if current in (Setup.ACTIVE, Setup.PASSIVE):
            return current
        return Setup.PASSIVE if passive else Setup.ACTIVE
    return _OPPOSITE[offered or Setup.ACTIVE]


def offerer_role(answered: Setup | None) -> Setup:
    """Our role after we offered actpass: ACTIVE, PASSIVE or HOLDCONN.

    An answer without a=setup counts as passive (RFC 4145, section 4.1), and so does the actpass that an
    answer must not say: whoever says so waits for us, or takes the ClientHello that we send.
    """
    return _OPPOSITE[answered or Setup.PASSIVE]


_OPPOSITE = {
    Setup.ACTIVE: Setup.PASSIVE,
    Setup.PASSIVE: Setup.ACTIVE,
    Setup.ACTPASS: Setup.ACTIVE,
    Setup.HOLDCONN: Setup.HOLDCONN,
}
