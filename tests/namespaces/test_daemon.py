"""The daemon with its eBPF plane, between machines: status, calls, and its sudden end."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import select
import signal
import socket
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.interop.process import Process
from tests.namespaces.calls import name, nothing_for, rtp, until
from tests.namespaces.lab import Lab, Namespace, lab
from tests.ng import NgClient

NG = ("127.0.0.1", 2223)
HTTP = "127.0.0.1:2224"
TGKILL = 234 if platform.machine() == "x86_64" else 131
"""Number of the system call that sends a signal to one thread."""

WITH_TWO_RIGHTS = ("setpriv", "--bounding-set=-all,+bpf,+net_admin")
WITHOUT_RIGHTS = ("setpriv", "--bounding-set=-bpf,-net_admin,-sys_admin")


def daemon(machine: Namespace, *options: str, wrapper: tuple[str, ...] = ()) -> Process:
    command = [sys.executable, "-m", "relay.cli", "serve", "--workers=1", "--delete-delay=0"]
    listen = ["--listen-ng=127.0.0.1:2223", f"--listen-http={HTTP}"]
    return Process(["ip", "netns", "exec", machine.name, *wrapper, *command, *listen, *options])


BOTH_SIDES = ("--interface=a/192.0.2.1", "--interface=b/198.51.100.1")


@pytest.fixture(scope="module")
def network() -> Iterator[Lab]:
    with lab() as built:
        yield built


@contextlib.contextmanager
def running(machine: Namespace, *options: str, wrapper: tuple[str, ...] = ()) -> Iterator[Process]:
    process = daemon(machine, *options, wrapper=wrapper)
    try:
        process.wait_for_output("ready", timeout=30.0)
        yield process
    finally:
        process.stop()


def sdp(phone: socket.socket, held: bool = False) -> str:
    """``held``: it wants to hear nothing (RFC 3264, section 8.4)."""
    address, port = name(phone)
    connection = "0.0.0.0" if held else address
    lines = [
        "v=0", f"o=- 1 1 IN IP4 {address}", "s=-", f"c=IN IP4 {connection}", "t=0 0",
        f"m=audio {port} RTP/AVP 8",
    ]  # fmt: skip
    return "\r\n".join([*lines, ""])


class Proxy:
    """Places one call over the relay."""

    def __init__(self, machine: Namespace, call_id: str = "call", port: int = NG[1]) -> None:
        self._call_id = call_id
        with machine.inside():
            self._client = NgClient((NG[0], port))

    def ask(self, command: str, **keys: Any) -> dict[str, Any]:
        reply = self._client.ask(command, call_id=self._call_id, from_tag="a", **keys)
        assert reply["result"] == "ok", reply
        return reply

    def place(self, caller: socket.socket, callee: socket.socket, held: bool = False) -> tuple[int, int]:
        """The relay's ports on the caller's and on the callee's side."""
        offered = self.ask("offer", sdp=sdp(caller, held), direction=["a", "b"])
        answered = self.ask("answer", to_tag="b", sdp=sdp(callee))
        return _port(answered["sdp"]), _port(offered["sdp"])

    def flags(self) -> list[list[str]]:
        """Of the RTP streams of both legs."""
        tags = self.ask("query")["tags"]
        return [tag["medias"][0]["streams"][0]["flags"] for tag in tags.values()]

    def close(self) -> None:
        self._client.close()


def _port(sdp: str) -> int:
    line = next(line for line in sdp.splitlines() if line.startswith("m=audio"))
    return int(line.split()[1])


class Talk:
    """A call that the kernel forwards, in both directions."""

    def __init__(self, network: Lab, proxy: Proxy, caller: socket.socket, callee: socket.socket) -> None:
        self.network, self.proxy, self.caller, self.callee = network, proxy, caller, callee
        to_caller, to_callee = proxy.place(caller, callee)
        caller.connect(("192.0.2.1", to_caller))
        callee.connect(("198.51.100.1", to_callee))
        self.sent = 0
        until(self.is_in_the_kernel)

    def is_in_the_kernel(self) -> bool:
        """Both say a word and are heard; then, whether the kernel does it."""
        for one, other in ((self.caller, self.callee), (self.callee, self.caller)):
            one.send(rtp(0))
            assert other.recv(2000) == rtp(0)
            self.sent += 1
        return all("kernelized" in flags for flags in self.proxy.flags())


@contextlib.contextmanager
def talk(network: Lab, *options: str) -> Iterator[tuple[Process, Talk]]:
    with (
        running(network.relay, *BOTH_SIDES, *options) as process,
        network.a.socket("192.0.2.2") as caller,
        network.b.socket("198.51.100.2") as callee,
        contextlib.closing(Proxy(network.relay)) as proxy,
    ):
        yield process, Talk(network, proxy, caller, callee)


def test_the_log_says_for_each_interface_who_forwards(network: Lab) -> None:
    options = (*BOTH_SIDES, "--interface=c/2001:db8:1::1", "--interface=d/127.0.0.1")
    with running(network.relay, *options) as process:
        log = process.output
    assert "plane of 192.0.2.1 on to-a: ebpf (TCX)" in log
    assert "plane of 198.51.100.1 on to-b: ebpf (TCX)" in log
    assert "plane of 2001:db8:1::1 on to-a: ebpf (TCX)" in log
    assert "plane of 127.0.0.1 on lo: userspace; no ebpf: loopback stays in user space" in log


def test_userspace_is_userspace(network: Lab) -> None:
    with running(network.relay, *BOTH_SIDES, "--plane=userspace") as process:
        assert "plane of 192.0.2.1 on to-a: userspace; no ebpf: --plane=userspace" in process.output


def test_without_capabilities_it_says_which_and_runs(network: Lab) -> None:
    with running(network.relay, *BOTH_SIDES, wrapper=WITHOUT_RIGHTS) as process:
        assert "on to-a: userspace; no ebpf: CAP_BPF and CAP_NET_ADMIN missing" in process.output


def test_root_of_a_container_is_told_that_it_is_not_enough(network: Lab) -> None:
    with running(network.relay, *BOTH_SIDES, wrapper=("unshare", "--user", "--map-root-user")) as process:
        assert "on to-a: userspace; no ebpf: [Errno 1]" in process.output
        assert "must be those of the machine, not of a container's own users" in process.output


def test_two_capabilities_are_enough(network: Lab) -> None:
    with running(network.relay, *BOTH_SIDES, "--plane=ebpf", wrapper=WITH_TWO_RIGHTS) as process:
        assert "plane of 192.0.2.1 on to-a: ebpf" in process.output


@pytest.mark.parametrize(
    ("interface", "wrapper", "reason"),
    [
        ("192.0.2.1", WITHOUT_RIGHTS, "CAP_BPF and CAP_NET_ADMIN missing; run as root"),
        ("127.0.0.1", (), "loopback stays in user space"),
    ],
)
def test_demanded_and_impossible_is_an_error_at_start(
    network: Lab, interface: str, wrapper: tuple[str, ...], reason: str
) -> None:
    process = daemon(network.relay, f"--interface={interface}", "--plane=ebpf", wrapper=wrapper)
    until(lambda: process.returncode is not None)
    assert process.returncode == 1
    assert "cannot start: --plane=ebpf: plane of" in process.output
    assert reason in process.output


@pytest.mark.parametrize(("address", "family"), [("192.0.2.1", "ipv4"), ("2001:db8:1::1", "ipv6")])
def test_without_forwarding_it_names_the_sysctl(address: str, family: str) -> None:
    with lab(forwarding=False) as built, running(built.relay, f"--interface={address}") as process:
        assert "userspace; no ebpf: the kernel does not forward on to-a" in process.output
        assert f"sysctl -w net.{family}.conf.to-a.forwarding=1" in process.output


def test_the_sysctl_it_names_is_enough() -> None:
    with lab(forwarding=False) as built:
        for device in ("to-a", "to-b"):
            built.relay.sysctl(f"net/ipv4/conf/{device}/forwarding", "1")
        with talk(built, "--plane=ebpf") as (_, call):
            call.caller.send(rtp(1))
            assert call.callee.recv(2000) == rtp(1)


def test_a_stopped_daemon_forwards_and_a_killed_one_does_not(network: Lab) -> None:
    with talk(network) as (process, call):
        os.kill(process.pid, signal.SIGSTOP)
        for seq in range(1, 51):
            call.caller.send(rtp(seq))
        assert [call.callee.recv(2000) for _ in range(50)] == [rtp(seq) for seq in range(1, 51)]
        os.kill(process.pid, signal.SIGKILL)
        until(lambda: process.returncode is not None)
        call.caller.send(rtp(51))
        with pytest.raises(ConnectionRefusedError):
            call.caller.recv(2000)
        assert nothing_for(call.callee)


def crash_worker(pid: int) -> None:
    """A fault of the thread that forwards, not of the one that decides."""
    threads = (thread for thread in Path(f"/proc/{pid}/task").iterdir())
    worker = next(thread for thread in threads if (thread / "comm").read_text() == "forward-0\n")
    assert ctypes.CDLL(None).syscall(TGKILL, pid, int(worker.name), signal.SIGSEGV) == 0


def test_a_crash_of_a_worker_ends_all_of_the_daemon_with_a_word_and_the_next_one_starts_at_once(
    network: Lab,
) -> None:
    with talk(network) as (process, call):
        crash_worker(process.pid)
        assert process.wait(5.0) == -signal.SIGSEGV
        assert "Fatal Python error: Segmentation fault" in process.output
        call.caller.send(rtp(51))
        with pytest.raises(ConnectionRefusedError):
            call.caller.recv(2000)
        assert nothing_for(call.callee)
    with talk(network) as (_, call):
        call.caller.send(rtp(1))
        assert call.callee.recv(2000) == rtp(1)


def test_no_packet_to_a_phone_on_hold_after_the_reply(network: Lab) -> None:
    with talk(network) as (_, call):
        call.proxy.place(call.caller, call.callee, held=True)
        for seq in range(1, 51):
            call.callee.send(rtp(seq))
        until(lambda: metric(network, 'icerelay_dropped_packets_total{reason="no_output"}') == 50)
        assert nothing_for(call.caller)
        call.proxy.place(call.caller, call.callee)
        call.callee.send(rtp(51))
        assert call.caller.recv(2000) == rtp(51)
        until(call.is_in_the_kernel)


def test_no_packet_to_the_old_address_after_the_reply(network: Lab) -> None:
    with talk(network) as (_, call), network.b.socket("198.51.100.2") as moved:
        call.proxy.ask("offer", sdp=sdp(call.caller), to_tag="b", direction=["a", "b"])
        call.proxy.ask("answer", to_tag="b", sdp=sdp(moved))
        for seq in range(1, 51):
            call.caller.send(rtp(seq))
        assert [moved.recv(2000) for _ in range(50)] == [rtp(seq) for seq in range(1, 51)]
        assert nothing_for(call.callee)


def test_no_packet_after_delete(network: Lab) -> None:
    with talk(network) as (_, call):
        call.proxy.ask("delete")
        until(lambda: is_refused(call.caller))
        assert nothing_for(call.callee)


def is_refused(sock: socket.socket) -> bool:
    """Whether what it sends meets a closed port."""
    try:
        sock.send(rtp(1))
        if not nothing_for(sock):
            sock.recv(2000)
    except ConnectionRefusedError:
        return True
    return False


def test_counters_and_metrics_tell_the_planes_apart(network: Lab) -> None:
    with talk(network) as (_, call):
        for seq in range(1, 101):
            call.caller.send(rtp(seq))
            call.callee.recv(2000)
        sent = call.sent + 100
        assert call.proxy.ask("query")["totals"]["RTP"]["packets"] == sent
        in_kernel = metric(network, 'rtpengine_packets_total{type="kernel"}')
        assert 100 < in_kernel < sent
        assert metric(network, 'rtpengine_packets_total{type="userspace"}') == sent - in_kernel
        assert metric(network, 'rtpengine_mediastreams{type="kernel"}') == 2
        assert metric(network, 'rtpengine_mediastreams{type="userspace"}') == 2
        until(lambda: metric(network, 'icerelay_declined_rules{reason="no_rtp"}') == 2)


def test_a_plane_that_ceases_to_work_in_a_call_is_told_once_and_that_it_works_again_too() -> None:
    stopped = "plane of 192.0.2.1 on to-a: userspace, for ebpf forwards nothing any more: the kernel does not"
    with lab() as built, talk(built) as (process, call):
        built.relay.sysctl("net/ipv4/conf/all/forwarding", "0")
        until(lambda: not call.is_in_the_kernel() and stopped in process.output, timeout=30.0)
        assert call.proxy.flags() == [["RTP", "filled", "confirmed"]] * 2
        assert metric(built, 'rtpengine_mediastreams{type="kernel"}') == 0
        assert metric(built, 'icerelay_declined_rules{reason="no_way"}') == 2
        built.relay.sysctl("net/ipv4/conf/all/forwarding", "1")
        again = "plane of 192.0.2.1 on to-a: ebpf (TCX) again"
        until(lambda: call.is_in_the_kernel() and again in process.output, timeout=30.0)
        assert process.output.count(stopped) == 1


def test_what_a_plane_has_counted_never_goes_back_while_packets_flow(network: Lab) -> None:
    with talk(network) as (_, call):
        done = threading.Event()

        def talk_on() -> None:
            while not done.wait(0.001):
                for seq in range(10):
                    call.caller.send(rtp(seq))

        talker = threading.Thread(target=talk_on)
        talker.start()
        try:
            scrapes = [totals_by_plane(network) for _ in range(100)]
        finally:
            done.set()
            talker.join()
    for sample in scrapes[-1]:
        counts = [scrape[sample] for scrape in scrapes]
        assert counts == sorted(counts), sample
    assert scrapes[-1]['rtpengine_packets_total{type="kernel"}'] > 100


def test_a_call_that_only_the_kernel_sees_does_not_time_out(network: Lab) -> None:
    with talk(network, "--timeout=1") as (process, call):

        def talk_on() -> bool:
            """Longer than a call lives that is silent for 1 s; its clock is looked at every second."""
            call.caller.send(rtp(1))
            call.callee.recv(2000)
            select.select([], [], [], 0.02)
            return metric(network, "rtpengine_uptime_seconds") > started + 3

        started = metric(network, "rtpengine_uptime_seconds")
        until(talk_on)
        assert "call ended" not in process.output


def scrape(network: Lab) -> list[str]:
    with network.relay.inside(), urllib.request.urlopen(f"http://{HTTP}/metrics", timeout=5) as page:
        lines: list[str] = page.read().decode().splitlines()
    return lines


def metric(network: Lab, sample: str) -> float:
    """0 for one that is not there."""
    return next((float(line.split()[-1]) for line in scrape(network) if line.startswith(sample + " ")), 0.0)


def totals_by_plane(network: Lab) -> dict[str, float]:
    """Counters that there are of either plane, by name and labels."""
    samples = (line.rsplit(" ", 1) for line in scrape(network) if line.split("{")[0].endswith("_total"))
    return {name: float(value) for name, value in samples if 'type="' in name}
