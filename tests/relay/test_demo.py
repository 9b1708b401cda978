"""``icerelay demo`` as a person runs it, and what it says when something is wrong."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path

import pytest

import sdp
from relay.demo.call import OFFER, place_call
from relay.demo.compare import Fate, compare
from relay.demo.counted import Counted, read
from relay.demo.errors import CallFailed
from relay.demo.figures import Flow, Latency, percentile, verdict
from relay.demo.proxy import Proxy
from relay.demo.screen import Screen
from relay.ng import message
from relay.ng.bencode import Encodable

RELAY = "127.0.0.10"
DEMO = [sys.executable, "-P", "-m", "relay.cli", "demo"]


def run(directory: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*DEMO, *arguments],
        cwd=directory,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=30,
    )


def sdp_offer() -> str:
    return resources.files("relay").joinpath("data", OFFER).read_bytes().decode()


# The whole demonstration.


def test_the_demo_shows_why_candidates_went_and_that_media_flowed(tmp_path: Path) -> None:
    done = run(tmp_path, "--seconds=2", COLUMNS="180")
    shown = done.stdout
    assert (done.returncode, done.stderr) == (0, "")
    assert len(re.findall(r"(?m)^- a=candidate:\d+ .* \| <- removed: ", shown)) == 12
    assert "10.20.0.5 40001 typ host" in shown
    assert "<- removed: an address of the phone's own network; the relay is reachable instead" in shown
    assert "12 candidates of the caller: 0 kept, 12 removed; 2 of the relay added." in shown
    for row in ("sent", "counted by the relay", "received"):
        count = r"(9[5-9]|100)(, \d+ refused)?"  # a repeat of the handshake may have come late
        assert re.search(rf"(?m)^  {row} +{count} +{count}$", shown), row
    assert re.search(rf"(?m)^  was told to send to +{RELAY}:\d+ +{RELAY}:\d+$", shown)
    assert shown.splitlines()[-1].startswith("OK: media flowed both ways: ")
    assert "\x1b" not in shown
    assert_relay_ended(shown)


def assert_relay_ended(shown: str) -> None:
    found = re.search(r"\(process\s+(\d+)\)", shown)
    assert found is not None
    with pytest.raises(ProcessLookupError):
        os.kill(int(found[1]), 0)


def while_media_flows(directory: Path, seconds: float, act: Callable[[int, str], None]) -> tuple[int, str]:
    """Run the demo, and ``act`` (with its pid and what it wrote) as soon as media flows."""
    command = [*DEMO, f"--seconds={seconds}"]
    with subprocess.Popen(
        command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as demo:
        assert demo.stdout is not None
        shown = ""
        for line in demo.stdout:
            shown += line
            if line.startswith("== Media both ways"):
                act(demo.pid, shown)
        return demo.wait(10), shown


def delete_all_calls(_: int, shown: str) -> None:
    found = re.search(rf"ng {RELAY}:(\d+)", shown)
    assert found is not None
    proxy = Proxy((RELAY, int(found[1])))
    calls = proxy.ask("list", {}).reply["calls"]
    assert isinstance(calls, list)
    for call in calls:
        proxy.ask("delete", {"call-id": call, "delete-delay": 0})
    proxy.close()


def test_a_relay_that_stops_forwarding_makes_the_demo_fail(tmp_path: Path) -> None:
    status, shown = while_media_flows(tmp_path, 1.0, delete_all_calls)
    assert status == 1
    assert re.search(r"FAILED: media did not flow: caller -> callee \d+ of 50 packets arrived", shown)
    assert "icerelay demo: the relay refused query: Unknown call-id" in shown


def test_a_demo_that_is_ended_takes_its_relay_with_it(tmp_path: Path) -> None:
    status, shown = while_media_flows(tmp_path, 60.0, lambda pid, _: os.kill(pid, signal.SIGTERM))
    assert (status, "icerelay demo: interrupted" in shown) == (130, True)
    assert_relay_ended(shown)


def test_a_wrong_option_ends_with_status_2(tmp_path: Path) -> None:
    done = run(tmp_path, "--seconds=long")
    assert done.returncode == 2
    assert "--seconds" in done.stderr


# Relays that fail.


@pytest.fixture
def mute() -> Iterator[socket.socket]:
    """A socket that takes everything and answers nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind((RELAY, 0))
        yield silent


def serve_ng(ng: socket.socket, reply: Callable[[str], dict[str, Encodable]]) -> None:
    """Answer commands with what ``reply`` makes of their SDP, until the socket is closed."""
    while True:
        datagram, proxy = ng.recvfrom(65536)
        parts = message.split(datagram)
        if parts is None:
            return
        request, encoding = message.decode(parts[1])
        ng.sendto(message.encode_reply(parts[0], reply(str(request["sdp"])), encoding), proxy)


def call_through(reply: Callable[[str], dict[str, Encodable]]) -> bool:
    """A call through something that speaks ng and forwards nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ng:
        ng.bind((RELAY, 0))
        server = threading.Thread(target=serve_ng, args=(ng, reply))
        server.start()
        try:
            return asyncio.run(place_call(ng.getsockname(), 0.1, Screen()))
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stop:
                stop.sendto(b"stop", ng.getsockname())
            server.join()


def test_a_port_where_nothing_answers_is_named(mute: socket.socket) -> None:
    port = mute.getsockname()[1]

    def leads_nowhere(text: str) -> dict[str, Encodable]:
        text = re.sub(r"m=audio \d+", f"m=audio {port}", text)
        return {"result": "ok", "sdp": re.sub(r"c=IN IP4 \S+", f"c=IN IP4 {RELAY}", text)}

    with pytest.raises(
        CallFailed, match=rf"was told to send to {RELAY}:{port}, and ICE found no way to there"
    ):
        call_through(leads_nowhere)


def test_an_error_of_the_relay_is_passed_on() -> None:
    with pytest.raises(CallFailed, match="the relay refused offer: Ran out of ports"):
        call_through(lambda _: {"result": "error", "error-reason": "Ran out of ports"})


def test_a_reply_without_ice_is_not_taken_for_a_call() -> None:
    def without_ice(text: str) -> dict[str, Encodable]:
        return {"result": "ok", "sdp": re.sub(r"a=ice-pwd:.*\r\n", "", text)}

    with pytest.raises(CallFailed, match="no a=ice-ufrag and a=ice-pwd"):
        call_through(without_ice)


def test_a_relay_that_is_not_there_is_named(mute: socket.socket) -> None:
    address = mute.getsockname()
    mute.close()
    with pytest.raises(CallFailed, match=f"cannot reach the relay at ng {RELAY}:{address[1]}"):
        asyncio.run(place_call(address, 0.1, Screen()))


# What is shown.

BEFORE = "\r\n".join(
    [
        "v=0",
        "m=audio 9 RTP/AVP 0",
        "c=IN IP4 192.0.2.7",
        "a=candidate:1 1 udp 2130706431 192.0.2.7 4000 typ host",
        "a=candidate:2 1 udp 16777215 203.0.113.9 5000 typ relay",
        "a=sendrecv",
    ]
)
AFTER = "\r\n".join(
    [
        "v=0",
        "m=audio 9 RTP/AVP 0",
        "c=IN IP4 198.51.100.1",
        "a=candidate:1 1 udp 2130706431 192.0.2.7 4000 typ host",
        "a=sendrecv",
        "a=candidate:R 1 udp 50000000 198.51.100.1 30000 typ relay",
    ]
)


def test_lines_are_matched_by_what_they_are_about() -> None:
    assert [(row.fate.value, row.before, row.after) for row in compare(BEFORE, AFTER)][1:3] == [
        (" ", "m=audio 9 RTP/AVP 0", "m=audio 9 RTP/AVP 0"),
        ("~", "c=IN IP4 192.0.2.7", "c=IN IP4 198.51.100.1"),
    ]


def test_every_candidate_has_a_fate_and_a_reason() -> None:
    rows = [row for row in compare(BEFORE, AFTER) if row.is_candidate]
    assert [(row.fate, row.reason) for row in rows] == [
        (Fate.SAME, sdp.Reason.DIRECT_KEPT.sentence),
        (Fate.REMOVED, sdp.Reason.RELAY_REPLACED.sentence),
        (Fate.ADDED, sdp.Reason.RELAY_INSERTED.sentence),
    ]


@pytest.mark.parametrize("columns", [80, 120, 200])
def test_both_descriptions_fit_side_by_side(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    Screen().offer(compare(sdp_offer(), AFTER), 0.001)
    lines = capsys.readouterr().out.splitlines()
    assert columns * 0.8 < max(map(len, lines)) <= columns


def test_a_percentile_is_a_sample() -> None:
    ordered = [float(number) for number in range(1, 151)]
    assert (percentile(ordered, 50), percentile(ordered, 99), percentile([7.0], 99)) == (75.0, 149.0, 7.0)


def flow(received: int, counted: Counted | None = None) -> Flow:
    return Flow("caller -> callee", 100, received, counted, Latency(0.003, 0.005), Latency(0.001, 0.002))


def test_a_call_that_loses_more_than_one_packet_in_twenty_has_failed() -> None:
    assert (flow(95).flowed, flow(94).flowed) == (True, False)
    assert verdict([flow(100), flow(94)]) == (
        "media did not flow: caller -> callee 94 of 100 packets arrived; 95% are needed"
    )
    assert verdict([flow(100), flow(95)]) == (
        "media flowed both ways: 195 of 200 packets arrived, the relay added 2.00 ms"
    )


def test_the_report_of_a_leg_is_summed_over_its_streams() -> None:
    seen: dict[str, Encodable] = {"family": "IPv4", "address": "127.0.0.2", "port": 4000}
    streams: list[Encodable] = [
        {"endpoint": seen, "stats": {"packets": 10, "bytes": 920, "errors": 1}},
        {"endpoint": {}, "stats": {"packets": 2, "bytes": 100, "errors": 0}},
    ]
    reply: dict[str, Encodable] = {"tags": {"caller": {"medias": [{"streams": streams}]}}}
    assert read(reply) == {"caller": Counted(12, 1, ("127.0.0.2", 4000))}


def test_a_report_of_another_form_is_an_error_that_says_where() -> None:
    with pytest.raises(CallFailed, match=r"cannot be read: .*medias"):
        read({"tags": {"caller": {"tag": "caller"}}})
