"""The relay under test, and rtpengine as a measure for the tests themselves.

``INTEROP_RELAY=rtpengine`` runs the tests against an installed rtpengine instead of icerelay.
"""

import os
import socket
import sys
import time
from pathlib import Path

from tests.interop.process import Process, find_program, wait_until
from tests.ng import Address, NgClient

MEDIA_ADDRESS = "127.0.0.10"
PORT_MIN, PORT_MAX = 26000, 28999
"""Below the ports the kernel gives to others; 50 calls a second of one second each need 200 of them."""


def free_port(address: str) -> int:
    """A UDP port nobody uses at the moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port


class Relay:
    """A media relay with an ng socket: started on construction, stopped by `stop`."""

    def __init__(self) -> None:
        self.ng: Address = (MEDIA_ADDRESS, free_port(MEDIA_ADDRESS))
        self._process = self._start()
        self.client = NgClient(self.ng)

    def _start(self) -> Process:
        process = Process(
            [
                sys.executable, "-m", "relay.cli", "serve", *self._common_options(), "--log-level=info",
            ]
        )  # fmt: skip
        process.wait_for_output("ready")
        return process

    def _common_options(self) -> list[str]:
        return [
            f"--interface={MEDIA_ADDRESS}",
            f"--listen-ng={self.ng[0]}:{self.ng[1]}",
            f"--port-min={PORT_MIN}",
            f"--port-max={PORT_MAX}",
            "--delete-delay=0",
        ]

    @property
    def log(self) -> str:
        return self._process.output

    @property
    def running(self) -> bool:
        return self._process.returncode is None

    def wait_for_no_calls(self, timeout: float = 3.0) -> None:
        """Fails unless every call is gone within `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while left := self.client.calls():
            assert time.monotonic() < deadline, f"calls left behind: {left}"
            time.sleep(0.02)

    def open_ports(self) -> list[int]:
        """Media ports of ours that the kernel knows."""
        rows = [line.split()[1].split(":") for line in Path("/proc/net/udp").read_text().splitlines()[1:]]
        ours = socket.inet_aton(MEDIA_ADDRESS)[::-1].hex().upper()
        ports = [int(port, 16) for host, port in rows if host == ours]
        return [port for port in ports if PORT_MIN <= port <= PORT_MAX]

    def forget_calls(self) -> None:
        """Delete what a failed test left, so that the next test starts with nothing."""
        for call in self.client.calls():
            self.client.ask("delete", call_id=call)

    def stop(self) -> None:
        self.client.close()
        self._process.stop()


class Rtpengine(Relay):
    """Debian's rtpengine, forwarding in user space."""

    def _start(self) -> Process:
        process = Process(
            [
                find_program("rtpengine"), "--config-file=none", "--foreground", "--log-stderr",
                "--log-level=4", "--table=-1", "--num-threads=4", *self._common_options(),
            ]
        )  # fmt: skip
        wait_until(self._answers_ping, "rtpengine answers a ping", timeout=10.0)
        return process

    def _answers_ping(self) -> bool:
        client = NgClient(self.ng, timeout=0.2)
        try:
            return client.ask("ping") == {"result": "pong"}
        except OSError:
            return False
        finally:
            client.close()


def start_relay() -> Relay:
    """icerelay, unless INTEROP_RELAY names rtpengine."""
    choice = os.environ.get("INTEROP_RELAY", "icerelay")
    kinds: dict[str, type[Relay]] = {"icerelay": Relay, "rtpengine": Rtpengine}
    return kinds[choice]()
