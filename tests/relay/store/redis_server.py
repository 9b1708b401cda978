"""A Redis of the tests' own, on a socket file: no port is taken from anybody."""

from __future__ import annotations

import socket
import subprocess
import threading
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


class Losing:
    """Stands before a Redis. After ``lose``, the next reply to a script vanishes, and its connection."""

    def __init__(self, server: RedisServer, directory: Path) -> None:
        self._server = server
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(directory / "losing.sock"))
        self._listening.listen()
        self.url = f"unix://{directory / 'losing.sock'}"
        self._losing = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def lose(self) -> None:
        self._losing.set()

    def stop(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._pass, args=(client,), daemon=True).start()

    def _pass(self, client: socket.socket) -> None:
        """One small exchange after the other."""
        with client, socket.socket(socket.AF_UNIX) as server:
            server.connect(str(self._server.socket))
            while request := client.recv(65536):
                server.sendall(request)
                reply = server.recv(65536)
                if b"EVAL" in request and self._losing.is_set():
                    self._losing.clear()
                    return
                client.sendall(reply)
