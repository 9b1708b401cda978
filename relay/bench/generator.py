"""The generator, seen from here: a process of its own, so that its CPU time can be told from the relay's.

Its other end is ``relay.bench.phones``. Pickles go over its standard input and output.
"""

from __future__ import annotations

import contextlib
import pickle
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from relay.bench.errors import BenchFailed
from relay.bench.figures import Traffic
from relay.bench.machine import pinned
from relay.bench.streams import Job, Run
from relay.forward.rule import Address


class Generator:
    """The parent's end. ``phones`` are the addresses of callers and callees."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.phones: tuple[Address, Address] = self._read()

    def hold(self, job: Job) -> None:
        """Get streams ready. Those of the job before are forgotten."""
        self._write(job)
        self._read()

    def run(self, seconds: float, interval: float) -> Traffic:
        """Returns when everything has arrived, or nothing comes any more."""
        self._write(Run(seconds, interval))
        traffic: Traffic = self._read()
        return traffic

    def _write(self, what: Job | Run) -> None:
        assert self._process.stdin is not None
        try:
            pickle.dump(what, self._process.stdin)
            self._process.stdin.flush()
        except BrokenPipeError:
            raise BenchFailed("the generator has ended") from None

    def _read(self) -> Any:
        assert self._process.stdout is not None
        try:
            return pickle.load(self._process.stdout)
        except EOFError:
            raise BenchFailed("the generator has ended") from None


@contextlib.contextmanager
def generator(hosts: tuple[str, str], core: int | None) -> Iterator[Generator]:
    """Starts the process, on one core if it is given, and ends it afterwards."""
    command = [sys.executable, "-P", "-m", "relay.bench.phones", *hosts]
    with pinned(core):
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with process:
        try:
            yield Generator(process)
        finally:
            process.kill()
