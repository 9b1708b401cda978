"""What a forwarded packet costs: audio calls through the native plane on the loopback interface.

    python -m bench.forward --calls 100 --seconds 10
    python -m bench.forward --calls 100 --seconds 10 --srtp AEAD_AES_128_GCM

    generator (this process)                       plane (a process of its own)
      two sockets, sendmmsg and recvmmsg  <----->  two ports per call, one rule each

Every call is a stream each way: 50 packets/s of 172 bytes. The plane's cost is
the time all of its process' threads spent on a CPU. A plane that had to wait
for a CPU batches more and looks cheaper, so the wait is shown as well.

With ``--srtp`` every measurement is done twice: plain, and with callers that
talk SRTP, so that each packet is unprotected (from them) or protected (to them).
The difference is what that costs, with some noise: the generator, which has
to protect as well, then sends less evenly.
"""

from __future__ import annotations

import argparse
import ctypes
import multiprocessing
import os
import random
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from relay.forward._fastpath import NativePlane
from relay.forward.rule import Address, Learn, Rule
from relay.forward.sockets import PortPool
from relay.forward.srtp_library import TAIL, Context, load
from relay.ports import Ports
from relay.srtp.profiles import PROFILES, MasterKey, Profile, profile_named

SIZE = 172
ROOM = (SIZE + TAIL + 7) // 8 * 8
INTERVAL = 0.020
TICKS = 20
"""Parts in which the streams of one interval are sent, so that they do not come in one burst."""

CHUNK = 16
"""Packets stamped and sent at once: what the last of them waits for the others is not the plane's latency."""

libc = ctypes.CDLL(None, use_errno=True)


class Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class Message(ctypes.Structure):
    """``struct mmsghdr``."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("data", ctypes.POINTER(Iovec)),
        ("data_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
        ("padding", ctypes.c_int),
        ("received", ctypes.c_uint32),
    )


class Batch:
    """Buffers for ``sendmmsg`` and ``recvmmsg``; ``packets`` is a row of bytes per datagram."""

    def __init__(self, names: list[Address] | int, size: int = SIZE) -> None:
        count = names if isinstance(names, int) else len(names)
        self.packets: NDArray[np.uint8] = np.zeros((count, ROOM), np.uint8)
        self.stamps = self.packets[:, 16:24].view(np.int64)[:, 0]
        self._vectors = (Iovec * count)()
        self.messages = (Message * count)()
        self._names = np.zeros((count, 16), np.uint8)
        for index in range(count):
            self._vectors[index] = Iovec(self.packets[index].ctypes.data, size)
            self.messages[index].data = ctypes.pointer(self._vectors[index])
            self.messages[index].data_count = 1
        for index, (host, port) in enumerate([] if isinstance(names, int) else names):
            name = socket.AF_INET.to_bytes(2, "little") + port.to_bytes(2, "big") + socket.inet_aton(host)
            self._names[index, :8] = np.frombuffer(name, np.uint8)
            self.messages[index].name = self._names[index].ctypes.data
            self.messages[index].name_length = 16


class Protector:
    """The sending half of SRTP phones: a context for each."""

    def __init__(self, profile: Profile, count: int) -> None:
        pointer = ctypes.c_void_p
        self._contexts = [Context(profile, master(profile), inbound=False) for _ in range(count)]
        self._protect = ctypes.CFUNCTYPE(ctypes.c_int, pointer, pointer, pointer)(load().protect)
        self._length = ctypes.c_int()

    def protect(self, batch: Batch, first: int, last: int) -> None:
        """In place."""
        start, length = batch.packets.ctypes.data, ctypes.addressof(self._length)
        for index in range(first, last):
            self._length.value = SIZE
            failed = self._protect(self._contexts[index].address, start + index * ROOM, length)
            assert not failed, f"libsrtp says {failed}"


def master(profile: Profile) -> MasterKey:
    """One key for all: it is the contexts that are many."""
    return MasterKey.split(profile, bytes(range(profile.master_length)))


@dataclass
class Endpoint:
    """All phones of one side of the calls, behind one socket. With a profile they talk SRTP."""

    host: str
    profile: Profile | None = None
    sock: socket.socket = field(init=False)
    sent: int = 0
    received: int = 0
    finished: bool = False
    latencies: list[NDArray[np.int64]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.sock.bind((self.host, 0))
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 200_000))

    def send(self, sides: list[Address], seconds: float) -> None:
        """One packet to every side in every interval; late ticks are made up for."""
        batch = Batch(sides, SIZE + (self.profile.rtp_tag if self.profile else 0))
        protector = Protector(self.profile, len(sides)) if self.profile else None
        batch.packets[:, 0], batch.packets[:, 1] = 0x80, 8
        count = len(sides)
        parts = [(count * tick // TICKS, count * (tick + 1) // TICKS) for tick in range(TICKS)]
        start = time.monotonic()
        for tick in range(int(seconds / INTERVAL) * TICKS):
            time.sleep(max(0.0, start + tick * INTERVAL / TICKS - time.monotonic()))
            first, last = parts[tick % TICKS]
            seq = tick // TICKS
            batch.packets[first:last, 2], batch.packets[first:last, 3] = seq >> 8 & 255, seq & 255
            for index in range(first, last, CHUNK):
                self._send_chunk(batch, index, min(last, index + CHUNK), protector)

    def _send_chunk(self, batch: Batch, first: int, last: int, protector: Protector | None) -> None:
        batch.stamps[first:last] = time.monotonic_ns()
        if protector is not None:
            protector.protect(batch, first, last)
        sent = libc.sendmmsg(self.sock.fileno(), ctypes.byref(batch.messages[first]), last - first, 0)
        self.sent += max(sent, 0)

    def receive(self) -> None:
        """Until nothing has come for a while after the last was sent."""
        batch = Batch(256)
        while True:
            count = libc.recvmmsg(self.sock.fileno(), batch.messages, 256, 0x10000, None)  # MSG_WAITFORONE
            now = time.monotonic_ns()
            self.received += max(count, 0)
            if count > 0 and self.profile is None:
                self.latencies.append(now - batch.stamps[:count])
            elif count <= 0 and self.finished:
                return


def serve(pipe: Connection, calls: int, caller: Address, callee: Address, suite: str | None) -> None:
    """The plane's process."""
    pool = PortPool({"127.0.0.1": Ports(20000, 59999, random.Random())})
    plane = NativePlane(rules=2 * calls, on_close=pool.release)
    sides: list[tuple[Address, Address]] = []
    profile = profile_named(suite) if suite else None
    for _ in range(calls):
        keys = plane.open_keys(profile, master(profile), master(profile)) if profile else None
        ours, theirs = pool.open_pair("127.0.0.1", 0)
        sides.append((ours.getsockname(), theirs.getsockname()))
        first, second = plane.allocate(), plane.allocate()
        plane.apply(
            [
                Rule(first, plane.open(ours, 0), caller, Learn.WINDOW, rtp=(second,), keys=keys),
                Rule(second, plane.open(theirs, 0), callee, Learn.WINDOW, rtp=(first,)),
            ]
        )
    pipe.send(sides)
    pipe.recv()
    pipe.send(plane.totals())
    plane.stop()


def processor_time(process: int) -> tuple[int, int]:
    """Nanoseconds that the threads of a process ran, and waited for a CPU."""
    tasks = [path.read_text().split() for path in Path(f"/proc/{process}/task").glob("*/schedstat")]
    return sum(int(task[0]) for task in tasks), sum(int(task[1]) for task in tasks)


def measure(calls: int, seconds: float, suite: str | None) -> float:
    """Returns nanoseconds per packet."""
    profile = profile_named(suite) if suite else None
    caller, callee = Endpoint("127.0.0.2", profile), Endpoint("127.0.0.3")
    ours, theirs = multiprocessing.Pipe()
    spawned = multiprocessing.get_context("spawn")
    plane = spawned.Process(
        target=serve, args=(theirs, calls, caller.sock.getsockname(), callee.sock.getsockname(), suite)
    )
    plane.start()
    assert plane.pid is not None
    sides = ours.recv()
    receivers = [threading.Thread(target=end.receive) for end in (caller, callee)]
    senders = [
        threading.Thread(target=caller.send, args=([side for side, _ in sides], seconds)),
        threading.Thread(target=callee.send, args=([side for _, side in sides], seconds)),
    ]
    ran, waited = processor_time(plane.pid)
    started = time.monotonic()
    for thread in (*receivers, *senders):
        thread.start()
    for thread in senders:
        thread.join()
    elapsed = time.monotonic() - started
    caller.finished = callee.finished = True
    for thread in receivers:
        thread.join()
    ran_after, waited_after = processor_time(plane.pid)
    ours.send(None)
    totals = ours.recv()
    plane.join()
    print(f"{suite or 'plain':24}", end="")
    report(calls, [caller, callee], elapsed, ran_after - ran, waited_after - waited, totals)
    for end in (caller, callee):
        end.sock.close()
    return (ran_after - ran) / (caller.sent + callee.sent)


def report(
    calls: int, ends: list[Endpoint], elapsed: float, ran: int, waited: int, totals: dict[str, int]
) -> None:
    sent = sum(end.sent for end in ends)
    received = sum(end.received for end in ends)
    latencies = np.concatenate([array for end in ends for array in end.latencies]) / 1e6
    p50, p99 = np.percentile(latencies, [50, 99])
    print(
        f"{calls:5} calls: {sent / elapsed:8,.0f} packets/s in, CPU {ran / sent:7,.0f} ns/packet "
        f"({ran / elapsed / 1e7:.1f} % of a core, waited {waited / elapsed / 1e7:.1f} %), "
        f"loss {1 - received / sent:.4%} (plane forwarded {totals['sent_packets'] / sent:.4%}), "
        f"latency p50 {p50:.3f} ms, p99 {p99:.3f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost of a forwarded packet.")
    parser.add_argument("--calls", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--srtp", choices=[profile.name for profile in PROFILES], metavar="PROFILE")
    arguments = parser.parse_args()
    print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, {SIZE} bytes, {INTERVAL * 1000:.0f} ms")
    for calls in arguments.calls:
        plain = measure(calls, arguments.seconds, None)
        if arguments.srtp:
            secure = measure(calls, arguments.seconds, arguments.srtp)
            print(
                f"{'':24}{secure - plain:+,.0f} ns for one protect or unprotect ({secure / plain - 1:+.1%})"
            )


if __name__ == "__main__":
    main()
