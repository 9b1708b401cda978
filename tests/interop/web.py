"""Browsers behind Kamailio: examples/kamailio-webrtc.cfg as it is, and a page that speaks SIP to it."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any, Self

from tests.interop.chromium import Chromium, WebPhone
from tests.interop.plain import WEBRTC_TONE
from tests.interop.process import Process, find_program
from tests.interop.relay import free_port
from tests.ng import Address

EXAMPLE = Path(__file__).parents[2] / "examples/kamailio-webrtc.cfg"
HOST = "127.0.0.21"
SCRIPT = Path(__file__).with_name("sip.js").read_text()


class WebProxy:
    """Kamailio that runs the example with nothing changed but addresses and the place of the certificate."""

    def __init__(self, runtime: Path, relay: Address) -> None:
        self.address: Address = (HOST, free_port(HOST))
        web = free_port(HOST)
        self.server = f"wss://{HOST}:{web}"
        _make_certificate(runtime)
        script = runtime / "kamailio.cfg"
        script.write_text(
            replaced(
                EXAMPLE.read_text(),
                {
                    "udp:192.0.2.7:5060": f"udp:{HOST}:{self.address[1]}",
                    "tls:192.0.2.7:8443": f"tls:{HOST}:{web}",
                    "$Rp == 8443": f"$Rp == {web}",
                    "udp:127.0.0.1:2223": f"udp:{relay[0]}:{relay[1]}",
                    "/etc/kamailio/server": f"{runtime}/server",
                },
            )
        )
        self._process = Process(
            [
                find_program("kamailio"), "-DD", "-E", "-dd", "-f", str(script), "-m", "64", "-M", "8",
                "-Y", str(runtime), "-w", str(runtime), "-P", str(runtime / "kamailio.pid"),
            ]
        )  # fmt: skip
        self._process.wait_for_output("found, support for it enabled")

    @property
    def log(self) -> str:
        return self._process.output

    def stop(self) -> None:
        self._process.stop()


def replaced(text: str, changes: dict[str, str]) -> str:
    """The text with every key replaced; each of them has to be there."""
    for key in changes:
        assert key in text, f"the example has no {key!r} any more"
    return re.sub("|".join(map(re.escape, changes)), lambda found: changes[found[0]], text)


def _make_certificate(directory: Path) -> None:
    subprocess.run(
        [
            find_program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-days", "1", "-subj", "/CN=sip.example.com", "-keyout", str(directory / "server.key"),
            "-out", str(directory / "server.crt"),
        ],
        check=True, capture_output=True,
    )  # fmt: skip


class BrowserPhone(WebPhone):
    """A page that is a SIP phone: it registers, calls and is called over a WebSocket to the proxy."""

    def __init__(
        self,
        browser: Chromium,
        proxy: WebProxy,
        user: str,
        *,
        frequency: float = WEBRTC_TONE,
        codec: str | None = None,
    ) -> None:
        super().__init__(browser, frequency=frequency, codec=codec)
        self.user = user
        domain = f"{proxy.address[0]}:{proxy.address[1]}"
        self._account = {"server": proxy.server, "user": user, "domain": domain}

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        await self._page.evaluate(f"{SCRIPT}\nvar line = new Line({json.dumps(self._account)}); undefined")
        await self._do("register")
        return self

    async def call(self, user: str) -> None:
        """Call a user of the proxy; returns when the call is answered."""
        await self._do("call", user=user)

    async def incoming(self) -> None:
        """Returns when a call comes in and rings here."""
        await self._do("incoming")

    async def pick_up(self) -> None:
        """Answer the call that rings; returns when the ACK is here."""
        await self._do("answer")

    async def restart(self) -> None:
        """Offer new ICE credentials in a re-INVITE; returns when it is answered."""
        await self._do("restart")

    async def hang_up(self) -> None:
        await self._do("hangUp")

    async def ended(self) -> None:
        """Returns when the other side has hung up."""
        await self._do("ended")

    async def cancelled(self) -> None:
        """Returns when the call that rings here is taken back."""
        await self._do("cancelled")

    async def told(self) -> list[str]:
        """Every SIP message so far, ours after ">", the proxy's after "<"."""
        return [str(message) for message in await self._page.evaluate("line.trace")]

    async def _do(self, method: str, **parameters: str) -> Any:
        return await self._page.evaluate(f"line.{method}({json.dumps(parameters)})")
