"""The daemon while one of its threads hangs: stopped by ptrace(2), as a debugger would."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.interop.process import Process
from tests.namespaces.calls import nothing_for, rtp, until
from tests.namespaces.lab import Lab, lab
from tests.namespaces.test_daemon import BOTH_SIDES, HTTP, NG, Proxy, is_refused, metric, sdp
from tests.ng import NgClient

SEIZE, INTERRUPT, DETACH = 0x4206, 0x4207, 17
WALL = 0x40000000

RING = 4096
"""Commands that may wait for a worker."""

libc = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def daemon(network: Lab, workers: int, *options: str) -> Iterator[Process]:
    command = [sys.executable, "-m", "relay.cli", "serve", f"--workers={workers}", "--delete-delay=0"]
    listen = [f"--listen-ng={NG[0]}:{NG[1]}", f"--listen-http={HTTP}", *BOTH_SIDES, *options]
    process = Process(["ip", "netns", "exec", network.relay.name, *command, "--log-level=4", *listen])
    try:
        process.wait_for_output("ready", timeout=30.0)
        yield process
    finally:
        process.stop()


def ptrace(request: int, thread: int) -> None:
    assert libc.ptrace(request, thread, None, None) == 0, os.strerror(ctypes.get_errno())


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[Callable[[], bool]]:
    """The first worker of a daemon does nothing meanwhile. The function says whether it has ended."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    worker = next(int(one.name) for one in threads if (one / "comm").read_text() == "forward-0\n")
    ptrace(SEIZE, worker)
    ptrace(INTERRUPT, worker)
    os.waitpid(worker, WALL)
    ended = [False]

    def has_ended() -> bool:
        """Nobody else is told of the end of a process before it is told of its thread's who stopped that."""
        ended[0] = ended[0] or os.waitpid(worker, WALL | os.WNOHANG)[0] == worker
        return ended[0]

    try:
        yield has_ended
    finally:
        if not has_ended():
            ptrace(DETACH, worker)


@dataclass
class Call:
    """Two phones that have spoken with each other."""

    proxy: Proxy
    caller: socket.socket
    callee: socket.socket

    def is_heard(self) -> bool:
        for one, other in ((self.caller, self.callee), (self.callee, self.caller)):
            one.send(rtp(1))
            if other.recv(2000) != rtp(1):
                return False
        return True


@pytest.fixture(scope="module")
def network() -> Iterator[Lab]:
    with lab() as built:
        yield built


class Stage:
    """Places calls, which go to the workers in turn. A reply has to come within a second."""

    def __init__(self, network: Lab, opened: contextlib.ExitStack) -> None:
        self.network, self._opened, self._count = network, opened, 0
        with network.relay.inside():
            self.client = opened.enter_context(NgClient(NG, timeout=1.0))

    def proxy(self) -> Proxy:
        self._count += 1
        proxy = Proxy(self.network.relay, f"call-{self._count}")
        proxy._client.socket.settimeout(1.0)
        self._opened.callback(proxy.close)
        return proxy

    def place(self) -> Call:
        caller = self._opened.enter_context(self.network.a.socket("192.0.2.2"))
        callee = self._opened.enter_context(self.network.b.socket("198.51.100.2"))
        call = Call(self.proxy(), caller, callee)
        to_caller, to_callee = call.proxy.place(caller, callee)
        caller.connect(("192.0.2.1", to_caller))
        callee.connect(("198.51.100.1", to_callee))
        return call

    def is_there(self) -> bool:
        return self.client.ask("ping")["result"] == "pong" and metric(self.network, "icerelay_workers") > 0


def settle(calls: list[Call], plane: str) -> None:
    """Both phones of each call are known, and where there is a kernel's plane it has them."""
    for call in calls:
        assert call.is_heard()
        if plane == "auto":
            until(lambda call=call: call.is_heard() and all("kernelized" in f for f in call.proxy.flags()))  # type: ignore[misc]


@pytest.mark.parametrize("plane", ["auto", "userspace"])
def test_while_a_worker_hangs_the_calls_of_the_other_one_go_on(network: Lab, plane: str) -> None:
    with daemon(network, 2, f"--plane={plane}") as process, contextlib.ExitStack() as opened:
        stage = Stage(network, opened)
        calls = [stage.place() for _ in range(8)]
        settle(calls, plane)
        hung, others = calls[::2], calls[1::2]
        with stopped(process.pid):
            for call in calls:
                call.proxy.ask("query")
                assert stage.is_there()
            for one, other in zip(hung, others, strict=True):
                for call in (one, other):
                    call.proxy.place(call.caller, call.callee, held=True)
                    call.proxy.place(call.caller, call.callee)
                    assert stage.is_there()
                assert other.is_heard()
            hung[0].proxy.ask("delete")
            others[0].proxy.ask("delete")
            until(lambda: is_refused(others[0].caller))
            added = [stage.place() for _ in range(2)]
            assert added[1].is_heard()
            assert stage.is_there()
        until(lambda: is_refused(hung[0].caller))
        assert nothing_for(hung[0].callee)
        settle([*hung[1:], *others[1:], *added], plane)
        for call in (*hung[1:], *others[1:], *added):
            call.proxy.ask("delete")
        until(lambda: metric(network, 'rtpengine_ports_used{address="192.0.2.1",name="a"}') == 0)


def test_a_worker_for_which_too_much_waits_gets_no_call_and_no_change_but_every_end(
    network: Lab,
) -> None:
    with daemon(network, 1) as process, contextlib.ExitStack() as opened:
        stage = Stage(network, opened)
        call, ended = stage.place(), stage.place()
        with stopped(process.pid), network.a.socket("192.0.2.2") as phone:
            keys = {"sdp": sdp(phone), "from_tag": "a", "direction": ["a", "b"]}
            replies = []
            for number in range(RING):
                replies.append(stage.client.ask("offer", call_id=f"new-{number}", **keys))
                if replies[-1]["result"] != "ok":
                    break
                stage.client.ask("delete", call_id=f"new-{number}", from_tag="a")
            assert replies[-1] == {"result": "error", "error-reason": "Ran out of ports"}
            changed = stage.client.ask("offer", call_id="call-1", **keys)
            assert changed == {"result": "error", "error-reason": "Thread of this call hangs"}
            ended.proxy.ask("delete")
            assert stage.is_there()
        until(lambda: is_refused(ended.caller))
        assert call.is_heard()
        until(lambda: metric(network, 'rtpengine_ports_used{address="192.0.2.1",name="a"}') == 2)
        assert stage.place().is_heard()
        assert "Traceback" not in process.output


def test_a_daemon_of_which_a_worker_hangs_ends_when_it_is_told_to(network: Lab) -> None:
    with daemon(network, 2) as process, contextlib.ExitStack() as opened:
        Stage(network, opened).place()
        with stopped(process.pid) as has_ended:
            process.signal(signal.SIGTERM)
            until(has_ended, timeout=20.0)
        assert process.wait(5.0) == 0
