"""HTTP: ``/ping`` says that the relay lives, ``/metrics`` how it does; apps tell of calls, and are advised.

``POST /v1/ice/feedback`` and ``POST /v1/ice/advice`` need ``Authorization: Bearer`` with the operator's
token. Advice is no GET: a URL ends in somebody's log, and ids of networks are nobody's business.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from hmac import compare_digest

from aiohttp import web
from aiohttp.typedefs import Middleware

from relay.control.connections import Connections
from relay.forward.rule import Address
from relay.memory.advice import AdviceError
from relay.memory.feedback import LARGEST, FeedbackError

PATIENCE = 5.0
"""Seconds that a body may take: it fits two packets."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class HttpServer:
    """A server that is running."""

    runner: web.AppRunner
    servers: list[asyncio.Server]

    @property
    def addresses(self) -> list[Address]:
        """Where it listens; the real ports where 0 was asked for."""
        return [sock.getsockname()[:2] for server in self.servers for sock in server.sockets]

    async def stop(self) -> None:
        """Close the sockets."""
        for server in self.servers:
            server.close()
        await self.runner.cleanup()


@dataclass(frozen=True, slots=True)
class Desk:
    """Where apps, and proxies for them, are listened to."""

    token: bytes
    take: Callable[[bytes], None]
    """Takes feedback in JSON; raises ``FeedbackError``."""
    advise: Callable[[bytes], Mapping[str, object]]
    """Answers a question in JSON; raises ``AdviceError``."""
    feedback_refused: Counter[str] = field(default_factory=Counter)
    """What did not get as far, by status."""
    advice_refused: Counter[str] = field(default_factory=Counter)


async def start(
    listen: Iterable[Address],
    render: Callable[[str], tuple[str, bytes]],
    desk: Desk | None = None,
) -> HttpServer:
    """Serve on these addresses in the running loop. Raises ``OSError`` if one cannot be had.

    ``render`` turns the Accept header of a scrape into a content type and the metrics.
    Without ``desk``, nobody listens to apps.
    """
    connections = Connections()
    app = web.Application(client_max_size=LARGEST, middlewares=[_renewing(connections)])
    app.router.add_get("/ping", _ping)
    app.router.add_get("/metrics", _metrics(render))
    if desk is not None:
        taking = _answering(desk.token, _taking(desk.take), desk.feedback_refused)
        app.router.add_post("/v1/ice/feedback", taking)
        app.router.add_post("/v1/ice/advice", _answering(desk.token, desk.advise, desk.advice_refused))
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    assert runner.server is not None
    make, running = runner.server, HttpServer(runner, [])
    try:
        for host, port in listen:
            server = await asyncio.get_running_loop().create_server(
                lambda: connections.watched(make()), host, port
            )
            running.servers.append(server)
    except OSError:
        await running.stop()
        raise
    return running


def _renewing(connections: Connections) -> Middleware:
    """Whoever asked for something, for what there is or not, may ask for more."""

    @web.middleware
    async def renewing(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        finally:
            connections.answered(request.transport)

    return renewing


async def _ping(_request: web.Request) -> web.Response:
    return web.Response(text="pong\n")


def _metrics(
    render: Callable[[str], tuple[str, bytes]],
) -> Handler:
    async def metrics(request: web.Request) -> web.Response:
        content_type, page = render(request.headers.get("Accept", ""))
        return web.Response(body=page, headers={"Content-Type": content_type})

    return metrics


def _taking(take: Callable[[bytes], None]) -> Callable[[bytes], Mapping[str, object]]:
    def taken(body: bytes) -> Mapping[str, object]:
        take(body)
        return {"result": "ok"}

    return taken


def _answering(
    token: bytes, answer: Callable[[bytes], Mapping[str, object]], refused: Counter[str]
) -> Handler:
    wanted = b"Bearer " + token

    async def handle(request: web.Request) -> web.Response:
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if not compare_digest(given, wanted):
            refused["401"] += 1
            return _refused(401, "the token is missing or wrong", {"WWW-Authenticate": "Bearer"})
        try:
            async with asyncio.timeout(PATIENCE):
                body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            refused["413"] += 1
            return _refused(413, f"at most {LARGEST} bytes")
        except web.RequestPayloadError:  # chunks, or a compression, that are none
            refused["400"] += 1
            return _refused(400, "the body cannot be read", {"Connection": "close"})
        except TimeoutError:
            refused["408"] += 1
            return _refused(408, f"the body takes more than {PATIENCE:g} s", {"Connection": "close"})
        try:
            found = answer(body)
        except (FeedbackError, AdviceError) as error:
            later = {"Retry-After": "1"} if error.status == 429 else {}
            return _refused(error.status, error.reason, later)
        return web.json_response(found)

    return handle


def _refused(status: int, reason: str, headers: dict[str, str] | None = None) -> web.Response:
    body = {"result": "error", "error-reason": reason}
    return web.json_response(body, status=status, headers=headers or {})
