"""The relay without its sockets for signalling: calls over a plane, driven by the event loop.

``Engine`` gives time and packets to the calls, which have none of their own.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from relay.calls.commands import Outcome, execute
from relay.calls.explain import story
from relay.calls.interfaces import Interfaces
from relay.calls.registry import Registry, Times
from relay.calls.report import Readings, Traffic
from relay.calls.resources import LocalAddress
from relay.calls.state import Call, Leg
from relay.calls.timers import Timers
from relay.config import Settings
from relay.daemon import planes
from relay.daemon.machine import Machine
from relay.daemon.remembering import COMMANDS as ABOUT_NETWORKS
from relay.daemon.remembering import Remembering
from relay.daemon.watch import Watch
from relay.forward._fastpath import NativePlane
from relay.forward.offload.tiered import REFRESH
from relay.forward.plane import COUNTERS, Dtls, Plane, Stun
from relay.ice.policy import Optimizer, Place
from relay.latching import State
from relay.ng.errors import WORKER_HANGS, NgError
from relay.ng.request import Request

log = logging.getLogger("icerelay.call")

TICK = 1.0
"""Seconds between looks at the clocks of all calls."""

TOLD = 4
"""Legs of a call of which the log tells how ICE went: a phone number that rings everywhere has dozens."""

CHANGES = ("offer", "answer")
"""Commands that change calls; a delete ends them."""

NANOSECONDS = 1_000_000_000


class _Seen(dict[int, Traffic]):
    """What was seen of rules, by id; each is looked at when it is first asked for."""

    def __init__(self, look: Callable[[int], Traffic]) -> None:
        super().__init__()
        self._look = look

    def __missing__(self, rule: int) -> Traffic:
        seen = self[rule] = self._look(rule)
        return seen


class Engine:
    """Calls, plane and timers of one process."""

    def __init__(self, settings: Settings) -> None:
        addresses = [LocalAddress(i.name, i.address, i.advertised) for i in settings.interfaces]
        self.machine = Machine(addresses, settings.port_min, settings.port_max)
        self.plane = self.machine.plane = self._choose_plane(settings)
        self.watch = Watch(self.plane.workers)
        self.started = time.monotonic()
        self.memory = Remembering(settings)
        self.registry = Registry(
            self.machine,
            Interfaces(tuple(addresses), range(settings.port_min, settings.port_max + 1)),
            Timers(
                settings.timeout,
                settings.silent_timeout,
                settings.offer_timeout,
                settings.final_timeout,
                settings.delete_delay,
            ),
            instance=secrets.token_hex(16),
            optimizer=Optimizer(
                settings.policy, self.memory.remembered, self.memory.order, self.memory.hashed
            ),
            on_end=self._leg_ended,
            on_over=self._call_over,
            on_widen=self._leg_widened,
            default_tos=settings.tos,
            workers=self.plane.workers,
        )
        self._stories: dict[str, list[str]] = {}
        """How ICE of legs that are gone went, by Call-ID."""
        self._unix_offset = time.time() - time.monotonic()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timers: dict[Callable[[], None], asyncio.TimerHandle] = {}
        self._check: asyncio.TimerHandle | None = None
        self._look: Readings | None = None
        """Of the command that is carried out: the record of a leg tells what the reply tells."""

    def _choose_plane(self, settings: Settings) -> Plane:
        """Sets ``userspace``; ``tiered``, the plane if the kernel has a share; and their status."""
        local = [interface.address for interface in settings.interfaces]
        steering, self.sharing = planes.share(
            settings.range_socket, settings.workers, settings.port_min, settings.port_max, local
        )
        self.userspace = NativePlane(
            settings.workers,
            coalesce=settings.coalesce_us / 1e6,
            on_close=self.machine.closed,
            steering=steering,
        )
        try:
            self.tiered, self.gates = planes.choose(settings.plane, self.userspace, local)
        except BaseException:
            self.userspace.stop()
            raise
        return self.tiered or self.userspace

    # Signalling.

    def execute(self, request: Request) -> Outcome:
        """Carry out one ng command; what it changes holds for what is sent afterwards. Raises ``NgError``."""
        try:
            with self.memory.one_look():
                return self._execute(request)
        finally:
            self.userspace.settle()

    def _execute(self, request: Request) -> Outcome:
        if request.command in ABOUT_NETWORKS:
            return Outcome(self.memory.execute(request, self.registry.calls.get))
        call = self.registry.calls.get(request.call_id or "")
        known = call is not None
        if call is not None and request.command in CHANGES:
            self._see_to_room(call)
        heard = self.memory.brought(request, self.registry.calls.get) if request.feedback else ""
        self._look = self.readings()
        try:
            outcome = execute(request, self.registry, self._times(), self._look)
        finally:
            self._look = None
        if not known and request.call_id in self.registry.calls:
            log.info("call started call-id=%s", request.call_id)
            if outcome.decided:
                log.info("ice decided call-id=%s %s", request.call_id, outcome.decided)
        if known and request.command == "delete":
            over = "ended" if request.call_id not in self.registry.calls else "deleted, wholly or in part,"
            log.info("call %s call-id=%s reason=delete %s", over, request.call_id, _summary(outcome.reply))
        self._plan_checks()
        if heard:
            outcome.reply["ice-feedback"] = heard
        if request.ice_advice and "sdp" in outcome.reply:
            outcome.reply["ice-advice"] = self.memory.advice(self._place(request))
        return outcome

    def _see_to_room(self, call: Call) -> None:
        """Raises ``NgError`` before anything is changed, if the call's worker has no room for changes."""
        if self.userspace.is_behind(call.worker):
            raise NgError(WORKER_HANGS)

    def feedback(self, body: object) -> None:
        """What an app says of a leg. Raises ``FeedbackError``."""
        self.memory.feedback(body, self.registry.calls.get)

    def _place(self, request: Request) -> Place:
        """Of the party whose description an offer or answer is."""
        call = self.registry.calls.get(request.call_id or "")
        tag = request.from_tag if request.command == "offer" else request.to_tag
        leg = call.leg_of(tag) if call is not None else None
        return leg.place if leg is not None else Place(request.received_from, request.network)

    def _leg_ended(self, call: Call, leg: Leg, reason: str) -> None:
        known = self.memory.leg_ended(call, leg, reason, self._look or self.readings())
        if known is not None and (text := story(leg, known)):
            self._stories.setdefault(call.call_id, []).append(text)

    def _call_over(self, call: Call) -> None:
        legs = self._stories.pop(call.call_id, [])
        if legs:
            more = f"; and {len(legs) - TOLD} more" if len(legs) > TOLD else ""
            log.info("ice ended call-id=%s %s%s", call.call_id, "; ".join(legs[:TOLD]), more)

    def _leg_widened(self, call: Call, leg: Leg, families: tuple[int, ...]) -> None:
        missed = self.memory.widened(leg, families)
        log.info("ice widen call-id=%s tag=%s ways=%s", call.call_id, leg.tag, ",".join(missed))

    def readings(self) -> Readings:
        """What the plane has counted, for one report. Each rule is looked at once."""
        seen = _Seen(self._traffic)
        return Readings(seen.__getitem__, lambda monotonic: monotonic + self._unix_offset, self.plane.reports)

    def _times(self) -> Times:
        now = time.monotonic()
        return Times(now, now + self._unix_offset)

    def _traffic(self, rule: int) -> Traffic:
        row: dict[str, int] = dict(zip(COUNTERS.names or (), self.plane.row(rule).item(), strict=True))
        return Traffic(
            rtp_packets=row["rtp_packets"],
            rtp_bytes=row["rtp_bytes"],
            rtcp_packets=row["rtcp_packets"],
            rtcp_bytes=row["rtcp_bytes"],
            sent_packets=row["sent_packets"],
            checks=row["stun_answered"],
            errors=row["stranger"] + row["malformed"] + row["send_error"],
            last_packet=row["last_packet"] / NANOSECONDS,
            ssrc=row["ssrc"] if row["rtp_packets"] else None,
            seq=row["seq"],
            lost=max(row["rtp_skipped"] - row["rtp_late"], 0),
            jitter=row["jitter"] / 16 / row["clock"] if row["clock"] else None,
            peer=self.plane.peer(rule),
            latched=row["state"] == State.LOCKED.value,
            in_kernel=self.tiered is not None and self.tiered.carries(rule),
        )

    # The event loop.

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Serve the plane's events and the clocks."""
        self._loop = loop
        loop.add_reader(self.plane.fileno(), self._events)
        self.machine.computing.notify = lambda: loop.call_soon_threadsafe(self._computed)
        self._repeat(TICK, self._tick)
        if self.tiered is not None:
            self._repeat(REFRESH, self._refresh)

    def stop(self) -> None:
        """End all calls and the plane."""
        if self._loop is not None:
            self._loop.remove_reader(self.plane.fileno())
        for timer in self._timers.values():
            timer.cancel()
        if self._check is not None:
            self._check.cancel()
        self.machine.computing.stop()
        self.registry.end_all()
        self.memory.stop()
        self.plane.stop()

    def _repeat(self, seconds: float, action: Callable[[], None]) -> None:
        assert self._loop is not None

        def again() -> None:
            self._repeat(seconds, action)
            action()

        self._timers[action] = self._loop.call_later(seconds, again)

    def _tick(self) -> None:
        ended = self.registry.tick(time.monotonic(), last_seen(self.plane.counters()))
        for call_id, reason in ended:
            log.info("call ended call-id=%s reason=%s", call_id, reason)
        stuck, again = self.watch.look(self.plane.beats())
        for number in stuck:
            log.error("worker %d hangs: its calls have no media; restart icerelay and report this", number)
        for number in again:
            log.warning("worker %d goes on", number)

    def _refresh(self) -> None:
        if self.tiered is not None:
            for turn in self.tiered.refresh():
                log.log(logging.INFO if turn.works else logging.WARNING, "%s", planes.told(turn))

    def _events(self) -> None:
        now = time.monotonic()
        for event in self.plane.events():
            if isinstance(event, Stun):
                self.registry.stun(event.port, event.source, event.datagram, now)
            elif isinstance(event, Dtls):
                self.registry.dtls(event.port, event.source, event.datagram, now)
            else:
                log.debug("latched rule=%d peer=%s:%d", event.rule, *event.peer)
        self._plan_checks()

    def _computed(self) -> None:
        self.registry.computed()
        self._log_failures()
        self._plan_checks()

    def _log_failures(self) -> None:
        failures = self.registry.handshakes.failures
        for one in failures:
            where = (one.call_id, one.tag, one.media)
            kind = {"flood": f"dtls {one.reason} {one.call_id}"}
            log.warning("dtls failed call-id=%s tag=%s media=%d reason=%s", *where, one.reason, extra=kind)
        failures.clear()

    def _plan_checks(self) -> None:
        """Wake up when the next ICE check or repeat of a handshake is due."""
        deadline = self.registry.next_check()
        if self._check is not None:
            self._check.cancel()
            self._check = None
        if deadline is not None and self._loop is not None:
            delay = max(0.0, deadline - time.monotonic())
            self._check = self._loop.call_later(delay, self._checks_due)

    def _checks_due(self) -> None:
        self.registry.check(time.monotonic())
        self._plan_checks()


def last_seen(rows: NDArray[np.void]) -> Callable[[int], float]:
    """When a rule last received media, or a check that the plane answered; monotonic seconds."""
    packet, check = rows["last_packet"], rows["last_check"]
    return lambda rule: float(max(packet[rule], check[rule])) / NANOSECONDS


def _summary(reply: dict[str, object]) -> str:
    """Packets and bytes of a call that ends, from its report."""
    totals = reply.get("totals")
    if not isinstance(totals, dict):
        return ""
    rtp, rtcp = totals["RTP"], totals["RTCP"]
    return f"rtp={rtp['packets']} rtcp={rtcp['packets']} errors={rtp['errors'] + rtcp['errors']}"
