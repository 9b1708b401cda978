"""Metrics of ICE as calls that ended had it, and of the memory of networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric


@dataclass(frozen=True, slots=True)
class MemoryFacts:
    """What the daemon knows at the moment of a scrape."""

    usable: Mapping[tuple[str, str, str], tuple[Sequence[int], float]] = field(default_factory=dict)
    """By mode, transport and way: legs per bucket, not summed up, the last one beyond all; and seconds."""
    bounds: Sequence[float] = ()
    candidates: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """By action and reason."""
    checks: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """By direction and result."""
    moves: Mapping[str, int] = field(default_factory=dict)
    """By result."""
    unreached: Mapping[str, int] = field(default_factory=dict)
    """By reason."""
    widened: int = 0
    rows: Mapping[str, int] = field(default_factory=dict)
    """By table; empty where they cannot be counted."""
    consent_lost: int = 0
    records: int = 0
    advice: int = 0
    advice_refused: Mapping[str, int] = field(default_factory=dict)
    feedback: Mapping[str, int] = field(default_factory=dict)
    at_hand: int = 0
    waiting: int = 0
    lost: int = 0
    errors: Mapping[str, int] = field(default_factory=dict)
    working: bool = False


def metrics(now: MemoryFacts) -> Iterator[Metric]:
    """All of them."""
    yield _usable(now)
    yield _by(
        "icerelay_ice_unusable_total",
        "Answered legs with ICE at the relay that ended without ever having had a usable path",
        "reason",
        now.unreached,
    )
    yield _by2(
        "icerelay_ice_candidates_total",
        "Candidates that phones were told or not, of legs that ended",
        ("action", "reason"),
        now.candidates,
    )
    yield _by2(
        "icerelay_ice_checks_total", "Connectivity checks of legs that ended", ("dir", "result"), now.checks
    )
    yield _by("icerelay_ice_moves_total", "Phones that moved, of legs that ended", "result", now.moves)
    yield _total("icerelay_ice_widen_total", "Legs that missed a way that they were not told", now.widened)
    yield _total("icerelay_ice_consent_lost_total", "Paths that lost consent (RFC 7675)", now.consent_lost)
    yield _total("icerelay_memory_records_total", "Answered legs with ICE that ended", now.records)
    yield GaugeMetricFamily("icerelay_memory_networks", "Networks whose memory is at hand", now.at_hand)
    rows = GaugeMetricFamily("icerelay_ice_memory_rows", "Rows of the memory, by table", labels=["table"])
    for table, count in now.rows.items():
        rows.add_metric([table], count)
    yield rows
    yield GaugeMetricFamily("icerelay_memory_waiting", "Changes and records not stored yet", now.waiting)
    yield GaugeMetricFamily("icerelay_memory_working", "1 if networks can be stored", int(now.working))
    yield _total("icerelay_memory_lost_total", "Changes, records and look-ups without room", now.lost)
    yield _by("icerelay_memory_errors_total", "Failures of the store, by reason", "reason", now.errors)
    yield _total("icerelay_ice_advice_total", "Advice given to apps", now.advice)
    refused = now.advice_refused
    yield _by("icerelay_ice_advice_refused_total", "Questions of apps not answered", "result", refused)
    yield _by("icerelay_ice_feedback_total", "Feedback of apps, by what became of it", "result", now.feedback)


def _usable(now: MemoryFacts) -> Metric:
    histogram = HistogramMetricFamily(
        "icerelay_ice_usable_seconds",
        "Time from the answer until media could flow, of legs that ended",
        labels=["mode", "transport", "way"],
    )
    for labels, (buckets, seconds) in sorted(now.usable.items()):
        names = [*map(str, now.bounds), "+Inf"]
        reached = [float(number) for number in accumulate(buckets)]
        histogram.add_metric(labels, list(zip(names, reached, strict=True)), seconds)
    return histogram


def _total(name: str, text: str, value: int) -> Metric:
    return CounterMetricFamily(name, text, value)


def _by(name: str, text: str, label: str, values: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _by2(name: str, text: str, labels: tuple[str, str], values: Mapping[tuple[str, str], int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family
