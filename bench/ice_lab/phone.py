"""A phone in its namespace, told by the lab what to do: one line of JSON each way.

    python -m bench.ice_lab.phone aioice
    python -m bench.ice_lab.phone chromium

    {"do": "new", ...}  {"do": "offer"}  {"do": "answer", "sdp": ...}  {"do": "accept", "sdp": ...}
    {"do": "heard", "until": TIME}  {"do": "move", "to": ADDRESS}  {"do": "seen"}  {"do": "end"}

Ends with its standard input. What a call fails with is answered as ``{"error": ...}``.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
import struct
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aioice

from bench.ice_lab.capture import Capture
from bench.ice_lab.descriptions import described, prefer_less, take_over, with_dead
from bench.ice_lab.moved import Moved
from tests.interop.chromium import Chromium, WebPhone

PTIME = 0.020
LOOK = 0.010
"""Seconds between looks whether media has come; when it came the kernel says."""
PCMU = 160
"""Octets, and units of the RTP clock, in a packet."""
AS_WITH_MICROPHONE = ("--disable-features=WebRtcHideLocalIpsWithMdns",)
"""A page that may use the microphone has candidates with addresses, not names."""


@dataclass(frozen=True)
class Wish:
    """What the phone is told before a call.

    Without ``gathers`` it offers at once what it has: its own addresses, or nothing at all
    (a browser). With ``blocked`` it has the TURN server that it reaches nevertheless, and no STUN
    server: an agent waits for it, a browser does not. ``turn`` is how that, or the only TURN server
    that an agent can have, is reached.
    """

    controlling: bool
    dead: int
    gathers: bool
    blocked: bool
    server: str
    turn: tuple[int, str]


class Phone(ABC):
    """One phone, one call after the other."""

    def __init__(self) -> None:
        self.capture: Capture | None = None

    async def new(self, wish: Wish) -> None:
        self.capture = Capture()
        asyncio.get_running_loop().add_reader(self.capture.socket, self.capture.read)
        await self.open(wish)

    async def heard(self, until: float) -> dict[str, Any]:
        """Returns when media came and was taken for it, or at last at that time."""
        assert self.capture is not None
        taken = False
        while time.time() < until and not (self.capture.got and (taken := await self.took_media())):
            await asyncio.sleep(LOOK)
        return {"taken": taken, "why": self.why()}

    def seen(self) -> dict[str, Any]:
        """What passed the interfaces; see ``media.End``."""
        assert self.capture is not None
        self.capture.read()
        return {"checks": self.capture.checks, "sent": self.capture.sent, "got": self.capture.got}

    async def end(self) -> None:
        if self.capture is not None:
            asyncio.get_running_loop().remove_reader(self.capture.socket)
            self.capture.close()
            self.capture = None
        await self.close()

    @abstractmethod
    async def open(self, wish: Wish) -> None: ...

    @abstractmethod
    async def offer(self) -> str: ...

    @abstractmethod
    async def answer(self, sdp: str) -> str: ...

    @abstractmethod
    async def accept(self, sdp: str) -> None: ...

    async def move(self, to: str) -> None:
        """Takes another address in mid-call, as a phone that comes home does."""
        raise NotImplementedError("this phone does not move")

    @abstractmethod
    async def took_media(self) -> bool:
        """What came was taken for media."""

    @abstractmethod
    def why(self) -> str | None:
        """What the phone says of its failure."""

    @abstractmethod
    async def close(self) -> None: ...


def packets(stream: int) -> Iterator[bytes]:
    """RTP with PCMU silence; ``stream`` is its SSRC."""
    for number in itertools.count(1):
        yield (
            struct.pack("!BBHII", 0x80, 0, number & 0xFFFF, number * PCMU & 0xFFFFFFFF, stream)
            + b"\xff" * PCMU
        )


class AioicePhone(Phone):
    """An ICE agent that sends RTP as soon as it is connected."""

    def __init__(self) -> None:
        super().__init__()
        self._agent: aioice.Connection | None = None
        self._moved: Moved | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._took = 0
        self._why: str | None = None

    async def open(self, wish: Wish) -> None:
        servers: dict[str, Any] = {}
        if wish.gathers:
            servers = {"stun_server": (wish.server, 3478)}
        if wish.gathers or wish.blocked:
            servers |= {
                "turn_server": (wish.server, wish.turn[0]),
                "turn_transport": wish.turn[1],
                "turn_username": "lab",
                "turn_password": "lab",
            }
        self._agent = aioice.Connection(ice_controlling=wish.controlling, use_ipv6=False, **servers)
        self._wish, self._took, self._why = wish, 0, None
        self._packets = packets(random.getrandbits(32))

    async def offer(self) -> str:
        assert self._agent is not None
        await self._agent.gather_candidates()
        prefer_less(self._agent.local_candidates)
        return described(self._agent, self._wish.dead)

    async def answer(self, sdp: str) -> str:
        answer = await self.offer()
        await self.accept(sdp)
        return answer

    async def accept(self, sdp: str) -> None:
        assert self._agent is not None
        await take_over(self._agent, sdp)
        self._tasks.append(asyncio.create_task(self._talk(self._agent)))

    async def _talk(self, agent: aioice.Connection) -> None:
        try:
            await agent.connect()
            self._tasks.append(asyncio.create_task(self._listen(agent)))
            while self._moved is None:
                await agent.send(next(self._packets))
                await asyncio.sleep(PTIME)
        except ConnectionError as error:
            self._why = str(error) or type(error).__name__

    async def _listen(self, agent: aioice.Connection) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                self._took += len(await agent.recv()) == 12 + PCMU

    async def move(self, to: str) -> None:
        assert self._agent is not None
        self._moved = await Moved.to(to, self._agent)
        self._tasks.append(asyncio.create_task(self._moved.talk(self._packets, PTIME)))

    async def took_media(self) -> bool:
        return self._took > 0

    def why(self) -> str | None:
        return self._why

    async def close(self) -> None:
        agent, self._agent = self._agent, None
        moved, self._moved = self._moved, None
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if moved is not None:
            moved.close()
        if agent is not None:
            await agent.close()


def _servers(wish: Wish) -> list[dict[str, str | list[str]]]:
    """Those of a browser."""
    everywhere = [(3478, "udp"), (443, "udp"), (443, "tcp")]
    reached = everywhere if wish.gathers else [wish.turn] if wish.blocked else []
    turn = [f"turn:{wish.server}:{port}?transport={kind}" for port, kind in reached]
    found: list[dict[str, str | list[str]]] = []
    if wish.gathers:
        found.append({"urls": f"stun:{wish.server}:3478"})
    if turn:
        found.append({"urls": turn, "username": "lab", "credential": "lab"})
    return found


class BrowserPhone(Phone):
    """A page of headless Chromium; a new one for each call."""

    def __init__(self, profile: Path) -> None:
        super().__init__()
        self._browser = Chromium(profile, options=AS_WITH_MICROPHONE)
        self._phone: WebPhone | None = None

    async def open(self, wish: Wish) -> None:
        self._wish = wish
        self._phone = WebPhone(self._browser, iceServers=_servers(wish))
        await self._phone.__aenter__()

    async def offer(self) -> str:
        assert self._phone is not None
        return self._dead(await self._phone.offer(gathered=self._wish.gathers))

    async def answer(self, sdp: str) -> str:
        assert self._phone is not None
        return self._dead(await self._phone.answer(sdp, gathered=self._wish.gathers))

    async def accept(self, sdp: str) -> None:
        assert self._phone is not None
        await self._phone.accept(sdp)

    def _dead(self, sdp: str) -> str:
        return with_dead(sdp, self._wish.dead)

    async def took_media(self) -> bool:
        assert self._phone is not None
        return (await self._phone.counted()).received > 0

    def why(self) -> str | None:
        return None

    async def close(self) -> None:
        phone, self._phone = self._phone, None
        if phone is not None:
            await phone.__aexit__()

    def stop(self) -> None:
        self._browser.stop()


async def obey(phone: Phone, order: dict[str, Any]) -> dict[str, Any]:
    """Does what one line says."""
    match order.pop("do"):
        case "new":
            await phone.new(Wish(**order))
        case "offer":
            return {"sdp": await phone.offer()}
        case "answer":
            return {"sdp": await phone.answer(order["sdp"])}
        case "accept":
            await phone.accept(order["sdp"])
        case "heard":
            return await phone.heard(order["until"])
        case "move":
            await phone.move(order["to"])
        case "seen":
            return phone.seen()
        case "end":
            await phone.end()
    return {}


async def serve(phone: Phone) -> None:
    """Orders may overlap: a call is ended while its offer still gathers."""
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader(limit=1 << 20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    running: asyncio.Task[None] | None = None

    async def answer(number: int, order: dict[str, Any]) -> None:
        try:
            reply = await obey(phone, order)
        except Exception as error:  # whatever a phone fails with is a result
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps({"number": number, **reply}), flush=True)

    while line := await lines.readline():
        order = json.loads(line)
        if order["do"] == "end" and running is not None and not running.done():
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        running = asyncio.create_task(answer(order.pop("number"), order))
    if running is not None:
        await running


def main() -> None:
    if sys.argv[1] == "aioice":
        print("{}", flush=True)
        asyncio.run(serve(AioicePhone()))
        return
    with tempfile.TemporaryDirectory(prefix="icelab-", ignore_cleanup_errors=True) as profile:
        phone = BrowserPhone(Path(profile))
        try:
            print("{}", flush=True)
            asyncio.run(serve(phone))
        finally:
            phone.stop()


if __name__ == "__main__":
    main()
