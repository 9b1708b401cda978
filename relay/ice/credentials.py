"""The short-term credentials of one ICE agent (RFC 8445, section 5.3)."""

from __future__ import annotations

import secrets
import string
from collections.abc import Callable
from dataclasses import dataclass, field

ICE_CHARS = string.ascii_letters + string.digits
"""``ice-char`` without "+" and "/": like rtpengine's, they pass through every SDP parser."""
UFRAG_LENGTH = 8
PWD_LENGTH = 26
"""155 bits; the RFC asks for 128."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """``a=ice-ufrag`` and ``a=ice-pwd``."""

    ufrag: str
    pwd: str = field(repr=False)

    @property
    def key(self) -> bytes:
        """The key of MESSAGE-INTEGRITY in what this agent receives."""
        return self.pwd.encode("utf-8", "surrogateescape")


def new(randbelow: Callable[[int], int] = secrets.randbelow) -> Credentials:
    """Credentials for one generation; ``randbelow`` picks a number from 0 on, and is asked once."""
    number = randbelow(len(ICE_CHARS) ** (UFRAG_LENGTH + PWD_LENGTH))
    characters = []
    for _ in range(UFRAG_LENGTH + PWD_LENGTH):
        number, digit = divmod(number, len(ICE_CHARS))
        characters.append(ICE_CHARS[digit])
    text = "".join(characters)
    return Credentials(text[:UFRAG_LENGTH], text[UFRAG_LENGTH:])
