from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import ClientSession

from relay.control.http import HttpServer, start

Visit = Callable[[ClientSession, str], Awaitable[None]]


def render(accept: str) -> tuple[str, bytes]:
    return "text/plain; version=0.0.4; charset=utf-8", f"# for {accept}\n".encode()


def served(visit: Visit) -> None:
    """Run a visit to a server on a free port."""

    async def run() -> None:
        server = await start([("127.0.0.1", 0)], render)
        try:
            async with ClientSession() as client:
                await visit(client, root(server))
        finally:
            await server.stop()

    asyncio.run(run())


def root(server: HttpServer) -> str:
    host, port = server.addresses[0]
    return f"http://{host}:{port}"


def test_ping_is_answered_as_rtpengine_does() -> None:
    async def visit(client: ClientSession, url: str) -> None:
        async with client.get(f"{url}/ping") as response:
            assert (response.status, await response.text()) == (200, "pong\n")
            assert response.content_type == "text/plain"

    served(visit)


def test_metrics_are_rendered_for_the_accept_header() -> None:
    async def visit(client: ClientSession, url: str) -> None:
        async with client.get(f"{url}/metrics", headers={"Accept": "text/x"}) as response:
            assert (response.status, await response.text()) == (200, "# for text/x\n")
            assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"

    served(visit)


def test_other_paths_are_not_found() -> None:
    async def visit(client: ClientSession, url: str) -> None:
        async with client.get(f"{url}/ng") as response:
            assert response.status == 404

    served(visit)


def test_a_taken_port_is_an_error_and_leaves_nothing_open() -> None:
    async def run() -> None:
        first = await start([("127.0.0.1", 0)], render)
        taken = first.addresses[0]
        with pytest.raises(OSError, match="in use"):
            await start([("127.0.0.1", 0), taken], render)
        await first.stop()
        again = await start([taken], render)
        await again.stop()

    asyncio.run(run())
