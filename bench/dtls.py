"""What DTLS handshakes cost the relay, and what they do to everything else that it has to do.

    python -m bench.dtls --calls 200 --seconds 5

    generator (this process)                        icerelay serve (a process of its own)
      one socket per phone, DTLS clients ------->   a passive leg per call: answers, keys
      ng pings, one every 5 ms ---------------->    the event loop: how long until the pong

All calls are set up first. Then the phones begin their handshakes, in ``--seconds``
altogether: half of them to see what a handshake costs the relay (CPU time of all
its threads, system calls included, and repeats), half of them while somebody
pings. The memory is what the whole lot left. ``--relay`` names another Python, whose
relay may be another version: before and after.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import re
import select
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from relay.bench.machine import processor_time
from relay.dtls.fingerprint import Fingerprint
from relay.dtls.handshake import Failed, Handshake, Keys, Output, Role, Send
from relay.dtls.identity import Identity
from relay.ng.bencode import Encodable, decode, encode

HOST, PHONES = "127.0.0.41", "127.0.0.42"
PING_EVERY = 0.005
LIMIT = 60.0
"""Seconds for all handshakes."""
PHONE = Identity.create(time.time())
FINGERPRINT = re.compile(r"a=fingerprint:(.*)")
PORT = re.compile(r"m=audio (\d+)")


class Ng:
    """Asks the relay."""

    def __init__(self, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect((HOST, port))
        self._socket.settimeout(5.0)
        self._cookies = itertools.count()

    def ask(self, command: str, **options: Encodable) -> dict[str, str]:
        message: dict[str, Encodable] = {"command": command}
        message.update((key.replace("_", "-"), value) for key, value in options.items())
        cookie = b"%d" % next(self._cookies)
        self._socket.send(cookie + b" " + encode(message))
        while True:
            answer, _, body = self._socket.recv(65536).partition(b" ")
            if answer == cookie:
                found = decode(body)
                assert isinstance(found, dict)
                return {str(key): str(value) for key, value in found.items()}


@contextmanager
def relay(python: str, calls: int) -> Iterator[tuple[int, int]]:
    """The process id and the ng port of a relay."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    process = subprocess.Popen(
        [
            python, "-m", "relay.cli", "serve", f"--interface={HOST}", f"--listen-ng={HOST}:{port}",
            "--port-min=20000", f"--port-max={20000 + 8 * calls}", "--workers=1", "--log-level=error",
        ],
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        assert "ready" in process.stderr.readline()
        yield process.pid, port
    finally:
        process.terminate()
        process.wait()


def sdp(port: int, *attributes: str, protocol: str = "RTP/AVP") -> str:
    lines = [
        "v=0", f"o=- 1 1 IN IP4 {PHONES}", "s=-", f"c=IN IP4 {PHONES}", "t=0 0",
        f"m=audio {port} {protocol} 0", *(f"a={attribute}" for attribute in attributes), "",
    ]  # fmt: skip
    return "\r\n".join(lines)


class Phone:
    """The callee of one call, which begins the handshake."""

    def __init__(self, ng: Ng, number: int) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((PHONES, 0))
        self.socket.setblocking(False)
        own = self.socket.getsockname()[1]
        call = {"call_id": f"call-{number}", "from_tag": "A"}
        options = {"transport_protocol": "UDP/TLS/RTP/SAVP", "rtcp_mux": ["offer", "require"]}
        told = ng.ask("offer", sdp=sdp(9), **call, **options)["sdp"]
        says = (f"fingerprint:{PHONE.fingerprint()}", "setup:active", "rtcp-mux")
        answer = sdp(own, *says, protocol="UDP/TLS/RTP/SAVP")
        ng.ask("answer", sdp=answer, to_tag="B", **call)
        port, fingerprint = PORT.search(told), FINGERPRINT.search(told)
        assert port is not None
        assert fingerprint is not None
        self._relay = (HOST, int(port[1]))
        self.handshake = Handshake(PHONE, Role.ACTIVE, [Fingerprint.parse(fingerprint[1])])
        self.done = False

    def start(self) -> None:
        self._take(self.handshake.start(time.monotonic()))

    def receive(self) -> None:
        self._take(self.handshake.received(self.socket.recv(2000), time.monotonic()))

    def repeat(self) -> None:
        self._take(self.handshake.timeout(time.monotonic()))

    def _take(self, outputs: list[Output]) -> None:
        for output in outputs:
            if isinstance(output, Send):
                self.socket.sendto(output.datagram, self._relay)
            self.done = self.done or isinstance(output, Keys)
            assert not isinstance(output, Failed), output


def ping(pipe: Connection, port: int) -> None:
    """In a process of its own: says that it runs, pings until told to stop, tells the seconds of each."""
    ng, seen = Ng(port), []
    ng.ask("ping")
    pipe.send(None)
    while not pipe.poll(PING_EVERY):
        start = time.monotonic()
        ng.ask("ping")
        seen.append(time.monotonic() - start)
    pipe.send(seen)


@contextmanager
def pinged(port: int, what: str) -> Iterator[None]:
    """Pings meanwhile, and prints how long they took."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=ping, args=(theirs, port))
    process.start()
    ours.recv()
    try:
        yield
    finally:
        ours.send(None)
        found = sorted(1000 * one for one in ours.recv())
        process.join()
    median, p99 = statistics.median(found), found[len(found) * 99 // 100]
    print(f"{what}: {len(found)} pings, median {median:.2f} ms, p99 {p99:.2f} ms, worst {found[-1]:.2f} ms")


def shake(phones: list[Phone], seconds: float) -> float:
    """Begin them all in ``seconds``, and wait for the last. Returns the time that took."""
    poll = select.epoll()
    by_descriptor = {phone.socket.fileno(): phone for phone in phones}
    for descriptor in by_descriptor:
        poll.register(descriptor, select.EPOLLIN)
    begun, start = 0, time.monotonic()
    while not all(phone.done for phone in phones):
        elapsed = time.monotonic() - start
        assert elapsed < LIMIT + seconds
        while begun < len(phones) and begun * seconds <= elapsed * len(phones):
            phones[begun].start()
            begun += 1
        for descriptor, _ in poll.poll(0.005):
            by_descriptor[descriptor].receive()
        for phone in phones[:begun]:
            phone.repeat()
    return time.monotonic() - start


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def measure(python: str, calls: int, seconds: float) -> None:
    with relay(python, calls) as (pid, port):
        ng = Ng(port)
        phones = [Phone(ng, number) for number in range(calls)]
        with pinged(port, "quiet          "):
            time.sleep(2.0)
        before, ran = resident(pid), processor_time(pid)
        shake(phones[: calls // 2], seconds / 2)
        cost = (processor_time(pid) - ran).ran / (calls // 2)
        with pinged(port, "with handshakes"):
            elapsed = shake(phones[calls // 2 :], seconds / 2)
        print(f"{calls - calls // 2} handshakes in {elapsed:.2f} s")
        print(f"{cost * 1e3:.2f} ms of CPU for each, {1 / cost:,.0f} in a second of CPU")
        print(f"{(resident(pid) - before) / calls / 1000:.1f} kB for each that is finished")


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost of DTLS handshakes.")
    parser.add_argument("--calls", type=int, default=400)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--relay", default=sys.executable, help="Python that has the relay installed")
    arguments = parser.parse_args()
    print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}")
    measure(arguments.relay, arguments.calls, arguments.seconds)


if __name__ == "__main__":
    main()
