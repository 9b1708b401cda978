"""Whatever an app posts, it is told what is wrong with it, and that is counted."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import json
import logging
import socket
import threading
import zlib
from collections.abc import Iterator
from concurrent.futures import Future

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from relay.config import Interface, Settings
from relay.control import http as serving
from relay.daemon.remembering import Remembering
from relay.memory import advice, feedback

TOKEN = "a-token-of-the-operator"
FEEDBACK, ADVICE = "/v1/ice/feedback", "/v1/ice/advice"
REFUSALS = {400, 404, 409, 413}


class Site:
    """A server as the daemon has it, in a thread, and a connection to it."""

    def __init__(self, directory: str) -> None:
        interface = Interface("default", "192.0.2.1", "192.0.2.1")
        self.memory = Remembering(Settings((interface,), memory=f"{directory}/memory.db"))
        self._started: Future[serving.HttpServer] = Future()
        self._thread = threading.Thread(target=asyncio.run, args=(self._serve(),))
        self._thread.start()
        self.address = self._started.result(10).addresses[0]
        self.client = http.client.HTTPConnection(*self.address, timeout=10)

    async def _serve(self) -> None:
        counts, self._stopped, self._loop = self.memory.counts, asyncio.Event(), asyncio.get_running_loop()
        desk = serving.Desk(
            TOKEN.encode(),
            lambda body: self.memory.feedback(body, lambda call_id: None),
            self.memory.advise,
            counts.feedback,
            counts.advice_refused,
        )
        server = await serving.start([("127.0.0.1", 0)], lambda accept: ("text/plain", b""), desk)
        self._started.set_result(server)
        await self._stopped.wait()
        await server.stop()

    def stop(self) -> None:
        self.client.close()
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()
        self.memory.stop()

    def post(self, path: str, body: bytes, headers: dict[str, str] | None = None) -> tuple[int, str]:
        """Status and reason."""
        self.client.request(
            "POST", path, body, {"Authorization": f"Bearer {TOKEN}", **(headers or {})}, encode_chunked=True
        )
        response = self.client.getresponse()
        said = response.read()
        if response.status == 413:
            self.client.close()  # the rest of the body is nobody's business
        return response.status, str(json.loads(said).get("error-reason"))

    def counted(self, path: str, status: int) -> int:
        counts = self.memory.counts
        return (counts.feedback if path == FEEDBACK else counts.advice_refused)[str(status)]

    def open(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=10)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(str(tmp_path_factory.mktemp("memory")))
    yield site
    site.stop()


@pytest.fixture
def site(running: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Site]:
    """There is room for everybody, and nothing is the relay's own fault."""
    monkeypatch.setattr(feedback, "RATE", 1e9)
    monkeypatch.setattr(advice, "RATE", 1e9)
    with caplog.at_level(logging.WARNING):
        yield running
    assert caplog.messages == []


NO_JSON = {
    "nothing": b"",
    "half of it": b"{",
    "a thousand brackets": b"[" * 1000,
    "two thousand objects": b'{"":' * 500,
    "no UTF-8": b"\xff\xfe",
    "no UTF-8 in a string": b'{"network": "\xff"}',
    "half of a surrogate pair": b'{"network": "\\ud800"}',
    "a number beyond all": b'{"ms": 1e999}',
    "NaN": b'{"ms": NaN}',
    "zeroes": b"\0" * 100,
}


@pytest.mark.parametrize("path", [FEEDBACK, ADVICE])
@pytest.mark.parametrize("kind", NO_JSON)
def test_a_body_that_is_no_json_is_refused_and_counted(site: Site, path: str, kind: str) -> None:
    before = site.counted(path, 400)
    assert site.post(path, NO_JSON[kind]) == (400, "the body is not JSON")
    assert site.counted(path, 400) == before + 1


@pytest.mark.parametrize("path", [FEEDBACK, ADVICE])
def test_bad_bodies_are_refused_before_they_are_looked_at_when_there_are_too_many(
    site: Site, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    for module in (feedback, advice):
        monkeypatch.setattr(module, "BURST", 0.0)
        monkeypatch.setattr(module, "RATE", 0.0)
    before = site.counted(path, 429)
    assert site.post(path, b"[" * 1000)[0] == 429
    assert site.counted(path, 429) == before + 1


@pytest.mark.parametrize("path", [FEEDBACK, ADVICE])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_giant_body_is_refused_and_counted(site: Site, path: str, chunked: bool) -> None:
    before = site.counted(path, 413)
    headers = {"Transfer-Encoding": "chunked"} if chunked else {}
    assert site.post(path, b"x" * 60_000, headers) == (413, "at most 2048 bytes")
    assert site.counted(path, 413) == before + 1


@pytest.mark.parametrize("path", [FEEDBACK, ADVICE])
def test_without_the_token_nothing_is_read_and_it_is_counted(site: Site, path: str) -> None:
    before = site.counted(path, 401)
    assert site.post(path, b"[" * 1000, {"Authorization": "Bearer other"})[0] == 401
    assert site.counted(path, 401) == before + 1


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ("Content-Encoding: gzip", b"no gzip", 400),
        ("Content-Encoding: deflate", b"\xff", 400),
        ("Content-Encoding: gzip", gzip.compress(b" " * 10_000_000), 413),
        ("Content-Encoding: deflate", zlib.compress(b"[" * 1000), 400),
        ("Content-Encoding: x-unknown", b"[]", 400),
        ("Transfer-Encoding: chunked", b"no chunk\r\n", 400),
        ("Transfer-Encoding: chunked", b"2\r\n[]\r\nffffffffffffffffff\r\n", 400),
        ("Content-Length: -1", b"", 400),
    ],
)
@pytest.mark.parametrize("path", [FEEDBACK, ADVICE])
def test_a_body_that_cannot_be_unpacked_is_refused(
    site: Site, path: str, headers: str, body: bytes, status: int
) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n{headers}\r\n"
    length = f"Content-Length: {len(body)}\r\n" if "Encoding" in headers and "chunk" not in headers else ""
    with site.open() as app:
        app.sendall(f"{head}{length}\r\n".encode() + body)
        reply = app.makefile("rb").readline()
    assert int(reply.split()[1]) == status


@pytest.mark.parametrize("path", [FEEDBACK, ADVICE])
def test_a_body_that_does_not_come_is_not_waited_for(
    site: Site, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(serving, "PATIENCE", 0.05)
    before = site.counted(path, 408)
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 9\r\n\r\n{{"
    with site.open() as app:
        app.sendall(head.encode())
        response = http.client.HTTPResponse(app)
        response.begin()
        assert response.status == 408
        assert json.loads(response.read())["error-reason"] == "the body takes more than 0.05 s"
    assert site.counted(path, 408) == before + 1


@pytest.mark.parametrize("path", [FEEDBACK, ADVICE])
def test_an_app_that_leaves_in_the_middle_harms_nobody(site: Site, path: str) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 9\r\n\r\n{{"
    with site.open() as app:
        app.sendall(head.encode())
    assert site.post(path, b"{")[0] == 400


WORDS = [
    "call-id", "tag", "network", "ok", "kind", "wifi/cell", "ms", "lost", "rtt", "user-agent",
    "received-from", "sip-transport",
]  # fmt: skip
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**300, -(10**300), 2**64, -1, 101]),
    st.floats(),
    st.text(max_size=80),
    st.sampled_from(["yes", "udp", "wifi", "::", "fe80::1%eth0", "::ffff:192.0.2.1", "1e999", "x" * 300]),
)  # fmt: skip
ANYTHING = st.recursive(
    VALUES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)
DEEP = st.integers(1, 950).map(lambda depth: "[" * depth + "]" * depth)
BODIES = st.one_of(
    st.binary(max_size=300),
    ANYTHING.map(lambda value: json.dumps(value).encode()),
    st.dictionaries(st.sampled_from(WORDS), ANYTHING, max_size=12).map(
        lambda body: json.dumps(body).encode()
    ),
    st.tuples(st.sampled_from(WORDS), DEEP).map(
        lambda one: f'{{"call-id":"1","tag":"1","{one[0]}":{one[1]}}}'.encode()
    ),
    st.tuples(st.sampled_from(WORDS), st.binary(max_size=20)).map(
        lambda one: b'{"call-id":"1","tag":"1","ok":1,"' + one[0].encode() + b'":"' + one[1] + b'"}'
    ),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(path=st.sampled_from([FEEDBACK, ADVICE]), body=BODIES)
@example(path=FEEDBACK, body=b'{"call-id":"1","tag":"1","ok":' + b"[" * 900 + b"]" * 900 + b"}")
@example(path=ADVICE, body=b'{"received-from":"fe80::1%eth0"}')
def test_no_body_is_a_fault_of_the_relay(site: Site, path: str, body: bytes) -> None:
    status, reason = site.post(path, body)
    assert status in REFUSALS | {200}, reason


@pytest.mark.parametrize("path", [FEEDBACK, ADVICE])
def test_no_depth_is_a_fault_of_the_relay(site: Site, path: str) -> None:
    """Where decoding just succeeds, the next step must not fail."""
    for depth in range(800, 1000):
        body = b'{"call-id":"1","tag":"1","ok":' + b"[" * depth + b"]" * depth + b"}"
        status, reason = site.post(path, body)
        assert status in REFUSALS | {200}, (depth, reason)
