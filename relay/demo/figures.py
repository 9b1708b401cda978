"""What was measured, as numbers, and whether it is good enough."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from relay.demo.counted import Counted
from relay.demo.phone import Phone

ENOUGH = 0.95
"""Share of the packets that has to arrive each way for a call that people would call one."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds on the way."""

    median: float
    p99: float

    @classmethod
    def of(cls, samples: Iterable[float]) -> Latency | None:
        """None where nothing arrived."""
        ordered = sorted(samples)
        return cls(percentile(ordered, 50), percentile(ordered, 99)) if ordered else None


def percentile(ordered: Sequence[float], percent: int) -> float:
    """The smallest sample that ``percent`` (1 .. 100) of ``ordered``, which is not empty, do not exceed.

    >>> percentile([1.0, 2.0, 3.0, 4.0], 50)
    2.0
    """
    return ordered[-(-len(ordered) * percent // 100) - 1]


@dataclass(frozen=True, slots=True)
class Flow:
    """Media one way. ``counted`` is what the relay says it received, None if it does not say."""

    name: str
    sent: int
    received: int
    counted: Counted | None
    relayed: Latency | None
    direct: Latency | None

    @classmethod
    def between(cls, speaker: Phone, hearer: Phone, counted: Counted | None) -> Flow:
        """What ``hearer`` got of ``speaker``."""
        return cls(
            name=f"{speaker.name} -> {hearer.name}",
            sent=speaker.sent,
            received=len(hearer.heard.latencies),
            counted=counted,
            relayed=Latency.of(hearer.heard.latencies.values()),
            direct=Latency.of(hearer.heard_directly.latencies.values()),
        )

    @property
    def loss(self) -> float:
        """Share of the packets that did not arrive, 0 .. 1."""
        return 1 - self.received / self.sent

    @property
    def flowed(self) -> bool:
        return self.received >= ENOUGH * self.sent

    @property
    def added(self) -> Latency | None:
        """What the relay adds: the difference of the medians, and of the 99th percentiles."""
        if self.relayed is None or self.direct is None:
            return None
        return Latency(self.relayed.median - self.direct.median, self.relayed.p99 - self.direct.p99)


def verdict(flows: Sequence[Flow]) -> str:
    """One sentence."""
    poor = [flow for flow in flows if not flow.flowed]
    if poor:
        failures = (f"{flow.name} {flow.received} of {flow.sent} packets arrived" for flow in poor)
        return f"media did not flow: {'; '.join(failures)}; {ENOUGH:.0%} are needed"
    sent, received = sum(flow.sent for flow in flows), sum(flow.received for flow in flows)
    medians = [flow.added.median for flow in flows if flow.added is not None]
    added = f", the relay added {max(medians) * 1e3:.2f} ms" if medians else ""
    return f"media flowed both ways: {received} of {sent} packets arrived{added}"
