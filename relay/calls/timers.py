"""When a call ends by itself, for a proxy may have lost its delete."""

from __future__ import annotations

from collections.abc import Callable

from relay.calls.state import Call, Media, Mode
from sdp.values import valueclass


@valueclass
class Timers:
    """Seconds; 0 switches a timeout off, but not the delete delay."""

    timeout: float = 60.0
    """No packet on any stream, though some peer should send."""
    silent_timeout: float = 3600.0
    """No packet, and every peer is on hold."""
    offer_timeout: float = 3600.0
    """Only one party has described itself."""
    final_timeout: float = 0.0
    """Age."""
    delete_delay: float = 30.0
    """From the proxy's delete to the end, unless it asks for another delay."""


def expired(call: Call, timers: Timers, now: float, last_packet: Callable[[int], float]) -> str | None:
    """Why the call is over at ``now``, or None.

    ``last_packet`` tells when a rule last received one, or answered a check, 0.0 for never.
    """
    if call.delete_at is not None and now >= call.delete_at:
        return "deleted"
    if timers.final_timeout and now - call.started >= timers.final_timeout:
        return "final timeout"
    if not call.established:
        return _over("offer timeout", timers.offer_timeout, now - call.last_signal)
    return _silent(call, timers, now, last_packet)


def _over(reason: str, limit: float, idle: float) -> str | None:
    return reason if limit and idle >= limit else None


def _silent(call: Call, timers: Timers, now: float, last_packet: Callable[[int], float]) -> str | None:
    """Every media of every leg has its own limit, and the call lives as long as one of them is within it.

    A peer that should not send, for it is on hold or listens to music, may be silent for long.
    """
    reason = None
    for leg in call.legs.values():
        for media in leg.medias:
            if not media.streams:
                continue
            idle = now - max(call.last_signal, _last_sign_of_life(media, last_packet))
            if _should_send(media) and not _may_pass_us_by(media):
                over = _over("timeout", timers.timeout, idle)
            else:
                over = _over("silent timeout", timers.silent_timeout, idle)
            if over is None:
                return None
            reason = over if reason in (None, "timeout") else reason
    return reason or _over("timeout", timers.timeout, now - call.last_signal)


def _may_pass_us_by(media: Media) -> bool:
    """The peers may have found a direct path: then nothing of this media is ours to see."""
    return media.ice is not None and media.ice.mode is Mode.PASSED


def _should_send(media: Media) -> bool:
    return media.described and media.direction in ("sendrecv", "sendonly") and not media.streams[0].held


def _last_sign_of_life(media: Media, last_packet: Callable[[int], float]) -> float:
    latest = media.ice.last_check if media.ice is not None else 0.0
    for stream in media.streams:
        for path in stream.paths:
            latest = max(latest, last_packet(path.rule))
    return latest
