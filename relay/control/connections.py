"""Connections to the HTTP port: only so many, and each has to ask for something soon.

Whoever connects and says nothing, or begins a request and never ends it, holds
a descriptor, and calls need those.
"""

from __future__ import annotations

import asyncio
import logging
from typing import cast

log = logging.getLogger("icerelay.http")

MOST = 128
"""Connections at a time: some Prometheus servers, and apps that ask once in a call."""
WITHIN = 10.0
"""Seconds to a complete request, and from its answer to the next one."""


class Connections:
    """All of one HTTP server."""

    def __init__(self) -> None:
        self._open: dict[asyncio.BaseTransport, asyncio.TimerHandle] = {}
        self._told = False

    def watched(self, inner: asyncio.Protocol) -> asyncio.Protocol:
        """The protocol of a new connection, which ``inner`` serves."""
        return _Watched(self, inner)

    def opened(self, transport: asyncio.Transport) -> bool:
        """Whether there is room for one more; else it is closed."""
        if len(self._open) >= MOST:
            if not self._told:
                self._told = True
                log.warning("%d connections to the HTTP port are open: further ones are closed", MOST)
            transport.abort()
            return False
        self._wait(transport)
        return True

    def answered(self, transport: asyncio.BaseTransport | None) -> None:
        """A complete request was answered: the next one has its own time."""
        timer = self._open.get(transport) if transport is not None else None
        if timer is not None:
            timer.cancel()
            self._wait(cast("asyncio.Transport", transport))

    def closed(self, transport: asyncio.BaseTransport) -> None:
        """It is gone."""
        timer = self._open.pop(transport, None)
        if timer is not None:
            timer.cancel()

    def _wait(self, transport: asyncio.Transport) -> None:
        self._open[transport] = asyncio.get_running_loop().call_later(WITHIN, self._give_up, transport)

    @staticmethod
    def _give_up(transport: asyncio.Transport) -> None:
        if transport.get_write_buffer_size():
            transport.abort()  # its peer does not read what it asked for
        else:
            transport.close()


class _Watched(asyncio.Protocol):
    """Hands everything on."""

    def __init__(self, connections: Connections, inner: asyncio.Protocol) -> None:
        self._connections = connections
        self._inner = inner
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        stream = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        if self._connections.opened(stream):
            self._transport = stream
            self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._transport is not None:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received() if self._transport is not None else None

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def connection_lost(self, error: Exception | None) -> None:
        if self._transport is not None:
            self._connections.closed(self._transport)
            self._inner.connection_lost(error)
