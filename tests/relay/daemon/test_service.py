import asyncio
import socket
from pathlib import Path

import pytest

from relay.daemon.service import notify, show_life, watchdog


def test_systemd_is_not_told_that_a_relay_with_a_stuck_worker_is_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    health = iter([True, False, True, False])

    async def until_the_end() -> None:
        with pytest.raises(RuntimeError):  # what StopIteration becomes in a coroutine
            await show_life(0.0, lambda: next(health))

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        asyncio.run(until_the_end())
        assert [manager.recv(100), manager.recv(100)] == [b"WATCHDOG=1"] * 2
        with pytest.raises(BlockingIOError):
            manager.recv(100)


def test_a_service_manager_that_is_gone_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    notify("READY=1")
    assert "cannot be told READY=1" in caplog.text


@pytest.mark.parametrize("limit", ["", "0", "soon"])
def test_without_a_limit_nobody_waits_for_signs_of_life(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", limit)
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    assert watchdog() is None
