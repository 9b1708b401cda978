"""The short-term credentials of one ICE agent (RFC 8445, section 5.3)."""

from __future__ import annotations

import secrets
import string
from collections.abc import Callable
from dataclasses import field

from sdp.values import valueclass

ICE_CHARS = string.ascii_letters + string.digits
"""``ice-char`` without "+" and "/": like rtpengine's, they pass through every SDP parser."""
UFRAG_LENGTH = 8
PWD_LENGTH = 26
"""155 bits; the RFC asks for 128."""


@valueclass
class Credentials:
    """``a=ice-ufrag`` and ``a=ice-pwd``."""

    ufrag: str
    pwd: str = field(repr=False)

    @property
    def key(self) -> bytes:
        """The key of MESSAGE-INTEGRITY in what this agent receives."""
        return self.pwd.encode("utf-8", "surrogateescape")


def new(random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> Credentials:
    """Credentials for one generation; ``random_bytes`` gives so many."""
    text = b""
    while len(text) < UFRAG_LENGTH + PWD_LENGTH:
        text += random_bytes(_ENOUGH).translate(_CHARACTERS, _UNFAIR)
    return Credentials(text[:UFRAG_LENGTH].decode(), text[UFRAG_LENGTH : UFRAG_LENGTH + PWD_LENGTH].decode())


_FAIR = 256 // len(ICE_CHARS) * len(ICE_CHARS)
_UNFAIR = bytes(range(_FAIR, 256))
"""Bytes that are thrown away, so that every character is as likely as the others."""
_CHARACTERS = bytes(ord(ICE_CHARS[byte % len(ICE_CHARS)]) for byte in range(256))
_ENOUGH = 48
"""Bytes asked for at a time: once in a hundred billion times fewer than the 34 that are needed are left."""
