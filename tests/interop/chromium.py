"""Headless Chromium as a WebRTC phone: a page with `chromium.js`, driven through the debugging pipe."""

import asyncio
import itertools
import json
import subprocess
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tests.interop.plain import WEBRTC_TONE, loudest
from tests.interop.process import KILL_AFTER, find_program

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
    "--ignore-certificate-errors",
    "--remote-debugging-pipe",
)
ON_LOOPBACK = ("--allow-loopback-in-peer-connection",)
WITH_MICROPHONE = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
PIPE = 'exec "$@" 3<&0 4>&1 0</dev/null 1>&2'
"""The browser reads commands from descriptor 3 and writes to 4; we hold the other ends of its 0 and 1."""
SCRIPT = Path(__file__).with_suffix(".js").read_text()


class Chromium:
    """One browser with an empty profile, where its log is as well.

    `enter` is the command that runs it elsewhere, see network.py.
    """

    def __init__(
        self, profile: Path, enter: Sequence[str] = (), options: Sequence[str] = ON_LOOPBACK
    ) -> None:
        browser = [find_program("chromium"), *FLAGS, *options, f"--user-data-dir={profile}", "about:blank"]
        self._log = profile / "log"
        with open(self._log, "wb") as log:
            self._popen = subprocess.Popen(
                [*enter, "sh", "-c", PIPE, "sh", *browser],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        self._numbers = itertools.count(1)
        self._waiting: dict[int, Future[Any]] = {}
        self._lock = threading.Lock()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self.call("Browser.getVersion").result(timeout=20.0)
        except (AssertionError, TimeoutError) as error:
            self.stop()
            raise AssertionError(f"the browser did not start:\n{self._log.read_text()}") from error

    def call(self, method: str, session: str | None = None, **parameters: str | bool) -> Future[Any]:
        """One command of the DevTools protocol; the future has its result."""
        found: Future[Any] = Future()
        assert self._popen.stdin is not None
        with self._lock:
            number = next(self._numbers)
            self._waiting[number] = found
            call = {"id": number, "method": method, "params": parameters}
            if session is not None:
                call["sessionId"] = session
            self._popen.stdin.write(json.dumps(call).encode() + b"\0")
            self._popen.stdin.flush()
        return found

    def stop(self) -> None:
        self._popen.terminate()
        try:
            self._popen.wait(KILL_AFTER)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        self._reader.join(timeout=1.0)

    def _read(self) -> None:
        assert self._popen.stdout is not None
        rest = b""
        while some := self._popen.stdout.read1():  # type: ignore[attr-defined]
            *messages, rest = (rest + some).split(b"\0")
            for message in messages:
                self._take(json.loads(message))
        for waiting in list(self._waiting.values()):
            if waiting.set_running_or_notify_cancel():
                waiting.set_exception(AssertionError("the browser has ended"))

    def _take(self, message: dict[str, Any]) -> None:
        found = self._waiting.pop(message.get("id", 0), None)
        if found is None or not found.set_running_or_notify_cancel():
            return  # an event, or nobody waits any more
        if "error" in message:
            found.set_exception(AssertionError(message["error"]))
        else:
            found.set_result(message["result"])


class _Page:
    """An empty page of the browser that runs JavaScript for us."""

    def __init__(self, browser: Chromium) -> None:
        self._browser = browser
        self._session: str | None = None
        self._target = ""

    async def open(self) -> None:
        self._target = (await self._call("Target.createTarget", url="about:blank"))["targetId"]
        attached = await self._call("Target.attachToTarget", targetId=self._target, flatten=True)
        self._session = attached["sessionId"]

    async def ask_for_microphone(self) -> None:
        """Only a page from a trustworthy place may; pages that may are told the addresses of this machine."""
        await self._call("Page.navigate", url=Path(__file__).as_uri())
        await self.evaluate(
            "navigator.mediaDevices.getUserMedia({audio: true}).then((it) => void (window.it = it))"
        )

    async def evaluate(self, expression: str) -> Any:
        """The value of an expression; of a promise, what it comes to. Fails with what the page throws."""
        result = await self._call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        thrown = result.get("exceptionDetails")
        assert thrown is None, thrown["exception"].get("description", thrown)
        return result["result"].get("value")

    async def close(self) -> None:
        self._session = None
        await self._call("Target.closeTarget", targetId=self._target)

    async def _call(self, method: str, **parameters: str | bool) -> Any:
        return await asyncio.wrap_future(self._browser.call(method, self._session, **parameters))


@dataclass(frozen=True, slots=True)
class Counted:
    """Packets of one kind of media as the browser counts them; frames are those of video it has decoded."""

    sent: int
    received: int
    lost: int
    frames: int


class WebPhone:
    """A page with one RTCPeerConnection that says a tone. To be used as an asynchronous context manager.

    With `microphone` it may use one, though it does not; the browser has to be made WITH_MICROPHONE.
    """

    def __init__(
        self,
        browser: Chromium,
        *,
        frequency: float = WEBRTC_TONE,
        codec: str | None = None,
        video: bool = False,
        data: bool = False,
        microphone: bool = False,
        **configuration: object,
    ) -> None:
        self._browser = browser
        self._microphone = microphone
        self._wish = {
            "frequency": frequency,
            "codec": codec,
            "video": video,
            "data": data,
            "configuration": configuration,
        }

    async def __aenter__(self) -> Self:
        self._page = _Page(self._browser)
        await self._page.open()
        if self._microphone:
            await self._page.ask_for_microphone()
        await self._page.evaluate(f"{SCRIPT}\nvar phone = new Phone({json.dumps(self._wish)}); undefined")
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._page.close()

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

    async def fall_silent(self) -> None:
        """From the next offer on: no sound in either direction."""
        await self._ask("fallSilent")

    async def ask_over_data_channel(self, text: str) -> str:
        """What the other browser says to `text`: the same."""
        return str(await self._ask("askOverDataChannel", text=text))

    async def counted(self, kind: str = "audio") -> Counted:
        return Counted(**await self._ask("counted", kind=kind))

    async def path(self) -> str:
        """The ufrag under which the pair of addresses in use was checked; empty before there is one."""
        return str(await self._ask("path"))

    async def loudest(self) -> float:
        """The frequency that most of the sound heard lately has, Hz; 0 in silence."""
        heard = await self._ask("heard")
        samples: NDArray[np.float64] = np.array(heard["samples"])
        return loudest(samples, heard["rate"])

    async def _ask(self, method: str, **parameters: str | bool) -> Any:
        return await self._page.evaluate(f"phone.{method}({json.dumps(parameters)})")
