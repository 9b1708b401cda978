"""How the media of a call goes, as its phones report it (RFC 3550, section 6.4), and how far they are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from relay.calls.state import Call, Leg, Media, MediaIce
from relay.forward.plane import Reported

Told = Callable[[int], tuple[Reported, ...]]
"""What the peer of a rule reports (``Plane.reports``)."""

LONGEST_JITTER = 10.0
"""Seconds; more is a mistake."""

_RATE = re.compile(r"\d{1,7}", re.ASCII)
"""Of an RTP clock; as many digits as ``relay.calls.clocks`` reads."""

MOST_STREAMS = 128
"""In the report of a call: each is some 200 bytes, and a report is to fit one datagram."""


@dataclass(frozen=True, slots=True)
class Heard:
    """Means of what a phone reports. None: it did not."""

    lost: float | None
    """Share of the packets that it was sent."""
    jitter: float | None
    """Seconds."""


def heard(leg: Leg, told: Told) -> Heard:
    """What the phone of ``leg`` reports of everything that it is sent."""
    found = list(_of_leg(leg, told))
    return Heard(_lost(one for _, one in found), _jitter(found))


def round_trip(leg: Leg, told: Told) -> float | None:
    """Seconds from us to the phone of ``leg`` and back, on average; None: nothing tells.

    By RTCP and by checks, whichever is less: there are phones that do not say
    how long they kept a report, and none that answers before it was asked.
    """
    reports = [one for _, one in _of_leg(leg, told)]
    count = sum(one.round_trips for one in reports)
    by_reports = [sum(one.round_trip for one in reports) / count / 1e6] if count else []
    by_checks = [_by_checks(media.ice) for media in leg.medias if media.ice is not None]
    return min((trip for trip in (*by_reports, *by_checks) if trip is not None), default=None)


def streams(call: Call, legs: Iterable[Leg], told: Told) -> dict[str, Any]:
    """For the report of a call, by SSRC: what the phones of ``legs`` say of it, in the words of rtpengine."""
    entries: dict[str, Any] = {}
    for leg in legs:
        near = far = None
        for media, one in _of_leg(leg, told):
            if near is None:
                sender = call.legs.get(leg.partner) if leg.partner is not None else None
                near, far = round_trip(leg, told), round_trip(sender, told) if sender else None
            if len(entries) == MOST_STREAMS:
                return entries
            entries[str(one.ssrc)] = {
                "cumulative loss": one.lost,
                "average MOS": _entry(media, one, near, far),
            }
    return entries


def _entry(media: Media, one: Reported, near: float | None, far: float | None) -> dict[str, int]:
    lost, jitter = _lost([one]) or 0.0, _jitter([(media, one)])
    entry = {"packet loss": round(lost * 100), "samples": one.blocks}
    if jitter is not None:
        entry["jitter"] = round(jitter * 1000)
    if near is not None:
        entry["round-trip time leg"] = round(near * 1e6)
        if far is not None:
            entry["round-trip time"] = round((near + far) * 1e6)
    if media.kind == "audio":
        entry["MOS"] = round(10 * mos(lost, jitter or 0.0, (near or 0.0) + (far or 0.0)))
    return entry


def mos(lost: float, jitter: float, there_and_back: float) -> float:
    """Mean opinion score, 1 (bad) .. 4.4: the E-model (ITU-T G.107) as it is simplified everywhere.

    ``lost`` is a share, the others are seconds.

    >>> round(mos(0.0, 0.0, 0.0), 1), round(mos(0.03, 0.02, 0.2), 1), mos(1.0, 1.0, 9.0)
    (4.4, 4.1, 1.0)
    """
    delay = 1000 * (there_and_back / 2 + 2 * jitter) + 10
    rating = 93.2 - (delay / 40 if delay < 160 else (delay - 120) / 10) - 250 * lost
    rating = min(max(rating, 0.0), 100.0)
    return max(1.0, 1 + 0.035 * rating + 7e-6 * rating * (rating - 60) * (100 - rating))


def _of_leg(leg: Leg, told: Told) -> Iterator[tuple[Media, Reported]]:
    for media in leg.medias:
        for stream in media.streams:
            for path in stream.paths:
                yield from ((media, one) for one in told(path.rule))


def _lost(reports: Iterable[Reported]) -> float | None:
    found = list(reports)
    blocks = sum(one.blocks for one in found)
    return sum(one.fraction for one in found) / blocks / 256 if blocks else None


def _jitter(reports: Iterable[tuple[Media, Reported]]) -> float | None:
    """Of the medias whose clock is known."""
    found = [(one, rate) for media, one in reports if (rate := _clock_rate(media))]
    blocks = sum(one.blocks for one, _ in found)
    if not blocks:
        return None
    return min(sum(one.jitter / rate for one, rate in found) / blocks, LONGEST_JITTER)


def _clock_rate(media: Media) -> int:
    """Of the RTP timestamp; 0: the codec is not known."""
    rate = media.codec.split("/")[1:2]
    return int(rate[0]) if rate and _RATE.fullmatch(rate[0]) else 0


def _by_checks(ice: MediaIce) -> float | None:
    if ice.agent is not None:
        return ice.agent.round_trip
    return ice.passers[0].round_trip(ice.side) if ice.passers else None
