"""A Redis of the tests' own, on a socket file: no port is taken from anybody."""

from __future__ import annotations

import subprocess
from pathlib import Path

import redis

from tests.interop.process import find_program


class RedisServer:
    """Runs from ``start`` to ``stop``; keeps nothing on disk."""

    def __init__(self, directory: Path) -> None:
        self.socket = directory / "redis.sock"
        self.url = f"unix://{self.socket}"
        self._directory = directory
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                find_program("redis-server"), "--port", "0", "--unixsocket", str(self.socket),
                "--save", "", "--appendonly", "no", "--dir", str(self._directory), "--daemonize", "no",
            ],
            stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if "ready to accept connections" in line.lower():
                return
        raise AssertionError("redis-server ended instead of starting")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.communicate()
            self._process = None

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url)
