"""When a call ends by itself, for a proxy may have lost its delete."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from relay.calls.state import Call, Leg


@dataclass(frozen=True, slots=True)
class Timers:
    """Seconds; 0 switches a timeout off, but not the delete delay."""

    timeout: float = 60.0
    """No packet on any stream, though some peer should send."""
    silent_timeout: float = 3600.0
    """No packet, and every peer is on hold."""
    offer_timeout: float = 3600.0
    """No answer."""
    final_timeout: float = 0.0
    """Age."""
    delete_delay: float = 30.0
    """From the proxy's delete to the end, unless it asks for another delay."""


def expired(call: Call, timers: Timers, now: float, last_packet: Callable[[int], float]) -> str | None:
    """Why the call is over at ``now``, or None.

    ``last_packet`` tells when a rule last received one, 0.0 for never.
    """
    if call.delete_at is not None and now >= call.delete_at:
        return "deleted"
    if timers.final_timeout and now - call.started >= timers.final_timeout:
        return "final timeout"
    if not call.answered:
        return _over("offer timeout", timers.offer_timeout, now - call.last_signal)
    idle = now - max(call.last_signal, _last_sign_of_life(call, last_packet))
    if any(_should_send(leg) for leg in call.legs.values()):
        return _over("timeout", timers.timeout, idle)
    return _over("silent timeout", timers.silent_timeout, idle)


def _over(reason: str, limit: float, idle: float) -> str | None:
    return reason if limit and idle >= limit else None


def _should_send(leg: Leg) -> bool:
    return any(
        media.described and media.direction in ("sendrecv", "sendonly") and not media.streams[0].held
        for media in leg.medias
        if media.streams
    )


def _last_sign_of_life(call: Call, last_packet: Callable[[int], float]) -> float:
    latest = 0.0
    for leg in call.legs.values():
        for media in leg.medias:
            if media.ice is not None:
                latest = max(latest, media.ice.last_check)
            for stream in media.streams:
                for path in stream.paths:
                    latest = max(latest, last_packet(path.rule))
    return latest
