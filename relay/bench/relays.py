"""The relays that are measured: any command that starts a daemon which speaks ng."""

from __future__ import annotations

import contextlib
import shlex
import string
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

from relay.bench import machine
from relay.bench.control import Client
from relay.bench.errors import BenchFailed
from relay.bench.network import Network
from relay.forward.rule import Address

PORT_MIN, PORT_MAX = 20000, 31999
"""Media ports: enough for 3,000 calls of four, and below those that Linux gives to others."""

START_TIMEOUT = 20.0
STOP_TIMEOUT = 5.0
PING = 0.01
"""Seconds between two questions whether the relay is there."""

ICERELAY = (
    "icerelay serve --interface={ip} --listen-ng={ng} --port-min={min} --port-max={max}"
    " --workers=1 --log-level=4"
)
ICERELAY_EBPF = f"{ICERELAY} --plane=ebpf"
ICERELAY_USERSPACE = f"{ICERELAY} --plane=userspace"
RTPENGINE = (
    "rtpengine --config-file=none --foreground --log-stderr --log-level=2 --table=-1 --num-threads=1"
    " --interface={ip} --listen-ng={ng} --port-min={min} --port-max={max}"
)
"""In user space and with one thread for media, as ours: both have one core."""

THIS = [sys.executable, "-P", "-m", "relay.cli"]
"""What the word ``icerelay`` runs: this very installation, whatever the path says."""


@dataclass(frozen=True, slots=True)
class Relay:
    """A name for the table, and a command with ``{ip}``, ``{ng}`` (ADDRESS:PORT), ``{min}`` and ``{max}``."""

    name: str
    command: str

    def __post_init__(self) -> None:
        """Raises ``ValueError``."""
        try:
            fields = {found for _, found, _, _ in string.Formatter().parse(self.command) if found is not None}
        except ValueError as error:
            raise ValueError(f"{error}; a brace that is meant is written twice") from None
        if unknown := fields - {"ip", "ng", "min", "max"}:
            raise ValueError(f"{{{unknown.pop()}}} is none of {{ip}} {{ng}} {{min}} {{max}}")
        if missing := {"ip", "ng"} - fields:
            raise ValueError(f"{{{missing.pop()}}} is missing: the relay must listen where it is asked")

    def line(self, ip: str, ng: Address) -> list[str]:
        """The command with everything filled in."""
        places = {"ip": ip, "ng": f"{ng[0]}:{ng[1]}", "min": PORT_MIN, "max": PORT_MAX}
        program, *arguments = (word.format(**places) for word in shlex.split(self.command))
        return [*(THIS if program == "icerelay" else [program]), *arguments]


@dataclass(slots=True)
class Running:
    """A relay that answers. ``startup`` is seconds from its start to its first pong."""

    relay: Relay
    pid: int
    client: Client = field(repr=False)
    startup: float

    def time(self) -> machine.Time:
        """CPU seconds since its start."""
        return machine.processor_time(self.pid)


@contextlib.contextmanager
def running(relay: Relay, network: Network, place: int, core: int | None) -> Iterator[Running]:
    """Starts a relay and ends it afterwards. Raises ``BenchFailed`` with what it wrote if it does not start.

    One that ends by itself later does not answer, which is an error of that scenario only.
    """
    ng = network.ng(place)
    command = [*network.enter[place], *relay.line(network.relays[place], ng)]
    with tempfile.TemporaryFile() as log, contextlib.closing(Client(ng)) as client:
        began = time.monotonic()
        try:
            with machine.pinned(core):
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        except OSError as error:
            raise BenchFailed(f"{relay.name} cannot be started: {error}") from None
        try:
            while not client.answers_ping(PING):
                if process.poll() is not None or time.monotonic() > began + START_TIMEOUT:
                    raise BenchFailed(f"{relay.name} does not answer:\n{_end_of(log)}")
                time.sleep(PING)
            yield Running(relay, process.pid, client, time.monotonic() - began)
        finally:
            _stop(process)


def _end_of(log: IO[bytes]) -> str:
    log.seek(0)
    return log.read().decode("utf-8", "replace")[-2000:].rstrip() or "it wrote nothing"


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
