"""STUN Binding messages (RFC 8489) with the attributes of ICE (RFC 8445, section 7.1).

Reading is done by aioice behind a guard: lengths and bounds are checked first,
what aioice passes over (unknown attributes that must be understood, attributes
that come twice) is looked at, and whatever it raises becomes ``StunError``.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from aioice import stun as aioice_stun

Address: TypeAlias = tuple[str, int]
"""Numeric IP address (no brackets, no scope) and port."""

COOKIE = b"\x21\x12\xa4\x42"
HEADER = 20
MAX_LENGTH = 1500
"""A check is sent in one packet, before the path MTU is known."""
BINDING = 0x0001


class Class(enum.IntEnum):
    """What a message is, as it stands in the type of a Binding message."""

    REQUEST = 0x0001
    INDICATION = 0x0011
    SUCCESS = 0x0101
    ERROR = 0x0111


class Attribute(enum.IntEnum):
    """The attributes that we read or write."""

    MAPPED_ADDRESS = 0x0001
    USERNAME = 0x0006
    MESSAGE_INTEGRITY = 0x0008
    ERROR_CODE = 0x0009
    UNKNOWN_ATTRIBUTES = 0x000A
    REALM = 0x0014
    NONCE = 0x0015
    MESSAGE_INTEGRITY_SHA256 = 0x001C
    XOR_MAPPED_ADDRESS = 0x0020
    PRIORITY = 0x0024
    USE_CANDIDATE = 0x0025
    FINGERPRINT = 0x8028
    ICE_CONTROLLED = 0x8029
    ICE_CONTROLLING = 0x802A


_UNDERSTOOD = frozenset(Attribute)
MAX_LISTED = 8
"""Unknown attributes that an error response names."""


class StunError(ValueError):
    """Not a Binding message that we can use. ``reason`` is one of a few words, to count by."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Message:
    """A Binding message whose form is right; ``is_signed_with`` tells whether to believe it."""

    type: Class
    transaction: bytes
    attributes: dict[str, Any]
    """By their names in the RFCs: text, integers, addresses; USE-CANDIDATE is None if it is there."""
    unknown: tuple[int, ...]
    """Attributes that must be understood and are not."""
    length: int
    """Bytes of the datagram."""
    _parsed: aioice_stun.Message = field(repr=False)

    def is_signed_with(self, key: bytes) -> bool:
        """Whether MESSAGE-INTEGRITY is there and was made with ``key``; takes the same time either way."""
        return self._parsed.check_message_integrity(key)

    @property
    def username(self) -> tuple[str, str] | None:
        """The ufrags of the receiver and of the sender; None if that is not what the USERNAME holds."""
        receiver, colon, sender = self.attributes.get("USERNAME", "").partition(":")
        return (receiver, sender) if colon else None

    @property
    def error(self) -> int | None:
        code: tuple[int, str] | None = self.attributes.get("ERROR-CODE")
        return code[0] if code else None


def is_stun(datagram: bytes) -> bool:
    """Whether to look at ``datagram`` as STUN: the first bits, the cookie and the length are right."""
    return (
        len(datagram) >= HEADER
        and datagram[0] < 4
        and datagram[4:8] == COOKIE
        and len(datagram) % 4 == 0
        and int.from_bytes(datagram[2:4], "big") == len(datagram) - HEADER
    )


def parse(datagram: bytes) -> Message:
    """The Binding message in ``datagram``; a FINGERPRINT is verified. Raises ``StunError``."""
    if not is_stun(datagram) or len(datagram) > MAX_LENGTH:
        raise StunError("not stun")
    try:
        type = Class(int.from_bytes(datagram[:2], "big"))
    except ValueError:
        raise StunError("not a binding") from None
    unknown = _unknown_attributes(datagram)
    try:
        parsed = aioice_stun.parse_message(datagram)
    except Exception as error:  # struct.error, ValueError, and what later versions may raise
        raise StunError("malformed") from error
    return Message(type, datagram[8:HEADER], parsed.attributes, unknown, len(datagram), parsed)


def _unknown_attributes(datagram: bytes) -> tuple[int, ...]:
    """Walks all attributes; what follows the integrity is nobody's word, and not looked at (14.5)."""
    seen: set[int] = set()
    unknown: list[int] = []
    position = HEADER
    while position < len(datagram):
        type, length = struct.unpack_from("!HH", datagram, position)
        position += 4 + length + -length % 4
        if position > len(datagram):
            raise StunError("malformed")
        if Attribute.MESSAGE_INTEGRITY in seen:
            continue
        if type in seen:
            raise StunError("attribute twice")
        seen.add(type)
        if type < 0x8000 and type not in _UNDERSTOOD:
            unknown.append(type)
    return tuple(unknown)


def request(
    transaction: bytes,
    username: str,
    key: bytes,
    priority: int,
    tie_breaker: int,
    controlling: bool,
    nominate: bool,
) -> bytes:
    """A connectivity check. ``username`` is "receiver:sender", ``key`` the receiver's."""
    role = Attribute.ICE_CONTROLLING if controlling else Attribute.ICE_CONTROLLED
    attributes = [
        (Attribute.USERNAME, username.encode("utf-8", "surrogateescape")),
        (Attribute.PRIORITY, struct.pack("!I", priority)),
        (role, struct.pack("!Q", tie_breaker)),
    ]
    if nominate:
        attributes.append((Attribute.USE_CANDIDATE, b""))
    return _write(Class.REQUEST, transaction, attributes, key)


def success(to: Message, mapped: Address, key: bytes) -> bytes:
    """The answer to a request that came from ``mapped`` and was signed with ``key``."""
    value = aioice_stun.pack_xor_address(mapped, to.transaction)
    return _write(Class.SUCCESS, to.transaction, [(Attribute.XOR_MAPPED_ADDRESS, value)], key)


def failure(to: Message, code: int, key: bytes | None) -> bytes:
    """An error response, without reason phrase so that it stays smaller than any request; 401 has no key."""
    attributes = [(Attribute.ERROR_CODE, struct.pack("!HBB", 0, code // 100, code % 100))]
    if code == 420:
        listed = to.unknown[:MAX_LISTED]
        attributes.append((Attribute.UNKNOWN_ATTRIBUTES, struct.pack(f"!{len(listed)}H", *listed)))
    return _write(Class.ERROR, to.transaction, attributes, key)


def _write(
    type: Class, transaction: bytes, attributes: Iterable[tuple[Attribute, bytes]], key: bytes | None
) -> bytes:
    data = struct.pack("!HH4s12s", type, 0, COOKIE, transaction)
    for attribute, value in attributes:
        data += _packed(attribute, value)
    if key is not None:
        data += _packed(Attribute.MESSAGE_INTEGRITY, aioice_stun.message_integrity(data, key))
    fingerprint = aioice_stun.message_fingerprint(data)
    data += _packed(Attribute.FINGERPRINT, struct.pack("!I", fingerprint))
    return aioice_stun.set_body_length(data, len(data) - HEADER)


def _packed(attribute: Attribute, value: bytes) -> bytes:
    return struct.pack("!HH", attribute, len(value)) + value + bytes(-len(value) % 4)
