from __future__ import annotations

from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

from relay.metrics.collector import PortUse, Snapshot, renderer
from relay.metrics.memory import MemoryFacts


@dataclass
class Spent:
    count: int
    seconds: float
    buckets: list[int] = field(default_factory=list)


BUSY = Snapshot(
    uptime=12.5,
    workers=2,
    workers_stuck=1,
    calls={"offered": 1, "answered": 2},
    legs=6,
    medias=7,
    streams=14,
    sessions_total=10,
    closed={"deleted": 5, "offer timeout": 1, "out of something": 1},
    totals={
        "rtp_packets": 100, "rtp_bytes": 17200, "rtcp_packets": 3, "rtcp_bytes": 300, "sent_packets": 101,
        "sent_bytes": 17000, "stranger": 4, "malformed": 1, "send_error": 2, "no_rule": 9, "overrun": 7,
        "events_lost": 8,
    },
    ports=[PortUse("pub", "192.0.2.7", 28, 9972), PortUse("pub", "2001:db8::7", 0, 10000)],
    ng_requests={
        ("192.0.2.1", "offer"): Spent(3, 0.5, [1, 1, 1]),
        ("192.0.2.2", "offer"): Spent(1, 0.25, [0, 1, 0]),
        ("192.0.2.1", "ping"): Spent(1, 0.0, [1, 0, 0]),
    },
    ng_bounds=(0.001, 0.1),
    ng_errors={"192.0.2.1": 2},
    ng_repeats=6,
    trickle_refused={"ufrag": 3, "expired": 0},
    ice_flaws={"mismatch": 2, "bad-restart": 0},
    dtls_open=2,
    dtls_done=11,
    dtls_failed={"fingerprint": 3, "timeout": 1},
    dtls_dropped={"client hello": 40},
)  # fmt: skip


def scraped(snapshot: Snapshot) -> dict[tuple[str, ...], float]:
    """Sample name and label values in the order of their names -> value."""
    content_type, page = renderer(lambda: snapshot)("text/plain")
    assert content_type.startswith("text/plain")
    return {
        (sample.name, *(sample.labels[label] for label in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
    }


def test_rtpengines_names_carry_what_they_meant() -> None:
    found = scraped(BUSY)
    expected = {
        ("rtpengine_sessions", "own"): 3,
        ("rtpengine_sessions", "foreign"): 0,
        ("rtpengine_mediastreams", "userspace"): 14,
        ("rtpengine_uptime_seconds",): 12.5,
        ("rtpengine_sessions_total",): 10,
        ("rtpengine_closed_sessions_total", "terminated"): 5,
        ("rtpengine_closed_sessions_total", "offer_timeout"): 1,
        ("rtpengine_closed_sessions_total", "out_of_something"): 1,
        ("rtpengine_closed_sessions_total", "timeout"): 0,
        ("rtpengine_packets_total", "userspace"): 103,
        ("rtpengine_bytes_total", "userspace"): 17500,
        ("rtpengine_packet_errors_total", "userspace"): 3,
        ("rtpengine_ports", "192.0.2.7", "pub"): 10000,
        ("rtpengine_ports_used", "192.0.2.7", "pub"): 28,
        ("rtpengine_ports_free", "2001:db8::7", "pub"): 10000,
        ("rtpengine_requests_total", "192.0.2.1", "offer"): 3,
        ("rtpengine_request_seconds_total", "192.0.2.1", "offer"): 0.5,
        ("rtpengine_errors_total", "192.0.2.1"): 2,
    }
    assert {key: found.get(key) for key in expected} == expected


def test_drops_are_counted_by_reason() -> None:
    found = scraped(BUSY)
    drops = {key[1]: value for key, value in found.items() if key[0] == "icerelay_dropped_packets_total"}
    assert drops == {
        "stranger": 4, "malformed": 1, "no_output": 0, "no_peer": 0, "send_error": 2, "stun": 0, "auth": 0,
        "replay": 0, "stun_limited": 0, "feedback": 0, "no_rule": 9, "overrun": 7,
    }  # fmt: skip


def test_hanging_workers_are_shown() -> None:
    found = scraped(BUSY)
    assert (found[("icerelay_workers",)], found[("icerelay_worker_stuck",)]) == (2, 1)


def test_candidates_that_were_not_used_are_counted_by_reason() -> None:
    found = scraped(BUSY)
    assert found[("icerelay_trickle_refused_total", "ufrag")] == 3
    assert found[("icerelay_trickle_refused_total", "expired")] == 0
    assert found[("icerelay_ice_flaws_total", "mismatch")] == 2


def test_latency_is_a_histogram_per_command_over_all_proxies() -> None:
    found = scraped(BUSY)
    buckets = {
        key[1:]: value for key, value in found.items() if key[0] == "icerelay_ng_request_seconds_bucket"
    }
    assert buckets[("0.001", "offer")] == 1
    assert buckets[("0.1", "offer")] == 3
    assert buckets[("+Inf", "offer")] == found[("icerelay_ng_request_seconds_count", "offer")] == 4
    assert found[("icerelay_ng_request_seconds_sum", "offer")] == 0.75


def test_every_metric_has_a_help_line() -> None:
    _, page = renderer(lambda: BUSY)("text/plain")
    lines = page.decode().splitlines()
    named = {line.split()[2]: line for line in lines if line.startswith("# HELP")}
    typed = {line.split()[2] for line in lines if line.startswith("# TYPE")}
    assert typed <= named.keys()
    assert all(len(line.split()) > 3 for line in named.values())


def test_an_idle_relay_can_be_scraped() -> None:
    idle = Snapshot(0.0, 1, {}, 0, 0, 0, 0, {}, {}, [])
    assert scraped(idle)[("rtpengine_sessions", "own")] == 0


def test_the_snapshot_is_taken_at_the_scrape_and_not_before() -> None:
    taken: list[Snapshot] = []

    def snapshot() -> Snapshot:
        taken.append(BUSY)
        return BUSY

    render = renderer(snapshot)
    assert taken == []
    render("")
    assert len(taken) == 1


def test_openmetrics_is_served_to_those_who_ask() -> None:
    content_type, page = renderer(lambda: BUSY)("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert page.endswith(b"# EOF\n")


def test_handshakes_are_told_by_how_they_ended() -> None:
    found = scraped(BUSY)
    expected = {
        ("icerelay_dtls_handshakes",): 2,
        ("icerelay_dtls_handshakes_done_total",): 11,
        ("icerelay_dtls_handshakes_failed_total", "fingerprint"): 3,
        ("icerelay_dtls_handshakes_failed_total", "timeout"): 1,
        ("icerelay_dtls_dropped_total", "client hello"): 40,
    }
    assert found.items() >= expected.items()


def test_what_is_known_of_ice_and_networks_is_exported() -> None:
    facts = MemoryFacts(
        usable={("relay", "udp", "u"): ([1, 2, 1], 3.5)},
        bounds=(0.1, 1.0),
        candidates={("dropped", "invalid"): 3, ("kept", "direct-kept"): 1},
        checks={("in", "ok"): 9, ("out", "unanswered"): 4},
        moves={"moved": 2, "unanswered": 1},
        unreached={"no check": 8, "no answer": 0},
        widened=6,
        rows={"networks": 20, "records": 70},
        advice=5,
        feedback={"ok": 3, "429": 7},
        at_hand=11,
        errors={"full": 2},
        working=True,
    )
    found = scraped(Snapshot(0.0, 1, {}, 0, 0, 0, 0, {}, {}, [], memory=facts))
    buckets = {
        key[1]: value for key, value in found.items() if key[0] == "icerelay_ice_usable_seconds_bucket"
    }
    assert buckets == {"0.1": 1, "1.0": 3, "+Inf": 4}
    assert found[("icerelay_ice_usable_seconds_sum", "relay", "udp", "u")] == 3.5
    assert found[("icerelay_ice_candidates_total", "dropped", "invalid")] == 3
    assert found[("icerelay_ice_candidates_total", "kept", "direct-kept")] == 1
    assert found[("icerelay_ice_checks_total", "in", "ok")] == 9
    assert found[("icerelay_ice_checks_total", "out", "unanswered")] == 4
    assert found[("icerelay_ice_moves_total", "moved")] == 2
    assert found[("icerelay_ice_moves_total", "unanswered")] == 1
    assert found[("icerelay_ice_unusable_total", "no check")] == 8
    assert found[("icerelay_ice_unusable_total", "no answer")] == 0
    assert found[("icerelay_ice_widen_total",)] == 6
    assert found[("icerelay_ice_memory_rows", "networks")] == 20
    assert found[("icerelay_ice_memory_rows", "records")] == 70
    assert found[("icerelay_ice_feedback_total", "429")] == 7
    assert found[("icerelay_memory_errors_total", "full")] == 2
    assert found[("icerelay_memory_networks",)] == 11
    assert found[("icerelay_memory_working",)] == 1
