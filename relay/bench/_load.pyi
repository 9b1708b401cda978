"""Native: ext/load.pyx."""

from collections.abc import Sequence
from socket import socket
from typing import Any

from relay.bench.streams import Stream

class Load:
    """Streams between two sockets, and what became of their packets.

    ``size`` octets are 32 .. 1792, with RTP header; ``burst`` packets (1 .. 64) of
    a stream leave at once. ``direct``: the streams go from socket to socket
    without a relay, so that the port they come from says nothing. ``srtp`` has
    the addresses of libsrtp's functions, if a stream names contexts.
    """

    def __init__(
        self,
        sockets: Sequence[socket],
        streams: Sequence[Stream],
        *,
        size: int,
        burst: int,
        payload_type: int,
        direct: bool,
        srtp: Any,
    ) -> None: ...
    def run(self, seconds: float, interval: float) -> dict[str, Any]:
        """Every stream sends a packet or burst per ``interval`` seconds, at its own time in it.

        Returns the fields of ``relay.bench.figures.Traffic`` but for the CPU's.
        Blocks, without the GIL, until all has arrived or nothing comes any more.
        """
