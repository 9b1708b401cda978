"""What an ICE agent wants done: the values that ``relay.ice.agent`` returns."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from relay.ice.stun import Address
from sdp.values import valueclass


class Path(NamedTuple):
    """Between one of our ports and one address of the peer."""

    port: int
    """Handle of the local port."""
    remote: Address


@valueclass
class Send:
    """Output: send this now."""

    path: Path
    datagram: bytes


@valueclass
class Validated:
    """Output, once per path: media may be received here. See ``Agent.validated`` for all of them."""

    path: Path


@valueclass
class Usable:
    """Output, once per path: media may be sent here as long as nothing is selected for the port."""

    path: Path


@valueclass
class Selected:
    """Output: from now on, media of this port is sent here."""

    path: Path


@valueclass
class ConsentLost:
    """Output: nothing may be sent here until the path is selected again. Media is still received."""

    path: Path


@valueclass
class Forgotten:
    """Output: the peer moved away from here, and media is no longer received."""

    path: Path


@valueclass
class Refused:
    """Output: nothing was believed. ``reason`` is one of a few words, to count by."""

    reason: str


Output: TypeAlias = Send | Validated | Usable | Selected | ConsentLost | Forgotten | Refused
