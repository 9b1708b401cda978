"""SIPp with the scenarios next to this file; its media is its own RTP echo."""

import re
import signal
from pathlib import Path

from tests.interop.process import Process, find_program
from tests.interop.relay import free_port
from tests.ng import Address

SCENARIOS = Path(__file__).with_name("sipp")


class Sipp:
    """One run of SIPp. It ends by itself after its `calls` calls."""

    def __init__(self, scenario: str, host: str, calls: int, directory: Path, *options: str) -> None:
        self.address: Address = (host, free_port(host))
        self.directory = directory / scenario
        self.directory.mkdir()
        self._process = Process(
            [
                find_program("sipp"), "-sf", str(SCENARIOS / f"{scenario}.xml"), "-nostdin",
                "-i", host, "-p", str(self.address[1]), "-mi", host,
                "-mp", str(_even_port(host)), "-rtp_echo",
                "-m", str(calls), "-trace_screen", "-f", "3600",
                "-trace_err", *options,
            ],
            self.directory,
        )  # fmt: skip

    @property
    def contact(self) -> str:
        return f"<sip:sipp@{self.address[0]}:{self.address[1]}>"

    def wait_for_success(self, timeout: float) -> None:
        """Fails unless every call went as the scenario says."""
        code = self._process.wait(timeout)
        assert code == 0, f"SIPp ended with {code}\n{self._written('errors')[:4000]}"

    def note_echo(self) -> None:
        """Have SIPp write its screen to the file, while calls are up: the last one has no echo counter."""
        self._process.signal(signal.SIGUSR2)

    def echoed_packets(self) -> int:
        """RTP packets that had arrived and were sent back when `note_echo` was called; after the end."""
        counts = re.findall(r"(\d+) Total echo RTP pckts 1st stream", self._written("screen"))
        return max(map(int, counts))

    def __enter__(self) -> "Sipp":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stop()

    def _written(self, kind: str) -> str:
        return "".join(path.read_text(errors="replace") for path in self.directory.glob(f"*_{kind}.log"))


def caller(target: str, proxy: Address, calls: int, rate: int, duration: float, directory: Path) -> Sipp:
    """Calls `target` at `proxy`, `rate` times a second, and hangs up after `duration` seconds."""
    return Sipp(
        "uac", "127.0.0.25", calls, directory,
        "-s", target, "-r", str(rate), "-d", str(int(duration * 1000)), f"{proxy[0]}:{proxy[1]}",
    )  # fmt: skip


def callee(calls: int, directory: Path) -> Sipp:
    """Answers `calls` calls."""
    return Sipp("uas", "127.0.0.26", calls, directory)


def _even_port(host: str) -> int:
    """SIPp echoes on this port and on the second above it."""
    while (port := free_port(host)) % 2 or port > 65000:
        pass
    return port
