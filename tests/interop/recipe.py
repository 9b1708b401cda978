"""Kamailio that runs examples/kamailio-optimize.cfg as it is, and apps that say which network they are in."""

import json
import socket
from pathlib import Path
from typing import Any

from tests.interop.phone import Phone
from tests.interop.process import Process, find_program
from tests.interop.relay import MEDIA_ADDRESS, Relay, free_port
from tests.interop.sip import Message
from tests.interop.web import replaced
from tests.interop.wire import Wire
from tests.ng import Address, Reply, split

EXAMPLE = Path(__file__).parents[2] / "examples/kamailio-optimize.cfg"
HOST = "127.0.0.40"
TOKEN = "a-token-of-the-operator"
TURN = "turn:turn.example.org:443?transport=tcp"


class Advising(Relay):
    """icerelay that listens to apps."""

    def __init__(self, directory: Path) -> None:
        self.http: Address = (MEDIA_ADDRESS, _free_tcp_port())
        token = directory / "token"
        token.write_text(TOKEN)
        self._more = [
            f"--listen-http={self.http[0]}:{self.http[1]}",
            f"--memory={directory / 'memory.db'}",
            f"--feedback-token={token}",
            f"--advice-turn={TURN}",
        ]
        super().__init__()

    def _common_options(self) -> list[str]:
        return [*super()._common_options(), *self._more]


def _free_tcp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((MEDIA_ADDRESS, 0))
        port: int = probe.getsockname()[1]
        return port


class Tapped(Wire):
    """A wire that remembers what the proxy asked for."""

    def __init__(self, relay: Address) -> None:
        self.requests: list[Reply] = []
        super().__init__(relay)

    def passes(self, request: bytes) -> None:
        self.requests.append(split(request)[1])

    def offers(self) -> list[Reply]:
        return [request for request in self.requests if request["command"] == "offer"]


class Scripted:
    """Kamailio that runs an example with nothing changed but what `values` says."""

    def __init__(self, runtime: Path, example: Path, values: dict[str, str]) -> None:
        self.address: Address = (HOST, free_port(HOST))
        script = runtime / "kamailio.cfg"
        script.write_text(replaced(example.read_text(), values))
        self._process = Process(
            [
                find_program("kamailio"), "-DD", "-E", "-dd", "-f", str(script), "-m", "64", "-M", "8",
                "-l", f"udp:{self.address[0]}:{self.address[1]}",
                "-Y", str(runtime), "-w", str(runtime), "-P", str(runtime / "kamailio.pid"),
            ]
        )  # fmt: skip
        self._process.wait_for_output("found, support for it enabled")

    @property
    def log(self) -> str:
        return self._process.output

    def stop(self) -> None:
        self._process.stop()


class Proxy(Scripted):
    """The example with nothing changed but addresses and the token."""

    def __init__(self, runtime: Path, relay: Address, http: Address) -> None:
        values = {
            "udp:127.0.0.1:2223": f"udp:{relay[0]}:{relay[1]}",
            "//127.0.0.1:2225": f"//{http[0]}:{http[1]}",
            "put-the-token-here": TOKEN,
        }
        super().__init__(runtime, EXAMPLE, values)


class App(Phone):
    """A phone that says which network it is in, and hears what it is advised."""

    def __init__(self, user: str, device: int, proxy: Address, network: str | None = None) -> None:
        self.network = network
        self.behind_another_proxy = False
        self.advised: list[str] = []
        """Of each REGISTER that was answered: the header, empty where there is none."""
        self.invites: list[Message] = []
        super().__init__(user, f"127.0.0.{device}", proxy)

    @property
    def advice(self) -> Any:
        """What the last REGISTER was answered."""
        return json.loads(self.advised[-1])

    def send_request(self, request: Message, to: Address) -> None:
        if self.network is not None and request.method in ("REGISTER", "INVITE"):
            request.headers.append(("X-Network", self.network))
            request.headers.append(("User-Agent", "App/1.0 (Phone; 7)"))
        if self.behind_another_proxy:
            request.headers.insert(1, ("Via", "SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKelsewhere"))
        super().send_request(request, to)

    def send_response(self, request: Message, reply: Message) -> None:
        if self.network is not None:
            reply.headers.append(("User-Agent", "App/1.0 (Phone; 7)"))
        super().send_response(request, reply)

    def on_response(self, response: Message) -> None:
        if response.method == "REGISTER" and response.status == 200:
            self.advised.append(response.get("X-ICE-Advice"))
        super().on_response(response)

    def on_request(self, request: Message) -> None:
        if request.method == "INVITE":
            self.invites.append(request)
        super().on_request(request)
