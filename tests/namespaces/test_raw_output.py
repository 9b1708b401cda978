"""What leaves by the range socket's raw sockets takes the way that the ports' own sockets would take."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Iterator

import pytest

from relay.forward._fastpath import NativePlane
from relay.forward.offload.steering import Steering
from relay.forward.rule import Address, Learn, Rule
from tests.namespaces.calls import name, nothing_for, rtp, until
from tests.namespaces.lab import Lab, lab, run
from tests.namespaces.test_daemon import BOTH_SIDES, running

CALLS = 8
WORDS = 200
TOS = 0xB8
ELSEWHERE = "203.0.113."
"""A network behind phone B."""

COUNTED_BY_PRIORITY = """
table inet seen {
  chain out {
    type filter hook output priority 0;
    ip dscp ef meta priority 0:0 counter name none
    ip dscp ef meta priority != 0:0 counter name some
  }
  counter none { }
  counter some { }
}
"""


@pytest.fixture
def network() -> Iterator[Lab]:
    with lab() as built:
        run("ip", "-n", built.b.name, "address", "add", f"{ELSEWHERE}2/32", "dev", "lo")
        run("ip", "-n", built.b.name, "address", "add", f"{ELSEWHERE}3/32", "dev", "lo")
        yield built


class Calls:
    """Callers talk, so many at once that a worker that waits for company finds their packets together."""

    def __init__(
        self, network: Lab, plane: NativePlane, callees: list[str], workers: int = 1, v6: bool = False
    ) -> None:
        self.network, self.plane, self.v6, self.said = network, plane, v6, 0
        self.pairs: list[tuple[socket.socket, Address, socket.socket, Address]] = []
        self.rules: list[Rule] = []
        for number, host in enumerate(callees):
            caller, callee = network.a.socket(network.address(network.a, v6)), network.b.socket(host)
            worker = number % workers
            (port, side), (other, far) = (
                self._port(network.gateway(phone, v6), worker) for phone in (network.a, network.b)
            )
            one, two = plane.allocate(), plane.allocate()
            self.rules += [
                Rule(one, port, name(caller), Learn.WINDOW, rtp=(two,)),
                Rule(two, other, name(callee), Learn.WINDOW, rtp=(one,)),
            ]
            plane.retag(other, TOS)
            self.pairs.append((caller, side, callee, far))
        plane.apply(self.rules)

    def _port(self, address: str, worker: int) -> tuple[int, Address]:
        sock = self.network.relay.socket(address)
        sock.setblocking(False)
        with self.network.relay.inside():
            return self.plane.open(sock, worker), name(sock)

    def talk(self) -> None:
        for word in range(WORDS):
            for caller, side, _, _ in self.pairs:
                caller.sendto(rtp(word), side)
        self.said += len(self.pairs) * WORDS
        until(lambda: self.done() == self.said)

    def greet(self) -> None:
        """By the ports' own sockets, until the peers are settled."""
        for word in range(2):
            for caller, side, callee, _ in self.pairs:
                caller.sendto(rtp(word), side)
                assert callee.recv(2000) == rtp(word)
        self.said += 2 * len(self.pairs)

    def done(self) -> int:
        """Packets that have left, or could not."""
        totals = self.plane.totals()
        return sum(totals[end] for end in ("sent_packets", "send_error", "overrun"))

    def heard(self) -> list[int]:
        """How many words each callee has heard, in order and from where they should come."""
        counts = []
        for _, _, callee, far in self.pairs:
            count = 0
            while not nothing_for(callee):
                datagram, source = callee.recvfrom(2000)
                assert (datagram, source[:2]) == (rtp(count), far)
                count += 1
            counts.append(count)
        return counts

    def sent(self) -> list[int]:
        """What the relay has counted of the same."""
        return [int(self.plane.row(rule.id)["sent_packets"]) for rule in self.rules[1::2]]


@contextlib.contextmanager
def plane_of(network: Lab, workers: int = 1) -> Iterator[NativePlane]:
    with network.relay.inside():
        plane = NativePlane(workers, rules=256, steering=Steering(workers), coalesce=0.01)
    try:
        yield plane
    finally:
        plane.stop()


def test_it_has_the_priority_that_the_tos_byte_gives(network: Lab) -> None:
    nft = ["ip", "netns", "exec", network.relay.name, "nft"]
    subprocess.run([*nft, "-f", "-"], input=COUNTED_BY_PRIORITY, text=True, check=True)
    with plane_of(network) as plane:
        calls = Calls(network, plane, ["198.51.100.2"] * CALLS)
        calls.talk()
        assert calls.heard() == [WORDS] * CALLS
    assert "packets 0 " in run(*nft, "list", "counter", "inet", "seen", "none")
    assert "packets 0 " not in run(*nft, "list", "counter", "inet", "seen", "some")


@pytest.mark.parametrize("rule", [("ipproto", "udp"), ("tos", "0x18")])
def test_rules_that_ask_for_protocol_or_tos_lead_it(network: Lab, rule: tuple[str, str]) -> None:
    ip = ("ip", "-n", network.relay.name)
    run(*ip, "route", "add", f"{ELSEWHERE}0/24", "via", "198.51.100.99")  # nobody is there
    run(*ip, "route", "add", f"{ELSEWHERE}0/24", "via", "198.51.100.2", "table", "100")
    run(*ip, "rule", "add", *rule, "lookup", "100")
    with plane_of(network) as plane:
        calls = Calls(network, plane, [f"{ELSEWHERE}2"] * CALLS)
        calls.talk()
        assert calls.heard() == [WORDS] * CALLS


@pytest.mark.parametrize("route", ["unreachable", "prohibit"])
def test_a_packet_that_is_refused_among_others_is_counted_and_the_others_leave(
    network: Lab, route: str
) -> None:
    ip = ("ip", "-n", network.relay.name)
    run(*ip, "route", "add", f"{ELSEWHERE}0/24", "via", "198.51.100.2")
    run(*ip, "route", "add", route, f"{ELSEWHERE}3/32")
    refused = [number in (2, 3, 6) for number in range(CALLS)]
    with plane_of(network) as plane:
        calls = Calls(network, plane, [f"{ELSEWHERE}{3 if not_to else 2}" for not_to in refused])
        calls.talk()
        expected = [0 if not_to else WORDS for not_to in refused]
        assert calls.heard() == expected
        assert calls.sent() == expected
        errors = [int(plane.row(rule.id)["send_error"]) for rule in calls.rules[::2]]
        assert errors == [WORDS if not_to else 0 for not_to in refused]


@pytest.mark.parametrize("v6", [False, True], ids=["IPv4", "IPv6"])
def test_several_workers_have_a_range_socket_each(network: Lab, v6: bool) -> None:
    with plane_of(network, 3) as plane:
        calls = Calls(network, plane, [network.address(network.b, v6)] * 9, workers=3, v6=v6)
        calls.greet()
        before = plane.by_shared()
        calls.talk()
        assert calls.heard() == [WORDS] * 9
        assert plane.by_shared() - before == 9 * WORDS
        assert all(plane.totals()[drop] == 0 for drop in ("no_rule", "stranger", "send_error", "overrun"))


def test_where_routes_go_by_ports_packets_leave_one_by_one(network: Lab) -> None:
    ip = ("ip", "-n", network.relay.name)
    for family, sysctl in (("-4", "ipv4"), ("-6", "ipv6")):
        run(*ip, family, "rule", "add", "dport", "5000-6000", "lookup", "100")
        with running(network.relay, *BOTH_SIDES) as process:
            assert (
                "range socket; packets leave one by one: routes are chosen by port (`ip rule`"
                in process.output
            )
        run(*ip, family, "rule", "delete", "dport", "5000-6000", "lookup", "100")
        network.relay.sysctl(f"net/{sysctl}/fib_multipath_hash_policy", "1")
        with running(network.relay, *BOTH_SIDES) as process:
            assert f"routes are chosen by port (sysctl net.{sysctl}.fib_multipath" in process.output
        network.relay.sysctl(f"net/{sysctl}/fib_multipath_hash_policy", "0")
    with running(network.relay, *BOTH_SIDES) as process:
        assert "user space: range socket\n" in process.output
