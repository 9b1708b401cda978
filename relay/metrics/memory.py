"""Metrics of ICE as calls that ended had it, and of the memory of networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric


@dataclass(frozen=True, slots=True)
class MemoryFacts:
    """What the daemon knows at the moment of a scrape."""

    usable: Mapping[tuple[str, str], tuple[Sequence[int], float]] = field(default_factory=dict)
    """By mode and way: legs per bucket, not summed up, the last one beyond all bounds; and seconds."""
    bounds: Sequence[float] = ()
    checks: Mapping[str, int] = field(default_factory=dict)
    moves: int = 0
    consent_lost: int = 0
    records: int = 0
    advice: int = 0
    feedback: Mapping[str, int] = field(default_factory=dict)
    at_hand: int = 0
    waiting: int = 0
    lost: int = 0
    errors: Mapping[str, int] = field(default_factory=dict)
    working: bool = False


def metrics(now: MemoryFacts) -> Iterator[Metric]:
    """All of them."""
    yield _usable(now)
    yield _by("icerelay_ice_checks_total", "Connectivity checks of legs that ended", "dir", now.checks)
    yield _total("icerelay_ice_moves_total", "Changes of a selected path, of legs that ended", now.moves)
    yield _total("icerelay_ice_consent_lost_total", "Paths that lost consent (RFC 7675)", now.consent_lost)
    yield _total("icerelay_memory_records_total", "Answered legs with ICE that ended", now.records)
    yield GaugeMetricFamily("icerelay_memory_networks", "Networks whose memory is at hand", now.at_hand)
    yield GaugeMetricFamily("icerelay_memory_waiting", "Changes and records not stored yet", now.waiting)
    yield GaugeMetricFamily("icerelay_memory_working", "1 if networks can be stored", int(now.working))
    yield _total("icerelay_memory_lost_total", "Changes, records and look-ups without room", now.lost)
    yield _by("icerelay_memory_errors_total", "Failures of the store, by reason", "reason", now.errors)
    yield _total("icerelay_ice_advice_total", "Advice given to apps", now.advice)
    yield _by("icerelay_ice_feedback_total", "Feedback of apps, by what became of it", "result", now.feedback)


def _usable(now: MemoryFacts) -> Metric:
    histogram = HistogramMetricFamily(
        "icerelay_ice_usable_seconds",
        "Time from the answer until media could flow, of legs that ended",
        labels=["mode", "way"],
    )
    for (mode, way), (buckets, seconds) in sorted(now.usable.items()):
        names = [*map(str, now.bounds), "+Inf"]
        reached = [float(number) for number in accumulate(buckets)]
        histogram.add_metric([mode, way], list(zip(names, reached, strict=True)), seconds)
    return histogram


def _total(name: str, text: str, value: int) -> Metric:
    return CounterMetricFamily(name, text, value)


def _by(name: str, text: str, label: str, values: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family
