"""The daemon whose streams share a queue: status, calls, and its sudden end."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import struct
import sys
from collections.abc import Iterator

import pytest

from relay.forward.offload import bpf
from tests.interop.process import Process
from tests.namespaces.calls import nothing_for, rtp, until
from tests.namespaces.lab import Lab, Namespace, lab
from tests.namespaces.test_daemon import BOTH_SIDES, WITHOUT_RIGHTS, Proxy, is_refused, metric, running, sdp

WITH_THREE_RIGHTS = ("setpriv", "--bounding-set=-all,+bpf,+net_admin,+net_raw")
WITHOUT_RAW = ("setpriv", "--bounding-set=-net_raw")

PACKETS = "icerelay_range_socket_packets_total"

PROG_QUERY = 16


@pytest.fixture(scope="module")
def network() -> Iterator[Lab]:
    with lab() as built:
        yield built


def attached(machine: Namespace) -> int:
    """How many programs the machine asks for the socket of a datagram."""
    with machine.inside(), open("/proc/thread-self/ns/net") as namespace:
        question = struct.pack("<4I16x", namespace.fileno(), bpf.ATTACH_SK_LOOKUP, 0, 0)
        block = ctypes.create_string_buffer(question, len(question))
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.syscall(bpf._NUMBER[os.uname().machine], PROG_QUERY, block, len(block)) == 0
    (count,) = struct.unpack_from("<I", block.raw, 24)
    return int(count)


@pytest.mark.parametrize(
    ("options", "wrapper", "line"),
    [
        ((), (), "user space: range socket\n"),
        ((), WITH_THREE_RIGHTS, "user space: range socket\n"),
        ((), WITHOUT_RAW, "user space: range socket; packets leave one by one: CAP_NET_RAW missing"),
        ((), WITHOUT_RIGHTS, "no range socket: CAP_BPF and CAP_NET_ADMIN missing; run as root"),
        ((), ("unshare", "--user", "--map-root-user"), "no range socket: [Errno 1]"),
        (("--range-socket=off",), (), "no range socket: --range-socket=off"),
    ],
)
def test_the_log_says_whether_streams_share_a_queue_or_why_not(
    network: Lab, options: tuple[str, ...], wrapper: tuple[str, ...], line: str
) -> None:
    with running(network.relay, *BOTH_SIDES, *options, wrapper=wrapper) as process:
        assert line in process.output


@contextlib.contextmanager
def call(network: Lab, v6: bool = False) -> Iterator[tuple[socket.socket, socket.socket, Proxy, int]]:
    """Two phones that talk by the range socket, the proxy, and the daemon's process id."""
    sides = [
        f"--interface={side}/{network.gateway(phone, v6)}"
        for side, phone in (("a", network.a), ("b", network.b))
    ]
    with (
        running(network.relay, *sides, "--plane=userspace") as process,
        network.a.socket(network.address(network.a, v6)) as caller,
        network.b.socket(network.address(network.b, v6)) as callee,
        contextlib.closing(Proxy(network.relay)) as proxy,
    ):
        to_caller, to_callee = proxy.place(caller, callee)
        caller.connect((network.gateway(network.a, v6), to_caller))
        callee.connect((network.gateway(network.b, v6), to_callee))
        for seq in range(2):
            say(caller, callee, seq)
            say(callee, caller, seq)
        before = metric(network, PACKETS)
        say(caller, callee, 2)
        say(callee, caller, 2)
        assert metric(network, PACKETS) == before + 2
        yield caller, callee, proxy, process.pid


def say(one: socket.socket, other: socket.socket, seq: int) -> None:
    one.send(rtp(seq))
    assert other.recv(2000) == rtp(seq)


@pytest.mark.parametrize("v6", [False, True], ids=["IPv4", "IPv6"])
def test_a_talk_with_many_packets_at_once_arrives_in_order(network: Lab, v6: bool) -> None:
    with call(network, v6) as (caller, callee, _, pid):
        os.kill(pid, signal.SIGSTOP)
        for seq in range(200):
            caller.send(rtp(seq))
            callee.send(rtp(seq))
        os.kill(pid, signal.SIGCONT)
        for phone in (caller, callee):
            assert [phone.recv(2000) for _ in range(200)] == [rtp(seq) for seq in range(200)]


def test_no_packet_to_a_phone_on_hold_after_the_reply(network: Lab) -> None:
    with call(network) as (caller, callee, proxy, _):
        proxy.place(caller, callee, held=True)
        for seq in range(50):
            callee.send(rtp(seq))
        until(lambda: metric(network, 'icerelay_dropped_packets_total{reason="no_output"}') == 50)
        assert nothing_for(caller)


def test_no_packet_to_the_old_address_after_the_reply(network: Lab) -> None:
    with call(network) as (caller, callee, proxy, _), network.b.socket("198.51.100.2") as moved:
        proxy.ask("offer", sdp=sdp(caller), to_tag="b", direction=["a", "b"])
        proxy.ask("answer", to_tag="b", sdp=sdp(moved))
        for seq in range(50):
            say(caller, moved, seq)
        assert nothing_for(callee)


def test_no_packet_after_delete(network: Lab) -> None:
    with call(network) as (caller, callee, proxy, _):
        proxy.ask("delete")
        until(lambda: is_refused(caller))
        assert nothing_for(callee)


def test_a_killed_daemon_leaves_nothing_attached(network: Lab) -> None:
    with call(network) as (caller, callee, _, pid):
        assert attached(network.relay) == 1
        os.kill(pid, signal.SIGKILL)
        until(lambda: is_refused(caller))
        assert attached(network.relay) == 0
        assert nothing_for(callee)


def test_of_two_relays_on_one_machine_one_ends_and_the_other_goes_on(network: Lab) -> None:
    """At the same addresses, with ports of their own."""
    with contextlib.ExitStack() as opened:
        relays = [opened.enter_context(at_ports(network, *ports)) for ports in ((2223, 30000), (2323, 31000))]
        calls = []
        for relay, proxy in relays:
            caller = opened.enter_context(network.a.socket("192.0.2.2"))
            callee = opened.enter_context(network.b.socket("198.51.100.2"))
            to_caller, to_callee = proxy.place(caller, callee)
            caller.connect(("192.0.2.1", to_caller))
            callee.connect(("198.51.100.1", to_callee))
            calls.append((relay, caller, callee))
        for _, caller, callee in calls:
            for seq in range(20):
                say(caller, callee, seq)
        assert attached(network.relay) == 2
        (first, caller, _), (_, other_caller, other_callee) = calls
        os.kill(first.pid, signal.SIGKILL)
        until(lambda: is_refused(caller))
        for seq in range(20):
            say(other_caller, other_callee, seq)
        assert attached(network.relay) == 1


@contextlib.contextmanager
def at_ports(network: Lab, ng: int, first: int) -> Iterator[tuple[Process, Proxy]]:
    """A relay with an ng port and 1,000 media ports of its own, and its proxy."""
    command = [sys.executable, "-m", "relay.cli", "serve", "--workers=1", f"--listen-ng=127.0.0.1:{ng}"]
    ports = [f"--port-min={first}", f"--port-max={first + 999}", "--plane=userspace", *BOTH_SIDES]
    process = Process(["ip", "netns", "exec", network.relay.name, *command, *ports])
    try:
        process.wait_for_output("ready", timeout=30.0)
        with contextlib.closing(Proxy(network.relay, f"call-{ng}", ng)) as proxy:
            yield process, proxy
    finally:
        process.stop()
