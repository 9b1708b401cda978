"""The daemon: wires the floors together and owns the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import gc
import logging
import resource
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import version

import uvloop

from relay.config import Interface, Settings
from relay.control import http
from relay.control.ng import NgServer
from relay.control.udp import NgSocket
from relay.daemon import logs
from relay.daemon.engine import Engine
from relay.daemon.scrape import snapshot
from relay.daemon.service import notify, pidfile, show_life, watchdog
from relay.metrics.collector import renderer
from relay.store import secret

log = logging.getLogger("icerelay")

CANNOT_START = 1

NOT_PORTS = 64
"""Descriptors for all else: signalling, HTTP, threads, tables of the kernel."""
MOST = 0.9
"""Share of the media ports: a relay that needs more of them than that has too few ports anyway."""

GARBAGE = 50_000
"""Objects more than there were, after which the collector looks at the new ones: some hundred calls."""


def serve(settings: Settings, notices: Sequence[str] = ()) -> int:
    """Run in the foreground until SIGTERM or SIGINT. Returns the exit status."""
    faulthandler.enable(all_threads=False)
    flood = logs.start(settings.log_level)
    for notice in (*notices, *_raise_descriptor_limit(settings)):
        log.warning("%s", notice)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(settings, flood))
    except OSError as error:
        log.error("cannot start: %s", error)
        return CANNOT_START
    finally:
        flood.sum_up(at_once=True)
    return 0


def _raise_descriptor_limit(settings: Settings) -> list[str]:
    """Take what the machine allows; says so where ports would run into it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    addresses = len({interface.address for interface in settings.interfaces})
    ports = addresses * (settings.port_max - settings.port_min + 1)
    return [] if hard == resource.RLIM_INFINITY else too_few_descriptors(hard, ports)


def too_few_descriptors(limit: int, ports: int) -> list[str]:
    """What to say if so many descriptors are not enough for most of the media ports."""
    possible = max(limit - NOT_PORTS, 0)
    if possible >= MOST * ports:
        return []
    return [f"at most {possible} of the {ports} ports can be open: raise LimitNOFILE (ulimit -Hn is {limit})"]


async def _run(settings: Settings, flood: logs.Flood) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    engine = Engine(settings)
    for gate in engine.gates:
        log.info("%s", gate)
    log.info("%s", engine.sharing)
    ng = NgServer(engine.execute, is_own=engine.machine.holds)
    async with contextlib.AsyncExitStack() as opened:
        opened.callback(engine.stop)
        opened.callback(asyncio.create_task(_sum_up(flood)).cancel)
        engine.machine.probe()
        for host, port in settings.listen_ng:
            try:
                ng_socket = NgSocket(host, port, ng.datagram)
            except OSError as error:
                raise OSError(f"--listen-ng={host}:{port}: {error.strerror}") from error
            opened.callback(ng_socket.close, loop)
            ng_socket.start(loop)
        if settings.listen_http:
            server = await http.start(
                settings.listen_http, renderer(lambda: snapshot(engine, ng)), _desk(settings, engine)
            )
            opened.push_async_callback(server.stop)
        engine.start(loop)
        spare_the_collector()
        opened.enter_context(pidfile(settings.pidfile))
        print(ready_line(settings), file=sys.stderr, flush=True)
        notify("READY=1")
        if (interval := watchdog()) is not None:
            life = asyncio.create_task(show_life(interval, lambda: not engine.watch.stuck))
            opened.callback(life.cancel)
        await stopped.wait()
        notify("STOPPING=1")
        log.info("stopping")


async def _sum_up(flood: logs.Flood) -> None:
    while True:
        await asyncio.sleep(1.0)
        flood.sum_up()


def _desk(settings: Settings, engine: Engine) -> http.Desk | None:
    """Where apps are listened to. Raises ``OSError`` where the token cannot be read."""
    if not settings.feedback_token:
        return None
    try:
        token = secret.read(settings.feedback_token)
    except secret.SecretError as error:
        raise OSError(f"--feedback-token: {error}") from error
    counts = engine.memory.counts
    return http.Desk(token, engine.feedback, engine.memory.advise, counts.feedback, counts.advice_refused)


def spare_the_collector() -> None:
    """Look for cyclic garbage seldom, and not among what lives as long as the process.

    Calls leave none, and are found alive each time: with the default thresholds the collector would go over
    the latest of them after every second command, and over all of them again and again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE)


def ready_line(settings: Settings) -> str:
    """The one line that says that calls can come."""
    ng = " ".join(_address(*at) for at in settings.listen_ng)
    media = " ".join(dict.fromkeys(map(_interface, settings.interfaces)))
    web = "".join(f", http {_address(*at)}" for at in settings.listen_http)
    ports = f"{settings.port_min}-{settings.port_max}"
    return f"icerelay {version('icerelay')} ready: ng {ng}{web}, media {media} ports {ports}"


def _interface(one: Interface) -> str:
    told = f"!{one.advertised}" if one.advertised != one.address else ""
    return f"{one.name}/{one.address}{told}"


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
