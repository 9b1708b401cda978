"""Overrun and flooded ports come back by themselves, and cost the others nothing."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from relay.forward.rule import Address

Phones = Callable[[str], socket.socket]

RELAY = """
import json, socket, sys
from relay.forward._fastpath import NativePlane
from relay.forward.rule import Learn, Rule

plane, sides = NativePlane(rules=16, coalesce=0.001), []
remotes = json.loads(sys.argv[1])
ids = [plane.allocate() for _ in remotes]
for id, remote in zip(ids, remotes):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.bind(("127.0.0.1", 0))
    sides.append(sock.getsockname())
    plane.apply([Rule(id, plane.open(sock, 0), tuple(remote), Learn.WINDOW, rtp=(ids[id ^ 1],))])
print(json.dumps(sides), flush=True)
sys.stdin.read()
plane.stop()  # what was sent is counted then
print(json.dumps(plane.totals()), flush=True)
"""

FLOOD = """
import json, socket, sys, time

sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("127.0.0.66", 0))
target, end = tuple(json.loads(sys.argv[1])), time.monotonic() + 1
for _ in range(200_000):
    sock.sendto(b"\\x80\\x08" + bytes(170), target)
    if time.monotonic() > end:
        break
"""

OVERRUN = 2000
"""Packets, several times what a socket's buffer holds."""


def rtp(seq: int) -> bytes:
    return bytes([0x80, 8]) + seq.to_bytes(2, "big") + bytes(168)


def start(program: str, argument: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", program, json.dumps(argument)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


class Relay:
    """A plane in a process of its own, with two calls: phones 0 and 1, phones 2 and 3."""

    def __init__(self, phones: list[socket.socket]) -> None:
        self.phones = phones
        self.process = start(RELAY, [phone.getsockname() for phone in phones])
        assert self.process.stdout is not None
        self.sides: list[Address] = [tuple(side) for side in json.loads(self.process.stdout.readline())]

    def talk(self, phone: int, seq: int) -> None:
        """One packet goes through, or the test fails."""
        self.phones[phone].sendto(rtp(seq), self.sides[phone])
        assert self.phones[phone ^ 1].recv(2000) == rtp(seq)

    def totals(self) -> dict[str, int]:
        out, _ = self.process.communicate("", timeout=10)
        totals: dict[str, int] = json.loads(out)
        return totals


@pytest.fixture
def relay(phones: Phones) -> Iterator[Relay]:
    relay = Relay([phones(f"127.0.0.{host}") for host in (2, 3, 4, 5)])
    yield relay
    relay.process.kill()
    relay.process.communicate()


def test_stopped_relay_forwards_again_as_soon_as_it_runs(relay: Relay) -> None:
    for phone in range(4):
        relay.talk(phone, 1)
    os.kill(relay.process.pid, signal.SIGSTOP)
    os.waitpid(relay.process.pid, os.WUNTRACED)
    for seq in range(OVERRUN):
        for phone in range(4):
            relay.phones[phone].sendto(rtp(10 + seq), relay.sides[phone])
    os.kill(relay.process.pid, signal.SIGCONT)
    for phone in range(4):
        drain(relay.phones[phone])
    for seq in range(20):
        for phone in range(4):
            relay.talk(phone, 5000 + seq)
    totals = relay.totals()
    assert 8 < totals["rtp_packets"] < 4 * OVERRUN
    assert totals["sent_packets"] == totals["rtp_packets"]


def drain(phone: socket.socket) -> None:
    phone.settimeout(0.2)
    try:
        while True:
            phone.recv(2000)
    except TimeoutError:
        phone.settimeout(5.0)


def test_flood_on_one_port_costs_the_others_nothing(relay: Relay) -> None:
    for phone in range(4):
        relay.talk(phone, 1)
    flood = start(FLOOD, relay.sides[0])
    exchanged = 0
    while flood.poll() is None:
        relay.talk(2, exchanged & 0xFFFF)
        relay.talk(3, exchanged & 0xFFFF)
        exchanged += 1
    flood.communicate()
    for seq in range(100):
        relay.talk(2, seq)  # each takes a turn, in which the flooded port gives up a batch
    for seq in range(20):
        relay.talk(0, 5000 + seq)
        relay.talk(1, 5000 + seq)
    assert exchanged > 50
    assert relay.totals()["stranger"] > 1000
