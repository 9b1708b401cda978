"""What offer, answer and delete cost inside the relay, and which functions spend it.

``icerelay bench --only control`` measures a whole relay beside another. This drives the same code in one
process, without sockets for signalling, often enough for a figure that a busy machine does not spoil.

    python -m bench.control                     best and median of many short rounds
    python -m bench.control --kind webrtc --profile

The CPU time is that of the thread that would run the event loop, and separately that of the forwarding
threads, which open and close what they are told to.
"""

from __future__ import annotations

import argparse
import contextlib
import cProfile
import itertools
import pstats
import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from relay.bench.calls import PLAIN, WEBRTC, Kind
from relay.config.settings import Interface, Settings
from relay.control.ng import NgServer
from relay.daemon import spare_the_collector
from relay.daemon.engine import Engine
from relay.forward.rule import Address
from relay.ng import bencode
from relay.ng.bencode import Encodable

RELAY = "127.0.0.1"
PROXY: Address = ("127.0.0.1", 5060)
PHONES: tuple[Address, Address] = (("127.0.0.1", 40000), ("127.0.0.1", 40002))
COMMANDS = ("offer", "answer", "delete")


@dataclass(slots=True)
class Bench:
    """A relay in this process, and the CPU seconds that each command took it."""

    server: NgServer
    spent: dict[str, float] = field(default_factory=lambda: dict.fromkeys(COMMANDS, 0.0))
    numbers: Iterator[int] = field(default_factory=itertools.count)
    profile: cProfile.Profile | None = None

    def call(self, kind: Kind) -> None:
        """Offer, answer, delete."""
        number = next(self.numbers)
        dialog: dict[str, Encodable] = {"call-id": f"bench-{number}", "from-tag": "caller"}
        offer, answer = kind.offer(PHONES[0]), kind.answer(PHONES[1])
        self._ask("offer", {**dialog, "sdp": offer, **kind.flags})
        self._ask("answer", {**dialog, "to-tag": "callee", "sdp": answer})
        self._ask("delete", {**dialog, "delete-delay": 0})

    def _ask(self, command: str, keys: Mapping[str, Encodable]) -> None:
        cookie = b"%d_%s" % (next(self.numbers), command.encode())
        datagram = cookie + b" " + bencode.encode({"command": command, **keys})
        with self.profile or contextlib.nullcontext():
            before = time.thread_time()
            reply = self.server.datagram(datagram, PROXY)
            self.spent[command] += time.thread_time() - before
        if reply is None or b"5:error" in reply:
            raise SystemExit(f"{command} failed: {reply!r}")


def other_threads() -> float:
    """CPU seconds of all threads but this one."""
    return time.process_time() - time.thread_time()


def measure(bench: Bench, kind: Kind, calls: int, rounds: int) -> None:
    """Rounds of so many calls; microseconds per call on standard output."""
    totals: list[dict[str, float]] = []
    for _ in range(rounds):
        bench.spent = dict.fromkeys(COMMANDS, 0.0)
        before = other_threads()
        for _ in range(calls):
            bench.call(kind)
        spent = {**bench.spent, "all": sum(bench.spent.values()), "forwarding": other_threads() - before}
        totals.append({name: 1e6 * seconds / calls for name, seconds in spent.items()})
    for name in totals[0]:
        figures = [total[name] for total in totals]
        print(f"{kind.name:8} {name:12} {min(figures):7.0f} us (median {statistics.median(figures):.0f})")


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kind", choices=("plain", "webrtc"), action="append")
    parser.add_argument("--calls", type=int, default=20, help="per round [20]")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--profile", action="store_true", help="where the time goes, by cProfile")
    arguments = parser.parse_args()
    engine = Engine(
        Settings((Interface("default", RELAY, RELAY),), port_min=20000, workers=1, log_level="WARNING")
    )
    bench = Bench(NgServer(engine.execute))
    spare_the_collector()
    try:
        for kind in (PLAIN, WEBRTC):
            if kind.name in (arguments.kind or (kind.name,)):
                measure(bench, kind, arguments.calls, 2 if arguments.profile else arguments.rounds)
                if arguments.profile:
                    bench.profile = cProfile.Profile()
                    measure(bench, kind, arguments.calls, 1)
                    pstats.Stats(bench.profile).sort_stats("tottime").print_stats(45)
                    bench.profile = None
    finally:
        engine.stop()


if __name__ == "__main__":
    main()
