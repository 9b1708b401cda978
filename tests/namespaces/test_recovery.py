"""What stops a relay for a while stops its calls for that while only, over every plane: a pause, a flood."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from relay.forward.rule import Address
from tests.namespaces.calls import nothing_for, rtp, until
from tests.namespaces.lab import Lab, lab
from tests.namespaces.test_daemon import BOTH_SIDES, Proxy, Talk, metric, running

DAEMONS = {
    "user space": ("--plane=userspace", "--range-socket=off"),
    "range socket": ("--plane=userspace",),
    "eBPF": ("--plane=ebpf",),
}
"""Options of the daemon for each plane."""

IN_KERNEL = ("eBPF",)
"""Those whose media a stopped daemon does not stop."""

CALLS = 10
PAUSE = 8.0
"""Seconds: rtpengine's calls do not survive this."""

TICK = 0.02
BACK = 5
"""Packets of each stream, 100 ms: so much may be lost once the trouble is over."""

STRANGERS = 'icerelay_dropped_packets_total{reason="stranger"}'

FLOOD = """
import socket, sys, time

sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
packet, end = bytes([0x80, 8]) + bytes(170), time.monotonic() + 1
while time.monotonic() < end:
    for _ in range(100):
        sock.sendto(packet, (sys.argv[1], int(sys.argv[2])))
"""


@dataclass
class Stream:
    """One phone talks to another. Words are numbered."""

    speaker: socket.socket
    listener: socket.socket
    said: int = 0
    heard: set[int] = field(default_factory=set)

    def say(self) -> None:
        self.said += 1
        self.speaker.send(rtp(self.said, payload=self.said.to_bytes(4, "big")))

    def listen(self) -> None:
        while not nothing_for(self.listener):
            self.heard.add(int.from_bytes(self.listener.recv(2000)[12:16], "big"))

    def heard_the_last_word(self) -> bool:
        self.listen()
        return self.said in self.heard

    def missing(self, since: int = 0) -> list[int]:
        """Words that were said after so many, and not heard."""
        return [word for word in range(since + 1, self.said + 1) if word not in self.heard]


@dataclass
class Room:
    """Calls over one daemon."""

    plane: str
    network: Lab
    pid: int
    streams: list[Stream]
    flooded: Address
    """A port of the first call, which its caller speaks to."""

    @property
    def others(self) -> list[Stream]:
        return self.streams[2:]


@contextlib.contextmanager
def room(plane: str) -> Iterator[Room]:
    with contextlib.ExitStack() as opened:
        network = opened.enter_context(lab())
        process = opened.enter_context(running(network.relay, *BOTH_SIDES, *DAEMONS[plane]))
        streams = []
        for number in range(CALLS):
            caller = opened.enter_context(network.a.socket("192.0.2.2"))
            callee = opened.enter_context(network.b.socket("198.51.100.2"))
            proxy = opened.enter_context(contextlib.closing(Proxy(network.relay, f"{number}@recovery")))
            if plane in IN_KERNEL:
                Talk(network, proxy, caller, callee)
            else:
                to_caller, to_callee = proxy.place(caller, callee)
                caller.connect(("192.0.2.1", to_caller))
                callee.connect(("198.51.100.1", to_callee))
            streams += [Stream(caller, callee), Stream(callee, caller)]
        made = Room(plane, network, process.pid, streams, streams[0].speaker.getpeername())
        talk([made], 10 * TICK)
        for stream in streams:
            until(stream.heard_the_last_word)
        yield made


def talk(rooms: list[Room], seconds: float) -> None:
    """All phones talk."""
    for _ in range(round(seconds / TICK)):
        for one in rooms:
            for stream in one.streams:
                stream.say()
        time.sleep(TICK)


def test_a_daemon_that_is_stopped_for_eight_seconds_loses_no_call() -> None:
    with contextlib.ExitStack() as opened:
        rooms = [opened.enter_context(room(plane)) for plane in DAEMONS]
        for one in rooms:
            os.kill(one.pid, signal.SIGSTOP)
        try:
            talk(rooms, PAUSE)
        finally:
            for one in rooms:
                os.kill(one.pid, signal.SIGCONT)
        over = rooms[0].streams[0].said
        talk(rooms, 1.0)
        for one in rooms:
            in_kernel = one.plane in IN_KERNEL
            for stream in one.streams:
                until(stream.heard_the_last_word)
                assert not stream.missing(since=0 if in_kernel else over + BACK), one.plane


@pytest.mark.parametrize("plane", DAEMONS)
def test_a_strangers_flood_costs_the_other_calls_nothing(plane: str) -> None:
    with room(plane) as one:
        host, port = one.flooded
        enter = ("ip", "netns", "exec", one.network.a.name)
        flood = subprocess.Popen([*enter, sys.executable, "-c", FLOOD, host, str(port)])
        while flood.poll() is None:
            talk([one], TICK)
        assert flood.returncode == 0
        until(lambda: metric(one.network, STRANGERS) > 10_000)
        over = one.streams[0].said
        talk([one], 1.0)
        for stream in one.streams:
            until(stream.heard_the_last_word)
        assert [stream.missing() for stream in one.others] == [[]] * len(one.others)
        for stream in one.streams[:2]:
            assert not stream.missing(since=0 if plane in IN_KERNEL else over + BACK)
