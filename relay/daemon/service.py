"""What a service manager wants to know: that we run (systemd's sd_notify), and our process number."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

log = logging.getLogger("icerelay")


def notify(state: str) -> None:
    """Send ``READY=1`` and the like to the socket that systemd named, if it did.

    See sd_notify(3). A name that begins with @ is one of the abstract namespace.
    """
    name = os.environ.get("NOTIFY_SOCKET", "")
    if not name:
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.sendto(state.encode(), "\0" + name[1:] if name.startswith("@") else name)
    except OSError as error:
        log.warning("the service manager cannot be told %s: %s", state, error.strerror)


def watchdog() -> float | None:
    """Seconds between two signs of life, half of what systemd waits for (sd_watchdog_enabled(3)), if so."""
    limit, process = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not limit.isdecimal() or int(limit) == 0 or process not in ("", str(os.getpid())):
        return None
    return int(limit) / 2e6


async def show_life(interval: float, is_healthy: Callable[[], bool]) -> None:
    """Tell systemd that the event loop takes its turn, unless something else is wrong: it starts us anew."""
    while True:
        if is_healthy():
            notify("WATCHDOG=1")
        await asyncio.sleep(interval)


@contextlib.contextmanager
def pidfile(path: str) -> Iterator[None]:
    """Our process number in a file, as long as we run. No path, no file; no right to write it, no harm."""
    try:
        if path:
            Path(path).write_text(f"{os.getpid()}\n")
    except OSError as error:
        log.warning("--pidfile=%s: %s", path, error.strerror)
        path = ""
    yield
    if path:
        with contextlib.suppress(OSError):
            os.unlink(path)
