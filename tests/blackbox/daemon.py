"""The daemon under test as a child process."""

import os
import resource
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Sequence

from tests.ng import Address, NgClient

ADDRESS = "127.0.1.10"
"""Where the relay listens and takes media; no other test uses it."""

STARTS_WITHIN = 15.0
ENDS_WITHIN = 5.0


def wait_until(condition: Callable[[], bool], what: str, timeout: float = 5.0) -> None:
    """Poll until ``condition`` holds; fails after ``timeout`` seconds, naming ``what`` did not happen."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout:g} s: {what}"
        time.sleep(0.01)


def _free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind((ADDRESS, 0))
        port: int = probe.getsockname()[1]
        return port


class Daemon:
    """``icerelay serve`` with an ng socket and an HTTP port of its own; ready when constructed."""

    def __init__(self, options: Sequence[str], interfaces: Sequence[str] = (ADDRESS,)) -> None:
        self.ng: Address = (ADDRESS, _free_port(socket.SOCK_DGRAM))
        self.http: Address = (ADDRESS, _free_port(socket.SOCK_STREAM))
        command = [
            sys.executable, "-m", "relay.cli", "serve",
            *(f"--interface={interface}" for interface in interfaces),
            f"--listen-ng={self.ng[0]}:{self.ng[1]}",
            f"--listen-http={self.http[0]}:{self.http[1]}",
            "--workers=1",
            *options,
        ]  # fmt: skip
        self._popen = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            wait_until(self._ready_or_over, "the ready line", STARTS_WITHIN)
            assert self._popen.poll() is None, self.log
            self.client = NgClient(self.ng)
        except BaseException:
            self._end()
            raise

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def log(self) -> str:
        """Everything it wrote so far."""
        return "".join(self._lines)

    @property
    def descriptors(self) -> int:
        """How many file descriptors it has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    @property
    def memory(self) -> int:
        """Bytes that are resident."""
        with open(f"/proc/{self.pid}/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()

    def limit_files(self, number: int) -> None:
        """Lower or raise the soft limit of its file descriptors."""
        _, hard = resource.prlimit(self.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (number, hard))

    def metric(self, name: str, label: str = "") -> float:
        """The sum of all samples of this metric, or of those with ``label`` as one of their values."""
        with urllib.request.urlopen(f"http://{self.http[0]}:{self.http[1]}/metrics", timeout=3.0) as page:
            lines = page.read().decode().splitlines()
        samples = [line for line in lines if line.partition("{")[0].partition(" ")[0] == name]
        samples = [line for line in samples if f'="{label}"' in line] if label else samples
        assert samples or label, f"no metric {name}"
        return sum(float(line.rpartition(" ")[2]) for line in samples)

    def clear(self) -> None:
        """End every call at once."""
        for call in self.client.calls():
            self.client.ask("delete", call_id=call, delete_delay=0)

    def stop(self) -> int:
        """SIGTERM. Returns the exit status."""
        self.client.close()
        return self._end()

    def _end(self) -> int:
        if self._popen.poll() is None:
            self._popen.terminate()
            try:
                self._popen.wait(ENDS_WITHIN)
            except subprocess.TimeoutExpired:
                self._popen.kill()
        status = self._popen.wait()
        self._reader.join(timeout=1.0)
        assert self._popen.stdout is not None
        self._popen.stdout.close()
        return status

    def _ready_or_over(self) -> bool:
        return any(" ready: " in line for line in self._lines) or self._popen.poll() is not None

    def _read(self) -> None:
        assert self._popen.stdout is not None
        for line in self._popen.stdout:
            self._lines.append(line.decode(errors="replace"))
