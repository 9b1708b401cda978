"""Headless Chromium as a WebRTC phone: a page with `chromium.js`, driven over the DevTools protocol."""

import asyncio
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import aiohttp
import numpy as np
from numpy.typing import NDArray

from tests.interop.plain import WEBRTC_TONE, loudest
from tests.interop.process import Process, find_program

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--no-first-run",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
    "--autoplay-policy=no-user-gesture-required",
    "--remote-debugging-port=0",
)
ON_LOOPBACK = ("--allow-loopback-in-peer-connection",)
SCRIPT = Path(__file__).with_suffix(".js").read_text()


class Chromium:
    """One browser with an empty profile; `address` is the WebSocket it is driven by."""

    def __init__(self, profile: Path, options: Sequence[str] = ON_LOOPBACK) -> None:
        command = [find_program("chromium"), *FLAGS, *options, f"--user-data-dir={profile}", "about:blank"]
        self._process = Process(command)
        self._process.wait_for_output("DevTools listening on", timeout=20.0)
        found = re.search(r"DevTools listening on (\S+)", self._process.output)
        assert found is not None
        self.address = found[1]

    def stop(self) -> None:
        self._process.stop()


class _Page:
    """An empty page of the browser that runs JavaScript for us."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._calls = 0
        self._turn = asyncio.Lock()
        self._session: dict[str, str] = {}
        self._target = ""

    async def open(self) -> None:
        self._target = (await self._call("Target.createTarget", url="about:blank"))["targetId"]
        attached = await self._call("Target.attachToTarget", targetId=self._target, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}

    async def evaluate(self, expression: str) -> Any:
        """The value of an expression; of a promise, what it comes to. Fails with what the page throws."""
        result = await self._call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        thrown = result.get("exceptionDetails")
        assert thrown is None, thrown["exception"].get("description", thrown)
        return result["result"].get("value")

    async def close(self) -> None:
        self._session = {}
        await self._call("Target.closeTarget", targetId=self._target)

    async def _call(self, method: str, **parameters: str | bool) -> Any:
        async with self._turn:
            self._calls += 1
            call = {"id": self._calls, "method": method, "params": parameters, **self._session}
            await self._socket.send_json(call)
            while True:
                message = await self._socket.receive_json()
                if message.get("id") == self._calls:
                    assert "error" not in message, message
                    return message["result"]


@dataclass(frozen=True, slots=True)
class Counted:
    """Packets of one kind of media as the browser counts them; frames are those of video it has decoded."""

    sent: int
    received: int
    lost: int
    frames: int


class WebPhone:
    """A page with one RTCPeerConnection that says a tone. To be used as an asynchronous context manager."""

    def __init__(
        self,
        browser: Chromium,
        *,
        frequency: float = WEBRTC_TONE,
        codec: str | None = None,
        video: bool = False,
        data: bool = False,
        **configuration: object,
    ) -> None:
        self._browser = browser
        self._wish = {
            "frequency": frequency,
            "codec": codec,
            "video": video,
            "data": data,
            "configuration": configuration,
        }

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession()
        self._page = _Page(await self._http.ws_connect(self._browser.address, max_msg_size=0))
        await self._page.open()
        await self._page.evaluate(f"{SCRIPT}\nvar phone = new Phone({json.dumps(self._wish)}); undefined")
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._page.close()
        await self._http.close()

    async def offer(self, *, gathered: bool = True, restart: bool = False) -> str:
        """Our offer, with every candidate or (not `gathered`) before there is any."""
        return str(await self._ask("offer", gathered=gathered, restart=restart))

    async def answer(self, sdp: str, *, gathered: bool = True) -> str:
        """Our answer to an offer."""
        return str(await self._ask("answer", sdp=sdp, gathered=gathered))

    async def candidates(self) -> list[dict[str, Any]]:
        """As JavaScript has them: what an offer or answer that was not `gathered` did not tell."""
        return list(await self._ask("candidates"))

    async def accept(self, sdp: str) -> None:
        """The answer to our offer has come."""
        await self._ask("accept", sdp=sdp)

    async def connected(self) -> None:
        """Returns when ICE and DTLS are through; fails if the browser gives up."""
        await self._ask("connected")

    async def add_camera(self) -> None:
        """For the next offer or answer."""
        await self._ask("addCamera")

    async def ask_over_data_channel(self, text: str) -> str:
        """What the other browser says to `text`: the same."""
        return str(await self._ask("askOverDataChannel", text=text))

    async def counted(self, kind: str = "audio") -> Counted:
        return Counted(**await self._ask("counted", kind=kind))

    async def loudest(self) -> float:
        """The frequency that most of the sound heard lately has, Hz; 0 in silence."""
        heard = await self._ask("heard")
        samples: NDArray[np.float64] = np.array(heard["samples"])
        return loudest(samples, heard["rate"])

    async def _ask(self, method: str, **parameters: str | bool) -> Any:
        return await self._page.evaluate(f"phone.{method}({json.dumps(parameters)})")
