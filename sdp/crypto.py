"""SRTP keys in the description: ``a=crypto`` (SDES, RFC 4568) and the suites it may name."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import field
from typing import NamedTuple

from sdp.session import Media, SdpError
from sdp.values import valueclass


class Suite(NamedTuple):
    """What a crypto suite needs and adds; lengths in bytes."""

    name: str
    key_length: int  # of the master key
    salt_length: int  # of the master salt, which follows the key in ``inline:``
    tag_length: int  # what SRTP adds to a packet
    rtcp_tag_length: int  # what SRTCP adds, besides its index of 4 bytes
    supported: bool  # libsrtp can do it

    @property
    def length(self) -> int:
        """Of master key and salt together."""
        return self.key_length + self.salt_length


SUITES: dict[str, Suite] = {
    suite.name: suite
    for suite in (
        Suite("AEAD_AES_256_GCM", 32, 12, 16, 16, True),
        Suite("AEAD_AES_128_GCM", 16, 12, 16, 16, True),
        Suite("AES_256_CM_HMAC_SHA1_80", 32, 14, 10, 10, True),
        Suite("AES_256_CM_HMAC_SHA1_32", 32, 14, 4, 10, True),
        Suite("AES_192_CM_HMAC_SHA1_80", 24, 14, 10, 10, True),
        Suite("AES_192_CM_HMAC_SHA1_32", 24, 14, 4, 10, True),
        Suite("AES_CM_128_HMAC_SHA1_80", 16, 14, 10, 10, True),
        Suite("AES_CM_128_HMAC_SHA1_32", 16, 14, 4, 10, True),
        Suite("F8_128_HMAC_SHA1_80", 16, 14, 10, 10, False),
        Suite("F8_128_HMAC_SHA1_32", 16, 14, 4, 10, False),
        Suite("NULL_HMAC_SHA1_80", 16, 14, 10, 10, True),
        Suite("NULL_HMAC_SHA1_32", 16, 14, 4, 10, False),
    )
}
"""By name, the best first: the order in which rtpengine offers them (RFC 4568, RFC 6188, RFC 7714)."""

UNDERSTOOD = frozenset({"KDR=0", "FEC_ORDER=FEC_SRTP"})
"""Session parameters that ask for what is done anyway, besides ``WSH``, which is only advice.

``UNENCRYPTED_SRTP`` and the like are not here: what we send is encrypted and authenticated.
"""

# Words of digits are bounded, for Python refuses to read thousands of them.
_CRYPTO = re.compile(r"(\d{1,9})\s+(\S+)\s+(\S+(?:\s+inline:\S+)*)(?:\s+(.*))?", re.ASCII | re.DOTALL)
_INLINE = re.compile(r"inline:([A-Za-z0-9+/]+)(={0,2})((?:\|[^|;]*){0,2})", re.ASCII | re.IGNORECASE)
_SECRET = re.compile("inline:", re.IGNORECASE)
_LIFETIME = re.compile(r"(?:2\^(\d{1,2})|(\d{1,15}))", re.ASCII)
_MKI = re.compile(r"(\d{1,309}):(\d{1,3})", re.ASCII)


class Mki(NamedTuple):
    """The master key identifier that packets carry."""

    value: int
    length: int  # in bytes, 1 .. 128

    def __str__(self) -> str:
        return f"{self.value}:{self.length}"


@valueclass
class Crypto:
    """One ``a=crypto``: a suite and the keys with which its author sends.

    Where a peer lists several keys, ``key``, ``lifetime`` and ``mki`` are those of the first. Neither
    ``repr()`` nor an error of the parser shows a key.
    """

    tag: int  # 0 .. 999999999; an answer repeats the tag of what it accepts
    suite: str  # key of SUITES, or one we do not know
    key: bytes = field(repr=False)  # master key, then master salt
    lifetime: int | None = None  # packets
    mki: Mki | None = None
    parameters: tuple[str, ...] = ()  # session parameters in order, uninterpreted
    padding: bool = field(default=False, compare=False)  # whether ``=`` ends the base64 text
    _text: str = field(default="", init=False, repr=False, compare=False)

    @classmethod
    def parse(cls, value: str) -> Crypto:
        """Reads what follows ``a=crypto:``; ``str()`` gives it back.

        The base64 text may lack its padding. Raises SdpError, also where the key has not the length that
        its suite needs; a suite that is not in SUITES may have a key of any length.
        """
        match = _CRYPTO.fullmatch(value.strip())
        if match is None:
            raise _malformed("not a tag, a suite and a key", value)
        tag, suite, keys, rest = match.groups()
        inline = _INLINE.match(keys)
        if inline is None or keys[inline.end() : inline.end() + 1] not in ("", ";"):
            raise _malformed("a key that is not inline:", value)
        known = SUITES.get(suite.upper())
        key = _key(inline[1], known, value)
        lifetime, mki = _lifetime_and_mki(inline[3], value)
        if mki is None and len(keys) > inline.end():
            raise _malformed("several keys and no MKI to tell them apart", value)
        name, parameters = known.name if known else suite, tuple(rest.split()) if rest else ()
        found = cls(int(tag), name, key, lifetime, mki, parameters, bool(inline[2]))
        object.__setattr__(found, "_text", value)
        return found

    @property
    def supported(self) -> bool:
        """Whether we can send and receive so: the suite, and every parameter that is not optional (``-``).

        Packets with an MKI are beyond us, so a line that asks for one is not (RFC 4568, section 5.1.2).
        """
        known = SUITES.get(self.suite)
        if known is None or not known.supported or self.mki is not None:
            return False
        return all(map(_understood, self.parameters))

    def __str__(self) -> str:
        if self._text:
            return self._text
        encoded = base64.b64encode(self.key).decode()
        inline = f"inline:{encoded if self.padding else encoded.rstrip('=')}"
        if self.lifetime is not None:
            inline += f"|{_power(self.lifetime)}"
        if self.mki is not None:
            inline += f"|{self.mki}"
        return " ".join((str(self.tag), self.suite, inline, *self.parameters))


def read(media: Media) -> tuple[Crypto, ...]:
    """The media's ``a=crypto`` lines that can be read, in order (the author's preference).

    Others are as if they were not there (RFC 4568, section 5.1.2).
    """
    found = []
    for value in media.attributes("crypto"):
        try:
            found.append(Crypto.parse(value))
        except SdpError:
            continue
    return tuple(found)


def _malformed(message: str, value: str) -> SdpError:
    """Names the line up to its suite: what follows is secret."""
    shown = " ".join(_SECRET.split(value, maxsplit=1)[0].split()[:2])
    return SdpError(f"a=crypto with {message}", f"a=crypto:{shown[:60]}")


def _key(text: str, suite: Suite | None, value: str) -> bytes:
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        raise _malformed("a key that is not base64", value) from None
    if suite is not None and len(key) != suite.length:
        raise _malformed(f"a key of {len(key)} bytes instead of {suite.length}", value)
    return key


def _lifetime_and_mki(text: str, value: str) -> tuple[int | None, Mki | None]:
    """``|2^20|1:4``, and either part alone (RFC 4568, section 6.1)."""
    parts: list[str] = [part for part in text.split("|") if part]
    lifetime = _lifetime(parts.pop(0), value) if parts and ":" not in parts[0] else None
    mki = _mki(parts.pop(0), value) if parts else None
    if parts:
        raise _malformed("more than a lifetime and an MKI", value)
    return lifetime, mki


def _lifetime(text: str, value: str) -> int:
    match = _LIFETIME.fullmatch(text)
    if match is None:
        raise _malformed("a lifetime that is no number", value)
    return 2 ** int(match[1]) if match[1] else int(match[2])


def _mki(text: str, value: str) -> Mki:
    match = _MKI.fullmatch(text)
    if match is None:
        raise _malformed("an MKI that is not value:length", value)
    mki = Mki(int(match[1]), int(match[2]))
    if not 1 <= mki.length <= 128 or mki.value >= 256**mki.length:
        raise _malformed("an MKI out of range", value)
    return mki


def _power(number: int) -> str:
    """``2^31`` where it is one."""
    return f"2^{number.bit_length() - 1}" if number.bit_count() == 1 else str(number)


def _understood(parameter: str) -> bool:
    return parameter in UNDERSTOOD or parameter.startswith(("-", "WSH="))
