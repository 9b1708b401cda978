"""Prometheus metrics, read when somebody scrapes; nothing is counted twice.

Where the meaning is rtpengine's, so is the name, and dashboards survive the
change. The rest begins with ``icerelay_``. Label values come from fixed sets,
from the configuration, or from tables of bounded size (``ng_requests``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector, CollectorRegistry

from relay.metrics import memory
from relay.metrics.memory import MemoryFacts


class Spent(Protocol):
    """How often one ng command was carried out, and how long that took."""

    count: int
    seconds: float
    buckets: list[int]
    """Commands per bucket, not summed up; the last one is for those above every bound."""


@dataclass(frozen=True, slots=True)
class PortUse:
    """Media ports of one local address."""

    name: str  # of the interface
    address: str
    used: int
    free: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the daemon knows at the moment of a scrape."""

    uptime: float  # seconds
    workers: int
    calls: Mapping[str, int]  # by state, such as "offered" and "answered"
    legs: int
    medias: int
    streams: int
    sessions_total: int  # calls ever
    closed: Mapping[str, int]  # calls ended, by reason as the registry of calls names it
    totals: Mapping[str, int]  # Plane.totals()
    ports: Sequence[PortUse]
    workers_stuck: int = 0
    kernel_totals: Mapping[str, int] = field(default_factory=dict)  # part of totals: forwarded by the kernel
    kernel_streams: int = 0  # of streams: those whose RTP the kernel forwards
    declined: Mapping[str, int] = field(default_factory=dict)  # rules that stay in user space, by reason
    jitter: Mapping[str, float] = field(default_factory=dict)  # seconds, by quantile over streams
    by_shared: int = 0  # datagrams that came by range sockets
    ng_requests: Mapping[tuple[str, str], Spent] = field(default_factory=dict)  # by proxy and command
    ng_bounds: Sequence[float] = ()  # upper bounds of Spent.buckets, seconds, without the last one
    ng_errors: Mapping[str, int] = field(default_factory=dict)  # by proxy
    ng_repeats: int = 0  # answered from the reply cache
    ng_unanswerable: int = 0  # datagrams without a cookie
    stun_refused: Mapping[str, int] = field(default_factory=dict)  # by reason
    trickle_refused: Mapping[str, int] = field(default_factory=dict)  # by reason
    ice_flaws: Mapping[str, int] = field(default_factory=dict)  # by flaw
    dtls_open: int = 0  # handshakes that run
    dtls_done: int = 0  # handshakes that gave keys
    dtls_failed: Mapping[str, int] = field(default_factory=dict)  # handshakes that gave none, by reason
    dtls_dropped: Mapping[str, int] = field(default_factory=dict)  # datagrams, by reason
    memory: MemoryFacts = field(default_factory=MemoryFacts)


CLOSED = {
    "rejected": "rejected",
    "timeout": "timeout",
    "silent timeout": "silent_timeout",
    "final timeout": "final_timeout",
    "offer timeout": "offer_timeout",
    "deleted": "terminated",
    "shutdown": "force_terminated",
}
"""Why calls end: our reason, rtpengine's label."""

DROPS = (
    "stranger",
    "malformed",
    "no_output",
    "no_peer",
    "send_error",
    "stun",
    "auth",
    "replay",
    "stun_limited",
    "feedback",
    "no_rule",
    "overrun",
)
"""The totals that count datagrams which were not forwarded."""

FLAWS = {
    "rtp_skipped": "RTP packets that did not come in their turn; lost are these less the late ones",
    "rtp_late": "RTP packets that came late or twice",
}

RTPENGINE_ERRORS = ("malformed", "send_error")
"""What rtpengine calls a packet error; it does not count strangers."""


class RelayCollector(Collector):
    """Turns a snapshot into metrics. ``snapshot`` is called once per scrape."""

    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        self._snapshot = snapshot

    def describe(self) -> list[Metric]:
        """Nothing: registering must not take a snapshot."""
        return []

    def collect(self) -> Iterator[Metric]:
        now = self._snapshot()
        yield from _calls(now)
        yield from _traffic(now)
        yield from _dtls(now)
        yield from _ports(now.ports)
        yield from _ng(now)
        yield from memory.metrics(now.memory)


def _calls(now: Snapshot) -> Iterator[Metric]:
    own = sum(now.calls.values())
    yield _gauge("rtpengine_sessions", "Calls at this moment", "type", {"own": own, "foreign": 0})
    yield _gauge("icerelay_calls", "Calls at this moment, by state", "state", now.calls)
    yield GaugeMetricFamily("icerelay_legs", "Parties of calls at this moment", now.legs)
    yield GaugeMetricFamily("icerelay_medias", "Media sections of all parties at this moment", now.medias)
    streams = {"userspace": now.streams - now.kernel_streams, "kernel": now.kernel_streams, "mixed": 0}
    yield _gauge("rtpengine_mediastreams", "Streams at this moment, by who forwards them", "type", streams)
    yield GaugeMetricFamily("rtpengine_uptime_seconds", "Time since the relay started", now.uptime)
    yield GaugeMetricFamily("icerelay_workers", "Threads that forward media", now.workers)
    yield GaugeMetricFamily("icerelay_worker_stuck", "Threads of them that hang", now.workers_stuck)
    yield CounterMetricFamily("rtpengine_sessions_total", "Calls since the start", now.sessions_total)
    closed = Counter(dict.fromkeys(CLOSED.values(), 0))
    for reason, count in now.closed.items():
        closed[CLOSED.get(reason, reason.replace(" ", "_"))] += count
    yield _counter("rtpengine_closed_sessions_total", "Calls that ended, by reason", "reason", closed)


def _traffic(now: Snapshot) -> Iterator[Metric]:
    totals = Counter(now.totals)
    kernel = Counter(now.kernel_totals)
    packets = totals["rtp_packets"] + totals["rtcp_packets"]
    octets = totals["rtp_bytes"] + totals["rtcp_bytes"]
    errors = sum(totals[name] for name in RTPENGINE_ERRORS)
    accepted = _by_plane(packets, kernel["rtp_packets"])
    yield _counter("rtpengine_packets_total", "Packets accepted from peers", "type", accepted)
    yield _counter("rtpengine_packet_errors_total", "Broken or unsendable packets", "type", _by_plane(errors))
    yield _counter(
        "rtpengine_bytes_total",
        "UDP payload accepted from peers, bytes",
        "type",
        _by_plane(octets, kernel["rtp_bytes"]),
    )
    yield _gauge(
        "icerelay_declined_rules",
        "Rules that the kernel does not forward by, by reason; empty without eBPF",
        "reason",
        now.declined,
    )
    yield CounterMetricFamily(
        "icerelay_range_socket_packets_total",
        "Datagrams that came by a socket which ports share",
        now.by_shared,
    )
    yield CounterMetricFamily("icerelay_sent_packets_total", "Packets sent to peers", totals["sent_packets"])
    yield CounterMetricFamily(
        "icerelay_sent_bytes_total", "UDP payload sent to peers, bytes", totals["sent_bytes"]
    )
    yield _gauge(
        "icerelay_rtp_jitter_seconds",
        "Jitter of RTP as it arrives (RFC 3550), over the streams that are heard at the moment",
        "quantile",
        now.jitter,
    )
    for name, text in FLAWS.items():
        yield _counter(f"icerelay_{name}_packets_total", text, "type", _by_plane(totals[name], kernel[name]))
    yield _counter(
        "icerelay_dropped_packets_total",
        "Datagrams not forwarded, by reason",
        "reason",
        {name: totals[name] for name in DROPS},
    )
    yield CounterMetricFamily(
        "icerelay_events_lost_total",
        "STUN and DTLS datagrams and latch reports for which the event ring had no room, or their port's "
        "share of it: 64 that are not read yet",
        totals["events_lost"],
    )
    yield CounterMetricFamily(
        "icerelay_stun_answered_total",
        "Connectivity checks answered by the forwarding threads",
        totals["stun_answered"],
    )
    yield _counter(
        "icerelay_stun_refused_total", "STUN datagrams not acted upon, by reason", "reason", now.stun_refused
    )
    yield _counter(
        "icerelay_trickle_refused_total",
        "Fragments, parts of them or single candidates not used, by reason",
        "reason",
        now.trickle_refused,
    )
    yield _counter(
        "icerelay_ice_flaws_total", "Descriptions of medias with wrong ICE, by flaw", "flaw", now.ice_flaws
    )


def _dtls(now: Snapshot) -> Iterator[Metric]:
    yield GaugeMetricFamily("icerelay_dtls_handshakes", "DTLS handshakes at this moment", now.dtls_open)
    yield CounterMetricFamily(
        "icerelay_dtls_handshakes_done_total", "DTLS handshakes that gave keys", now.dtls_done
    )
    yield _counter(
        "icerelay_dtls_handshakes_failed_total",
        "DTLS handshakes that gave no keys, by reason",
        "reason",
        now.dtls_failed,
    )
    yield _counter(
        "icerelay_dtls_dropped_total", "DTLS datagrams not acted upon, by reason", "reason", now.dtls_dropped
    )


def _by_plane(value: int, kernel: int = 0) -> dict[str, int]:
    return {"userspace": value - kernel, "kernel": kernel}


def _ports(ports: Sequence[PortUse]) -> Iterator[Metric]:
    labels = ["name", "address"]
    total = GaugeMetricFamily("rtpengine_ports", "Media ports of a local address", labels=labels)
    used = GaugeMetricFamily("rtpengine_ports_used", "Media ports in use", labels=labels)
    free = GaugeMetricFamily("rtpengine_ports_free", "Media ports not in use", labels=labels)
    for port in ports:
        where = [port.name, port.address]
        total.add_metric(where, port.used + port.free)
        used.add_metric(where, port.used)
        free.add_metric(where, port.free)
    yield from (total, used, free)


def _ng(now: Snapshot) -> Iterator[Metric]:
    labels = ["proxy", "request"]
    requests = CounterMetricFamily("rtpengine_requests_total", "ng commands carried out", labels=labels)
    seconds = CounterMetricFamily("rtpengine_request_seconds_total", "Time spent on them", labels=labels)
    for where, spent in now.ng_requests.items():
        requests.add_metric(where, spent.count)
        seconds.add_metric(where, spent.seconds)
    yield from (requests, seconds, _latency(now))
    yield _counter("rtpengine_errors_total", "ng commands answered with an error", "proxy", now.ng_errors)
    yield CounterMetricFamily(
        "icerelay_ng_repeats_total", "Repeated ng commands answered from the reply cache", now.ng_repeats
    )
    yield CounterMetricFamily(
        "icerelay_ng_unanswerable_total", "ng datagrams without a cookie", now.ng_unanswerable
    )


def _latency(now: Snapshot) -> Metric:
    """One histogram per command; a proxy would multiply it by the buckets."""
    histogram = HistogramMetricFamily(
        "icerelay_ng_request_seconds", "Time from an ng command to its reply", labels=["request"]
    )
    for command in sorted({command for _, command in now.ng_requests}):
        spent = [spent for (_, name), spent in now.ng_requests.items() if name == command]
        reached = 0
        buckets = []
        for index, bound in enumerate([*map(str, now.ng_bounds), "+Inf"]):
            reached += sum(one.buckets[index] for one in spent)
            buckets.append((bound, float(reached)))
        histogram.add_metric([command], buckets, sum(one.seconds for one in spent))
    return histogram


def _gauge(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _counter(name: str, text: str, label: str, values: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def renderer(snapshot: Callable[[], Snapshot]) -> Callable[[str], tuple[str, bytes]]:
    """A function from the Accept header of a scrape to the content type and the page."""
    registry = CollectorRegistry()
    registry.register(RelayCollector(snapshot))

    def render(accept: str) -> tuple[str, bytes]:
        encode, content_type = choose_encoder(accept)
        return content_type, encode(registry)

    return render
