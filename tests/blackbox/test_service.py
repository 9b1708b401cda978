"""The daemon under systemd: a socket of ours stands for that of the service manager."""

import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.blackbox.daemon import Daemon

WITHIN = 5.0
"""Seconds in which a message has to come."""


@pytest.fixture(params=["a path", "an abstract name"])
def manager(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    """Where what the daemon says arrives."""
    name = str(tmp_path / "notify") if request.param == "a path" else f"@icerelay-test-{secrets.token_hex(8)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0" + name[1:] if name.startswith("@") else name)
        listener.settimeout(WITHIN)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        yield listener


def test_systemd_hears_when_calls_can_come_and_when_the_relay_stops(manager: socket.socket) -> None:
    daemon = Daemon([])
    assert manager.recv(100) == b"READY=1"
    assert daemon.client.ask("ping") == {"result": "pong"}
    assert daemon.stop() == 0
    assert manager.recv(100) == b"STOPPING=1"


def test_systemd_hears_again_and_again_that_the_relay_is_alive(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "100000")
    daemon = Daemon([])
    heard = [manager.recv(100) for _ in range(4)]
    assert daemon.stop() == 0
    assert heard == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1", b"WATCHDOG=1"]


def test_the_watchdog_of_another_process_is_not_ours(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "100000")
    monkeypatch.setenv("WATCHDOG_PID", "1")
    daemon = Daemon([])
    assert daemon.stop() == 0
    assert [manager.recv(100), manager.recv(100)] == [b"READY=1", b"STOPPING=1"]


def test_the_pidfile_is_there_while_the_relay_runs(tmp_path: Path) -> None:
    path = tmp_path / "icerelay.pid"
    daemon = Daemon([f"--pidfile={path}"])
    assert path.read_text() == f"{daemon.pid}\n"
    assert daemon.stop() == 0
    assert not path.exists()


def test_a_relay_that_may_not_write_its_pidfile_runs_and_says_so(tmp_path: Path) -> None:
    daemon = Daemon([f"--pidfile={tmp_path / 'no such directory' / 'pid'}"])
    assert "pidfile" in daemon.log
    assert daemon.client.ask("ping") == {"result": "pong"}
    assert daemon.stop() == 0
