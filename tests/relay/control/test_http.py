from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import ClientSession

from relay.control.http import Desk, HttpServer, start
from relay.memory.advice import AdviceError
from relay.memory.feedback import LARGEST, FeedbackError

Visit = Callable[[ClientSession, str], Awaitable[None]]


def render(accept: str) -> tuple[str, bytes]:
    return "text/plain; version=0.0.4; charset=utf-8", f"# for {accept}\n".encode()


def served(visit: Visit, feedback: Desk | None = None) -> None:
    """Run a visit to a server on a free port."""

    async def run() -> None:
        server = await start([("127.0.0.1", 0)], render, feedback)
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


# Feedback of apps.

PATH = "/v1/ice/feedback"
TOKEN = b"a-token-of-the-operator"
AUTHORIZED = {"Authorization": f"Bearer {TOKEN.decode()}"}


def desk(*errors: FeedbackError | AdviceError) -> tuple[Desk, list[object]]:
    """A desk that raises ``errors`` one after the other, and what it was told."""
    told: list[object] = []
    left = list(errors)

    def take(body: object) -> None:
        told.append(body)
        if left:
            raise left.pop(0)

    def advise(body: object) -> dict[str, object]:
        take(body)
        return {"policy": "relay", "turn": ["turn:turn.example.org"]}

    return Desk(TOKEN, take, advise), told


def test_feedback_with_the_token_is_taken() -> None:
    feedback, told = desk()

    async def visit(client: ClientSession, url: str) -> None:
        async with client.post(url + PATH, json={"ok": True}, headers=AUTHORIZED) as response:
            assert (response.status, await response.json()) == (200, {"result": "ok"})

    served(visit, feedback)
    assert told == [b'{"ok": true}']


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer other"}, {"Authorization": TOKEN.decode()}, {"X-Token": "x"}]
)
def test_without_the_token_nobody_is_listened_to(headers: dict[str, str]) -> None:
    feedback, told = desk()

    async def visit(client: ClientSession, url: str) -> None:
        async with client.post(url + PATH, json={"ok": True}, headers=headers) as response:
            assert response.status == 401
            assert (await response.json())["error-reason"] == "the token is missing or wrong"

    served(visit, feedback)
    assert told == []


@pytest.mark.parametrize("body", [b"x" * (LARGEST + 1), b'{"ok":"' + b"y" * LARGEST + b'"}'])
def test_a_body_that_is_too_large_is_refused(body: bytes) -> None:
    feedback, told = desk()

    async def visit(client: ClientSession, url: str) -> None:
        async with client.post(url + PATH, data=body, headers=AUTHORIZED) as response:
            assert response.status == 413

    served(visit, feedback)
    assert told == []


@pytest.mark.parametrize("status", [400, 404, 409, 429])
def test_why_feedback_was_not_used_is_said(status: int) -> None:
    feedback, _ = desk(FeedbackError("because", status))

    async def visit(client: ClientSession, url: str) -> None:
        async with client.post(url + PATH, json={}, headers=AUTHORIZED) as response:
            assert (response.status, (await response.json())["error-reason"]) == (status, "because")
            assert (response.headers.get("Retry-After") == "1") is (status == 429)

    served(visit, feedback)


def test_without_a_token_in_the_configuration_there_is_no_such_page() -> None:
    async def visit(client: ClientSession, url: str) -> None:
        async with client.post(url + PATH, json={}, headers=AUTHORIZED) as response:
            assert response.status == 404

    served(visit)


# Advice for apps.

ADVICE = "/v1/ice/advice"


def test_a_question_with_the_token_is_answered() -> None:
    advice, told = desk()

    async def visit(client: ClientSession, url: str) -> None:
        async with client.post(url + ADVICE, json={"network": "cafe"}, headers=AUTHORIZED) as response:
            assert response.status == 200
            # One line, so that it fits into a SIP header.
            assert await response.text() == '{"policy": "relay", "turn": ["turn:turn.example.org"]}'

    served(visit, advice)
    assert told == [b'{"network": "cafe"}']


def test_without_the_token_nobody_is_advised() -> None:
    advice, told = desk()

    async def visit(client: ClientSession, url: str) -> None:
        async with client.post(url + ADVICE, json={"network": "cafe"}) as response:
            assert response.status == 401
        async with client.post(url + ADVICE, data=b"x" * (LARGEST + 1), headers=AUTHORIZED) as response:
            assert response.status == 413
        async with client.get(f"{url}{ADVICE}?network=cafe", headers=AUTHORIZED) as response:
            assert response.status == 405

    served(visit, advice)
    assert told == []


@pytest.mark.parametrize("status", [400, 429])
def test_why_a_question_was_not_answered_is_said(status: int) -> None:
    advice, _ = desk(AdviceError("because", status))

    async def visit(client: ClientSession, url: str) -> None:
        async with client.post(url + ADVICE, json={}, headers=AUTHORIZED) as response:
            assert (response.status, (await response.json())["error-reason"]) == (status, "because")
            assert (response.headers.get("Retry-After") == "1") is (status == 429)

    served(visit, advice)
