"""HTTP for operators: ``/ping`` says that the relay lives, ``/metrics`` how it does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from aiohttp import web

from relay.forward.rule import Address


@dataclass(frozen=True, slots=True)
class HttpServer:
    """A server that is running."""

    runner: web.AppRunner

    @property
    def addresses(self) -> list[Address]:
        """Where it listens; the real ports where 0 was asked for."""
        return [address[:2] for address in self.runner.addresses]

    async def stop(self) -> None:
        """Close the sockets."""
        await self.runner.cleanup()


async def start(listen: Iterable[Address], render: Callable[[str], tuple[str, bytes]]) -> HttpServer:
    """Serve on these addresses in the running loop. Raises ``OSError`` if one cannot be had.

    ``render`` turns the Accept header of a scrape into a content type and the metrics.
    """
    app = web.Application()
    app.router.add_get("/ping", _ping)
    app.router.add_get("/metrics", _metrics(render))
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    try:
        for host, port in listen:
            await web.TCPSite(runner, host, port).start()
    except OSError:
        await runner.cleanup()
        raise
    return HttpServer(runner)


async def _ping(_request: web.Request) -> web.Response:
    return web.Response(text="pong\n")


def _metrics(
    render: Callable[[str], tuple[str, bytes]],
) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def metrics(request: web.Request) -> web.Response:
        content_type, page = render(request.headers.get("Accept", ""))
        return web.Response(body=page, headers={"Content-Type": content_type})

    return metrics
