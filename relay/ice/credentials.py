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


def new(random: Callable[[str], str] = secrets.choice) -> Credentials:
    """Credentials for one generation; ``random`` picks one character of a string."""
    return Credentials(
        ufrag="".join(random(ICE_CHARS) for _ in range(UFRAG_LENGTH)),
        pwd="".join(random(ICE_CHARS) for _ in range(PWD_LENGTH)),
    )
