"""Streams that share a queue: same packets, and nobody's flood but for his own port. Needs root."""

import json
import os
import random
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from relay.forward import _fastpath
from relay.forward._fastpath import NativePlane
from relay.forward.offload.steering import Steering
from relay.forward.rule import Address, Drop, Learn, Rule

Phones = Callable[[str], socket.socket]
LocalPorts = Callable[[NativePlane, str], tuple[int, Address]]

V4, V6 = ("127.0.0.1", "127.0.0.2"), ("::1", "::1")
"""An address of ours and one for phones."""

families = pytest.mark.parametrize(("ours", "theirs"), [V4, V6], ids=["IPv4", "IPv6"])

FLOOD = 3000
"""Packets, several times what the queue of a port holds."""

QUEUE = 100
"""Packets that a phone's socket has room for."""


def rtp(seq: int, payload: bytes = b"voice" * 32) -> bytes:
    return bytes([0x80, 8]) + seq.to_bytes(2, "big") + bytes(8) + payload


def name(sock: socket.socket) -> Address:
    address: Address = sock.getsockname()[:2]
    return address


def until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread does."""
    end = time.monotonic() + 5.0
    while not condition():
        assert time.monotonic() < end, "it never came true"
        select.select([], [], [], 0.001)


@pytest.fixture
def plane() -> Iterator[NativePlane]:
    native = NativePlane(rules=64, steering=Steering(1))
    yield native
    native.stop()


class Call:
    """Two phones and their ports."""

    def __init__(self, plane: NativePlane, phones: Phones, ports: LocalPorts, ours: str, theirs: str) -> None:
        self.plane = plane
        self.phones = phones(theirs), phones(theirs)
        opened = [ports(plane, ours) for _ in range(2)]
        self.ports, self.sides = [port for port, _ in opened], [side for _, side in opened]
        ids = [plane.allocate() for _ in range(2)]
        self.rules = [
            Rule(id, port, name(phone), Learn.WINDOW, rtp=(out,), rtcp=(out,))
            for id, out, port, phone in zip(ids, reversed(ids), self.ports, self.phones, strict=True)
        ]
        plane.apply(self.rules)

    def settle(self) -> None:
        """Until both are heard by the shared socket: a worker asks for it after it has forwarded."""
        for phone in (0, 1):
            until(lambda phone=phone: self.share(lambda: self.say(phone, rtp(0))) == 1)  # type: ignore[misc]

    def say(self, phone: int, datagram: bytes) -> None:
        """It is heard, from where it should come."""
        self.phones[phone].sendto(datagram, self.sides[phone])
        heard, source = self.phones[1 - phone].recvfrom(10000)
        assert (heard, source[:2]) == (datagram, self.sides[1 - phone])

    def share(self, action: Callable[[], object]) -> int:
        """How many datagrams came by the shared socket meanwhile."""
        before = self.plane.by_shared()
        action()
        return self.plane.by_shared() - before


def settled(plane: NativePlane, phones: Phones, ports: LocalPorts, ours: str, theirs: str) -> Call:
    """A call of which both phones come by the shared socket."""
    call = Call(plane, phones, ports, ours, theirs)
    call.settle()
    return call


@families
def test_a_settled_stream_of_any_size_comes_by_the_shared_socket(
    plane: NativePlane, phones: Phones, local_ports: LocalPorts, ours: str, theirs: str
) -> None:
    call = settled(plane, phones, local_ports, ours, theirs)
    for size in (1, 172, 1200, 1400, 4000, 9000):
        assert call.share(lambda size=size: call.say(0, rtp(2, bytes(size)))) == 1  # type: ignore[misc]


@families
def test_strangers_and_other_ports_of_the_peer_do_not(
    plane: NativePlane, phones: Phones, local_ports: LocalPorts, ours: str, theirs: str
) -> None:
    call = settled(plane, phones, local_ports, ours, theirs)
    stranger, strange = phones(theirs), plane.totals()["stranger"]

    def intrude() -> None:
        for side in call.sides:
            stranger.sendto(rtp(2), side)
        until(lambda: plane.totals()["stranger"] == strange + 2)

    assert call.share(intrude) == 0


@families
def test_a_peer_that_changes_is_followed(
    plane: NativePlane, phones: Phones, local_ports: LocalPorts, ours: str, theirs: str
) -> None:
    call = settled(plane, phones, local_ports, ours, theirs)
    moved, before, strange = phones(theirs), call.phones[1], plane.totals()["stranger"]
    plane.apply([replace(call.rules[1], remote=name(moved), generation=1)])
    call.phones = call.phones[0], moved
    call.settle()

    def go_on() -> None:
        before.sendto(rtp(1), call.sides[1])
        until(lambda: plane.totals()["stranger"] == strange + 1)

    assert call.share(go_on) == 0
    assert not select.select([before], [], [], 0)[0]


@families
def test_nothing_is_steered_for_a_rule_that_has_ended(
    plane: NativePlane, phones: Phones, local_ports: LocalPorts, ours: str, theirs: str
) -> None:
    call = settled(plane, phones, local_ports, ours, theirs)
    ended = plane.totals()["no_rule"]
    plane.apply([Drop(call.rules[0].id)])
    plane.peer(call.rules[1].id)

    def knock() -> None:
        call.phones[0].sendto(rtp(2), call.sides[0])
        until(lambda: plane.totals()["no_rule"] == ended + 1)

    assert call.share(knock) == 0


@families
def test_whoever_gets_a_closed_port_next_gets_its_datagrams(
    phones: Phones, local_ports: LocalPorts, ours: str, theirs: str
) -> None:
    closed: list[Address] = []
    plane = NativePlane(
        rules=64, steering=Steering(1), on_close=lambda host, port: closed.append((host, port))
    )
    call = settled(plane, phones, local_ports, ours, theirs)
    plane.close(*call.ports)
    until(lambda: not plane.events() and len(closed) == 2)
    with socket.socket(socket.AF_INET6 if ":" in ours else socket.AF_INET, socket.SOCK_DGRAM) as next_one:
        next_one.bind(call.sides[0])
        next_one.settimeout(5.0)
        call.phones[0].sendto(rtp(2), call.sides[0])
        assert next_one.recv(2000) == rtp(2)
    plane.stop()


def test_a_peer_that_floods_gets_his_own_queue_back(
    plane: NativePlane, phones: Phones, local_ports: LocalPorts
) -> None:
    call, other = (settled(plane, phones, local_ports, *V4) for _ in range(2))
    heard = plane.totals()["rtp_packets"]

    def flood() -> None:
        for _ in range(20 * FLOOD):
            call.phones[0].sendto(rtp(2), call.sides[0])
        until(lambda: call.share(lambda: select.select([], [], [], 0.01)) == 0)

    by_shared = call.share(flood)
    assert by_shared < plane.totals()["rtp_packets"] - heard
    assert other.share(lambda: other.say(0, rtp(3))) == 1


def test_a_new_tos_byte_holds_for_shared_output(
    plane: NativePlane, phones: Phones, local_ports: LocalPorts
) -> None:
    call = settled(plane, phones, local_ports, *V4)
    call.phones[1].setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
    plane.retag(call.ports[1], 0xB8)
    for _ in range(20):  # some of them together
        for seq in range(QUEUE):
            call.phones[0].sendto(rtp(seq), call.sides[0])
        for _ in range(QUEUE):
            _, control, _, _ = call.phones[1].recvmsg(2000, 100)
            assert control[0][2] == bytes([0xB8])


RELAY = """
import json, socket, sys
from relay.forward._fastpath import NativePlane
from relay.forward.offload.steering import Steering
from relay.forward.rule import Learn, Rule

plane, sides = NativePlane(rules=16, steering=Steering(1)), []
remotes = json.loads(sys.argv[1])
ids = [plane.allocate() for _ in remotes]
for id, remote in zip(ids, remotes):
    local = "::1" if ":" in remote[0] else f"127.0.0.{1 + 8 * (id & 1)}"
    sock = socket.socket(socket.AF_INET6 if ":" in remote[0] else socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.bind((local, 0))
    sides.append(sock.getsockname()[:2])
    plane.apply([Rule(id, plane.open(sock, 0), tuple(remote), Learn.WINDOW, rtp=(ids[id ^ 1],))])
print(json.dumps(sides), flush=True)
sys.stdin.read()
plane.stop()
"""


@families
def test_a_strangers_flood_takes_nothing_from_anybody_not_even_from_the_port_that_he_found(
    phones: Phones, ours: str, theirs: str
) -> None:
    """The relay is stopped, so that every queue holds what it can, and then finds all of it together."""
    talking, stranger = [phones(theirs) for _ in range(4)], phones(theirs)
    arguments = json.dumps([name(phone) for phone in talking])
    relay = subprocess.Popen(
        [sys.executable, "-c", RELAY, arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert relay.stdout is not None
    try:
        sides: list[Address] = [tuple(side) for side in json.loads(relay.stdout.readline())]
        for phone in range(4):
            talking[phone].sendto(rtp(0), sides[phone])
            assert talking[phone ^ 1].recv(2000) == rtp(0)
        os.kill(relay.pid, signal.SIGSTOP)
        os.waitpid(relay.pid, os.WUNTRACED)
        for _ in range(FLOOD):
            stranger.sendto(rtp(0), sides[0])
        said = [rtp(seq, bytes(1400 if seq % 16 == 0 else seq)) for seq in range(QUEUE)]
        for datagram in said:
            for phone in range(4):
                talking[phone].sendto(datagram, sides[phone])
        os.kill(relay.pid, signal.SIGCONT)
        for phone in range(4):
            heard = [talking[phone].recvfrom(2000) for _ in range(QUEUE)]
            assert [datagram for datagram, _ in heard] == said
            assert {tuple(source[:2]) for _, source in heard} == {tuple(sides[phone])}
    finally:
        relay.kill()
        relay.communicate()


def checksum(data: bytes) -> int:
    """RFC 1071."""
    padded = data + bytes(len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


@pytest.mark.parametrize("seed", range(20))
def test_headers_of_shared_output_are_as_the_rfcs_have_them(seed: int) -> None:
    dice = random.Random(seed)
    family = dice.choice([socket.AF_INET, socket.AF_INET6])
    size, where = (4, 12) if family == socket.AF_INET else (16, 8)
    hosts = [dice.randbytes(size) for _ in range(2)]
    local, remote = ((socket.inet_ntop(family, host), dice.randrange(1, 65536)) for host in hosts)
    payload = dice.randbytes(dice.randrange(1200))
    written = _fastpath.headers(local, remote, 0xB8, 64, payload)
    ip, udp = written[:-8], written[-8:]
    assert ip[where : where + 2 * size] == b"".join(hosts)
    if family == socket.AF_INET:
        assert (ip[0], ip[1], ip[8], ip[9], len(ip)) == (0x45, 0xB8, 64, 17, 20)
    else:
        assert (ip[:4], ip[6], ip[7], len(ip)) == (bytes([0x6B, 0x80, 0, 0]), 17, 64, 40)
        assert int.from_bytes(ip[4:6], "big") == len(payload) + 8
    source, destination, length, found = struct.unpack("!4H", udp)
    assert (source, destination, length) == (local[1], remote[1], len(payload) + 8)
    pseudo = b"".join(hosts) + struct.pack("!HH", 17, length)
    assert found
    assert checksum(pseudo + udp + payload) == 0


def test_ports_outside_of_the_range_are_left_alone(phones: Phones, local_ports: LocalPorts) -> None:
    plane = NativePlane(rules=64, steering=Steering(1, 1, 2))
    call = Call(plane, phones, local_ports, *V4)
    for phone in (0, 1, 0, 1):
        call.say(phone, rtp(2))
    assert plane.by_shared() == 0
    plane.stop()
