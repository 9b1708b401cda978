"""The daemon of the demonstration: the same program as in earnest, as a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass

from relay.demo.errors import CallFailed
from relay.forward.rule import Address

RELAY_ADDRESS = "127.0.0.10"
"""All of 127.0.0.0/8 is this machine; an address of its own keeps relay and phones apart for the reader."""

START_TIMEOUT = 15.0
"""Seconds for the ready line; a loaded machine with a cold disk takes three to import everything."""
STOP_TIMEOUT = 5.0
"""Seconds between SIGTERM and SIGKILL."""


@dataclass(frozen=True, slots=True)
class RunningRelay:
    """A relay that said it is ready. ``log`` grows as long as it runs."""

    ng: Address
    pid: int
    ready: str
    log: list[str]


@contextlib.asynccontextmanager
async def running_relay() -> AsyncIterator[RunningRelay]:
    """Starts ``icerelay serve`` on loopback and ends it afterwards. Raises ``CallFailed``."""
    ng = (RELAY_ADDRESS, _free_port(RELAY_ADDRESS))
    process = await asyncio.create_subprocess_exec(
        *_command(ng),
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for us, who then end it in order
    )
    log: list[str] = []
    try:
        ready = await _ready_line(process, log)
        reader = asyncio.create_task(_follow(process, log))
        yield RunningRelay(ng, process.pid, ready, log)
        reader.cancel()
    finally:
        await _stop(process)


def _command(ng: Address) -> list[str]:
    """-P: a directory named ``relay`` where the user happens to be is not ours."""
    interface, listen = f"--interface={RELAY_ADDRESS}", f"--listen-ng={ng[0]}:{ng[1]}"
    return [sys.executable, "-P", "-m", "relay.cli", "serve", interface, listen]


def _free_port(address: str) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port


async def _ready_line(process: asyncio.subprocess.Process, log: list[str]) -> str:
    try:
        async with asyncio.timeout(START_TIMEOUT):
            while line := await _line(process):
                if " ready: " in line:
                    return line
                log.append(line)
            status = await process.wait()
    except TimeoutError:
        raise CallFailed(f"the relay was not ready within {START_TIMEOUT:g} s") from None
    said = "\n".join(log) or "it wrote nothing"
    raise CallFailed(f"the relay did not start (exit status {status}):\n{said}")


async def _follow(process: asyncio.subprocess.Process, log: list[str]) -> None:
    while line := await _line(process):
        log.append(line)


async def _line(process: asyncio.subprocess.Process) -> str:
    """The next line of its log, empty at the end."""
    assert process.stderr is not None
    return (await process.stderr.readline()).decode("utf-8", "replace").rstrip()


async def _stop(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_TIMEOUT)
        except TimeoutError:
            process.kill()
            await process.wait()
