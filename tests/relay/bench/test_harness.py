"""The harness against the real daemon, and against relays of which it is known what they do wrong."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import click
import pytest

from relay.bench import calls, command, measure, relays
from relay.bench.errors import BenchFailed
from relay.bench.figures import Traffic
from relay.bench.generator import Generator, generator
from relay.bench.machine import Time
from relay.bench.network import Network, loopback, veth
from relay.bench.relays import Relay, Running, running
from relay.bench.scenarios import FULL, Control, Media, Memory, Plan, Saturation

SECONDS = 1.0
CALLS = 2
SENT = 2 * CALLS * 50
"""Packets of two calls in a second."""

HERE = loopback(2)
PLAN = Plan((), repeats=1, seconds=SECONDS, warm_up=0.1, attempts=1)
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def phones() -> Iterator[Generator]:
    with generator(HERE.phones, None) as phones:
        yield phones


@pytest.fixture(scope="module")
def icerelay() -> Iterator[Running]:
    with running(Relay("icerelay", relays.ICERELAY), HERE, 0, None) as run:
        yield run


def faulty(fault: str) -> Relay:
    """Started with the tests' directory in its path, wherever pytest was started."""
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r})"
    program += "; from tests.relay.bench.faulty_relay import main; main()"
    return Relay(fault, f"{shlex.quote(sys.executable)} -c {shlex.quote(program)} {{ng}} {fault} {{ip}}")


def traffic_through(relay: Relay, phones: Generator, network: Network = HERE, place: int = 1) -> Traffic:
    with running(relay, network, place, None) as run, measure.calls_up(run, calls.PLAIN, CALLS, phones) as up:
        phones.hold(calls.media_job(up, calls.PLAIN, 172, 1))
        return phones.run(SECONDS, 0.020)


def kinds_of(*names: str) -> list[Media]:
    named = {one.name: one for one in FULL.scenarios if isinstance(one, Media)}
    return [replace(named[name], calls=CALLS) for name in names]


# The real daemon.


@pytest.mark.parametrize("scenario", kinds_of("calls-10", "video", "srtp", "stun"), ids=lambda one: one.name)
def test_every_packet_and_check_comes_through_the_daemon_as_it_was_sent(
    scenario: Media, icerelay: Running, phones: Generator
) -> None:
    with measure.calls_up(icerelay, scenario.kind, CALLS, phones) as up:
        phones.hold(measure.job_for(scenario, up))
        phones.run(0.2, scenario.interval)
        traffic = phones.run(SECONDS, scenario.interval)
    assert traffic.sent == traffic.received == sum(traffic.histogram) == scenario.rate * SECONDS
    assert (traffic.faults, traffic.send_errors) == ({}, 0)
    assert 0 < traffic.latency(50) <= traffic.latency(99) <= traffic.latency(100)


def test_the_daemons_own_checks_are_answered(icerelay: Running, phones: Generator) -> None:
    with measure.calls_up(icerelay, calls.ICE, CALLS, phones) as up:
        phones.hold(calls.checks_job(up))
        assert phones.run(SECONDS, 0.050).checks_answered >= 2 * CALLS


def test_a_media_scenario_has_cpu_and_added_latency(icerelay: Running, phones: Generator) -> None:
    (scenario,) = kinds_of("calls-10")
    past_relay = measure.direct(scenario, PLAN, phones)
    outcome = measure.media(scenario, PLAN, icerelay, phones, past_relay)
    assert (past_relay.received, outcome.figures["loss"], outcome.faults) == (SENT, 0.0, {})
    assert outcome.figures["cpu"] > 0
    assert outcome.figures["p50"] > 0


def test_calls_cost_memory_descriptors_and_cpu_and_leave_nothing(
    icerelay: Running, phones: Generator
) -> None:
    used = measure.memory(Memory("memory", "", calls.PLAIN, 20), icerelay, phones).figures
    cost = measure.control(Control("control", "", calls.WEBRTC, 5), icerelay, phones).figures
    assert (used["descriptors"], used["memory"] > 0) == (4.0, True)
    assert cost["calls-per-cpu-second"] == pytest.approx(1000 / cost["cpu-per-call"])
    assert icerelay.client.ask("list", {})["calls"] == []


def test_the_highest_rate_is_one_that_passed(
    icerelay: Running, phones: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "FIRST_RATE", 4000.0)
    monkeypatch.setattr(measure, "PROBE", 0.1)
    scenario = Saturation("saturation", "", 2, 3)
    assert measure.saturation(scenario, icerelay, phones).figures["saturation"] > 0.0
    assert icerelay.client.ask("list", {})["calls"] == []
    with running(faulty("drop"), HERE, 1, None) as lossy:
        assert measure.saturation(scenario, lossy, phones).figures["saturation"] == 0.0


@pytest.mark.parametrize("words", [relays.ICERELAY_EBPF, relays.ICERELAY_USERSPACE])
def test_relays_in_namespaces_of_their_own_are_reached_and_leave_nothing(words: str) -> None:
    with veth(1) as network, generator(network.phones, None) as phones:
        traffic = traffic_through(Relay("icerelay", words), phones, network, 0)
    assert (traffic.sent, traffic.received, traffic.faults) == (SENT, SENT, {})
    left = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True)
    assert f"icerelay-bench-{os.getpid()}" not in left.stdout


@pytest.mark.parametrize("scenario", kinds_of("calls-10", "video", "srtp", "stun"), ids=lambda one: one.name)
def test_every_packet_and_check_comes_through_the_daemon_over_ipv6(scenario: Media) -> None:
    icerelay = Relay("icerelay", relays.ICERELAY)
    with (
        veth(1, v6=True) as network,
        generator(network.phones, None) as phones,
        running(icerelay, network, 0, None) as run,
        measure.calls_up(run, scenario.kind, CALLS, phones) as up,
    ):
        assert {":" in host for host, _ in (*phones.phones, *(call.caller.at for call in up))} == {True}
        phones.hold(measure.job_for(scenario, up))
        phones.run(0.2, scenario.interval)
        traffic = phones.run(SECONDS, scenario.interval)
    assert traffic.sent == traffic.received == scenario.rate * SECONDS
    assert traffic.faults == {}


def test_ipv6_is_refused_where_relays_would_share_one_address() -> None:
    with pytest.raises(click.UsageError, match="needs --network=veth"):
        command.main(["--ipv6"], standalone_mode=False)


# Relays that do wrong.


def test_a_relay_that_does_nothing_wrong_is_not_accused(phones: Generator) -> None:
    traffic = traffic_through(faulty("none"), phones)
    assert (traffic.sent, traffic.received, traffic.faults) == (SENT, SENT, {})


@pytest.mark.parametrize(
    ("fault", "received", "faults"),
    [
        ("drop", 180, {}),
        ("duplicate", 200, {"duplicates": 20}),
        ("damage", 180, {"damaged": 20}),
        ("misdeliver", 180, {"misdelivered": 20}),
        ("reorder", 196, {"reordered": 16}),  # the last one of each stream is still held
    ],
)
def test_a_relay_that_does_wrong_to_every_tenth_packet_is_found_out(
    fault: str, received: int, faults: dict[str, int], phones: Generator
) -> None:
    traffic = traffic_through(faulty(fault), phones)
    assert (traffic.sent, traffic.received, traffic.faults) == (SENT, received, faults)


def test_a_call_that_hears_nothing_is_named(phones: Generator, icerelay: Running) -> None:
    with measure.calls_up(icerelay, calls.PLAIN, CALLS, phones) as up:
        phones.hold(calls.media_job(up, calls.PLAIN, 172, 1))
        calls.tear_down(icerelay.client, up.pop(0))
        traffic = phones.run(SECONDS, 0.020)
    assert (traffic.received, traffic.faults) == (SENT // 2, {"silent_streams": 2})


def test_a_relay_through_which_nothing_comes_has_no_figures(phones: Generator) -> None:
    traffic = replace(traffic_through(faulty("none"), phones), received=0, silent_streams=4)
    with pytest.raises(BenchFailed, match=r"of 200 packets none arrived .silent_streams 4"):
        measure.media_figures(traffic, Time(1.0, 0.0), None)


# Relays that cannot be measured.


def test_a_program_that_ends_is_quoted() -> None:
    relay = Relay("broken", "sh -c 'echo no such option; exit 3' {ip} {ng}")
    with (
        pytest.raises(BenchFailed, match=r"broken does not answer:\nno such option"),
        ExitStack() as stack,
    ):
        stack.enter_context(running(relay, HERE, 1, None))


def test_a_relay_that_dies_fails_what_comes_after_and_nothing_else(phones: Generator) -> None:
    (scenario,) = kinds_of("calls-10")
    with running(faulty("none"), HERE, 1, None) as run:
        assert measure.media(scenario, PLAN, run, phones, None).figures["loss"] == 0.0
        os.kill(run.pid, signal.SIGKILL)
        with pytest.raises(BenchFailed, match=r"no reply to offer .*: "):
            measure.media(scenario, PLAN, run, phones, None)


def test_a_program_that_is_not_there_is_named() -> None:
    relay = Relay("missing", "/nonexistent/relay {ip} {ng}")
    with (
        pytest.raises(BenchFailed, match=r"missing cannot be started: .*No such file"),
        ExitStack() as stack,
    ):
        stack.enter_context(running(relay, HERE, 1, None))


def test_what_the_relay_refuses_is_passed_on(icerelay: Running) -> None:
    with pytest.raises(BenchFailed, match="offer was refused: "):
        icerelay.client.ask("offer", {"call-id": "no SDP", "from-tag": "caller"})


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ("relay {ip} {ng} {port}", "{port} is none of"),
        ("relay {ip}", "{ng} is missing"),
        ("relay {ip} {ng", "a brace that is meant is written twice"),
    ],
)
def test_a_command_that_cannot_be_filled_in_is_refused(command: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Relay("wrong", command)
