"""What an answered ICE check costs: by the forwarding threads, and by the agents in Python.

``icerelay bench --only stun`` measures a whole relay; this compares the two ways inside it.

    python -m bench.stun --legs 250 --rate 2000 --seconds 5

    generator (this process)                        relay (a process of its own)
      one socket, consent checks ---------------->  a port and a rule per leg
      counts answers <----------------------------  the worker answers, or: event -> agent -> send

Both ways the relay's cost is the time all of its process' threads spent on a
CPU, system calls included; the wait for a CPU is shown, as one that waits
batches more and looks cheaper. The agents are ICE-lite, so that they have
nothing to do but answer. The last line is the computation alone, in a loop in
this process: parse, verify, write and sign.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import select
import socket
import statistics
import threading
import time
from dataclasses import replace
from multiprocessing.connection import Connection

from relay.bench.machine import processor_time
from relay.forward._fastpath import CheckAnswerer, NativePlane
from relay.forward.plane import Stun
from relay.forward.rule import CHECKS_PER_SECOND, Address, Learn, Rule, StunKeys
from relay.forward.sockets import PortPool
from relay.ice import stun
from relay.ice.agent import Agent
from relay.ice.credentials import Credentials
from relay.ice.outputs import Path, Send
from relay.ports import Ports

OURS = Credentials("relay678", "a-password-of-26-charactes")
THEIRS = Credentials("peer", "the-peers-password-of-22")
KEYS = StunKeys(OURS.ufrag, OURS.pwd, THEIRS.ufrag, controlling=False)
TICK = 0.005
"""Seconds between bursts of the generator."""


def check(rng: random.Random) -> bytes:
    """As a browser sends it every 5 s for consent, without its own attributes."""
    username = f"{OURS.ufrag}:{THEIRS.ufrag}"
    return stun.request(rng.randbytes(12), username, OURS.key, 1853817087, rng.getrandbits(64), True, False)


def rule(id: int, port: int, source: Address, native: bool) -> Rule:
    keys = replace(KEYS, settled=(source,)) if native else None
    return Rule(id, port, source, Learn.NOBODY, sources=(source,), stun=True, stun_keys=keys)


def serve(pipe: Connection, legs: int, source: Address, native: bool) -> None:
    """The relay's process."""
    pool = PortPool({"127.0.0.1": Ports(20000, 59999, random.Random())})
    plane = NativePlane(rules=legs, on_close=pool.release)
    agents: dict[int, Agent] = {}
    sides: list[Address] = []
    for _ in range(legs):
        sock, other = pool.open_pair("127.0.0.1", 0)
        other.close()
        sides.append(sock.getsockname())
        port = plane.open(sock, 0)
        plane.apply([rule(plane.allocate(), port, source, native)])
        agents[port] = Agent(OURS, False, lite=True, tie_breaker=1)
        agents[port].set_remote(THEIRS, 0.0)
    pipe.send(sides)
    while not pipe.poll():
        if pipe.fileno() not in select.select([plane, pipe], [], [])[0]:
            answer_in_python(plane, agents)
    pipe.recv()
    pipe.send(plane.totals())
    plane.stop()


def answer_in_python(plane: NativePlane, agents: dict[int, Agent]) -> None:
    for event in plane.events():
        if isinstance(event, Stun):
            path = Path(event.port, event.source)
            for output in agents[event.port].received(path, event.datagram, time.monotonic()):
                if isinstance(output, Send):
                    plane.send(output.path.port, output.path.remote, output.datagram)


def receive(sock: socket.socket, counts: list[int]) -> None:
    """Until nothing has come for a while."""
    while True:
        try:
            answer = sock.recv(2000)
        except TimeoutError:
            return
        counts[answer[:2] == b"\x01\x01"] += 1


def measure(legs: int, rate: int, seconds: float, native: bool) -> float:
    """Prints a line; returns nanoseconds per answered check."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sock.bind(("127.0.0.2", 0))
    sock.settimeout(1.0)
    ours, theirs = multiprocessing.Pipe()
    spawned = multiprocessing.get_context("spawn")
    relay = spawned.Process(target=serve, args=(theirs, legs, sock.getsockname(), native))
    relay.start()
    assert relay.pid is not None
    sides: list[Address] = ours.recv()
    rng = random.Random(1)
    checks = [check(rng) for _ in range(legs)]
    counts = [0, 0]
    receiver = threading.Thread(target=receive, args=(sock, counts))
    before = processor_time(relay.pid)
    receiver.start()
    sent, start = 0, time.monotonic()
    while (now := time.monotonic() - start) < seconds:
        while sent < now * rate:
            sock.sendto(checks[sent % legs], sides[sent % legs])
            sent += 1
        time.sleep(TICK)
    elapsed = time.monotonic() - start
    receiver.join()
    used = processor_time(relay.pid) - before
    ours.send(None)
    totals: dict[str, int] = ours.recv()
    relay.join()
    sock.close()
    cost = 1e9 * used.ran / max(1, counts[1])
    by = f"{totals['stun_answered']:,} by the worker, {totals['own_sent']:,} by Python"
    print(
        f"{'native' if native else 'python':7} {sent / elapsed:8,.0f} checks/s, CPU {cost:9,.0f} ns/answer, "
        f"waited {100 * used.waited / elapsed:4.1f} %, answered {counts[1] / sent:8.3%} ({by})"
    )
    return cost


def computation(count: int = 20_000) -> None:
    """The worker's function, called from Python one by one; and the agent's."""
    source = ("192.0.2.1", 40000)
    native, agent = CheckAnswerer(rule(0, 0, source, True)), Agent(OURS, False, lite=True, tie_breaker=1)
    agent.set_remote(THEIRS, 0.0)
    rng = random.Random(2)
    checks = [check(rng) for _ in range(100)]

    def timed(answer: object, repeats: int) -> float:
        assert callable(answer)
        best = []
        for _ in range(5):
            start = time.process_time_ns()
            for index in range(repeats):
                answer(checks[index % 100])
            best.append((time.process_time_ns() - start) / repeats)
        return statistics.median(best)

    ours = timed(lambda datagram: native.answer(source, datagram), count)
    empty = timed(lambda datagram: native.answer(source, b""), count)
    theirs = timed(lambda datagram: agent.received(Path(0, source), datagram, 0.0), count // 20)
    print(
        f"computation alone: native {ours - empty:,.0f} ns (and {empty:,.0f} for the call from Python), "
        f"agent {theirs:,.0f} ns"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost of an answered ICE check.")
    parser.add_argument("--legs", type=int, default=250)
    parser.add_argument("--rate", type=int, nargs="+", default=[2000])
    parser.add_argument("--seconds", type=float, default=5.0)
    arguments = parser.parse_args()
    print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}")
    for rate in arguments.rate:
        if rate > 0.9 * CHECKS_PER_SECOND * arguments.legs:
            parser.error(f"{rate} checks/s need more than {arguments.legs} legs")
        after, before = (measure(arguments.legs, rate, arguments.seconds, native) for native in (True, False))
        print(f"{'':7} {before / after:.1f} times less CPU")
    computation()


if __name__ == "__main__":
    main()
