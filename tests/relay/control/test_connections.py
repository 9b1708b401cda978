"""Clients of the HTTP port that connect, and then take their time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from relay.control import connections
from relay.control.http import start
from tests.relay.control.test_http import AUTHORIZED, PATH, desk, render

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
PING = b"GET /ping HTTP/1.1\r\nHost: relay\r\n\r\n"


def visited(visit: Callable[[str, int], Awaitable[None]]) -> None:
    """Run a visit to a server on a free port, on the loop that the daemon has."""

    async def run() -> None:
        server = await start([("127.0.0.1", 0)], render, desk()[0])
        try:
            await visit(*server.addresses[0])
        finally:
            await server.stop()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


async def is_closed(stream: Stream) -> bool:
    """Waits for the end of the connection."""
    with contextlib.suppress(ConnectionResetError):
        await stream[0].read()
    stream[1].close()
    return True


async def pinged(stream: Stream) -> bool:
    reader, writer = stream
    try:
        writer.write(PING)
        head = await reader.readuntil(b"\r\n\r\n")
        return head.startswith(b"HTTP/1.1 200") and await reader.readexactly(5) == b"pong\n"
    except (ConnectionError, asyncio.IncompleteReadError):
        return False


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"GET",
        b"GET /ping HTTP/1.1\r\nHost: relay\r\nX-A: ",
        PING + b"GET /metr",
        f"POST {PATH} HTTP/1.1\r\nHost: relay\r\nAuthorization: {AUTHORIZED['Authorization']}\r\n"
        "Content-Length: 100\r\n\r\n{".encode(),
    ],
)
def test_whoever_does_not_finish_a_request_is_disconnected(
    begun: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "WITHIN", 0.2)

    async def visit(host: str, port: int) -> None:
        stream = await asyncio.open_connection(host, port)
        stream[1].write(begun)
        assert await is_closed(stream)

    visited(visit)


def test_whoever_goes_on_asking_stays_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "WITHIN", 0.5)

    async def visit(host: str, port: int) -> None:
        stream = await asyncio.open_connection(host, port)
        loop = asyncio.get_running_loop()
        until = loop.time() + 1.2
        while loop.time() < until:
            assert await pinged(stream)
            await asyncio.sleep(0.05)
        assert await is_closed(stream)

    visited(visit)


def test_there_are_only_so_many_connections_and_room_again_when_one_has_gone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(connections, "MOST", 3)

    async def visit(host: str, port: int) -> None:
        held = [await asyncio.open_connection(host, port) for _ in range(3)]
        for _ in range(2):
            assert not await pinged(await asyncio.open_connection(host, port))
        assert all([await pinged(stream) for stream in held])
        held[0][1].close()
        await held[0][1].wait_closed()
        while not await pinged(await asyncio.open_connection(host, port)):
            pass
        assert len(caplog.records) == 1

    visited(visit)
