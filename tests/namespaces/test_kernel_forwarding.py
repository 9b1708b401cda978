"""The plane of two tiers, between machines: what the far end received is what counts."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import count

import pytest

from relay.forward.fake_track import Track
from relay.forward.offload import tiered
from relay.forward.offload.flow import Flow, Why
from relay.forward.offload.kernel import Kind
from relay.forward.plane import Stun
from relay.forward.rule import Drop, Learn
from tests.namespaces.calls import (
    BINDING,
    DTLS,
    PCMA,
    RTCP,
    Call,
    Setting,
    local_port,
    name,
    nothing_for,
    rtp,
    until,
)
from tests.namespaces.frames import Sent, Tap, mac
from tests.namespaces.lab import lab, run


@pytest.fixture(scope="module", params=[Kind.TCX, Kind.GENERIC], ids=lambda kind: kind.name)
def setting(request: pytest.FixtureRequest) -> Iterator[Setting]:
    """With TCX the phones leave checksums to the device, which XDP would not forward."""
    with lab(checksums=request.param is Kind.GENERIC) as built:
        yield Setting(built, request.param)


@pytest.fixture(params=[False, True], ids=["IPv4", "IPv6"])
def call(setting: Setting, request: pytest.FixtureRequest) -> Iterator[Call]:
    with setting.call(v6=request.param) as made:
        made.settle()
        yield made


def test_a_settled_stream_is_forwarded_by_the_kernel_alone(call: Call) -> None:
    before = call.in_user_space(call.to_caller, "rtp_packets")
    for seq in range(1, 101):
        call.caller.sendto(rtp(seq), call.caller_side)
    received = [call.callee.recvfrom(2000) for _ in range(100)]
    assert [(datagram, source[:2]) for datagram, source in received] == [
        (rtp(seq), call.callee_side) for seq in range(1, 101)
    ]
    assert call.in_user_space(call.to_caller, "rtp_packets") == before


def test_both_directions_are(call: Call) -> None:
    call.callee.sendto(rtp(1), call.callee_side)
    datagram, source = call.caller.recvfrom(2000)
    assert (datagram, source[:2]) == (rtp(1), call.caller_side)
    assert call.in_user_space(call.to_callee, "rtp_packets") == 1


@pytest.mark.parametrize("size", [0, 1, 2, 3, 160, 1400])
def test_every_length_arrives_whole(call: Call, size: int) -> None:
    datagram = rtp(1, payload=bytes(range(256)) * 6)[: 12 + size]
    call.caller.sendto(datagram, call.caller_side)
    assert call.callee.recv(2000) == datagram


def test_counters_are_the_sum_of_both_planes(call: Call) -> None:
    for seq in range(1, 11):
        call.caller.sendto(rtp(seq, ssrc=0xDEADBEEF), call.caller_side)
        call.callee.recv(2000)
    until(lambda: call.plane.totals()["sent_packets"] == 12)
    row, expected = call.plane.row(call.to_caller.id), len(rtp(0)) * 11
    assert (row["rtp_packets"], row["rtp_bytes"]) == (11, expected)
    assert (row["ssrc"], row["seq"], row["payload_type"]) == (0xDEADBEEF, 10, 8)
    assert call.count(call.to_callee, "sent_bytes") == expected
    assert call.plane.counters()["rtp_packets"][call.to_caller.id] == 11
    assert call.plane.totals()["rtp_packets"] == 12
    assert call.plane.kernel_totals()["rtp_packets"] == 10


def test_reports_that_user_space_forwards_say_nothing_of_the_stream(call: Call) -> None:
    for datagram in (rtp(7, ssrc=9), RTCP):
        call.caller.sendto(datagram, call.caller_side)
        call.callee.recv(2000)
    id = call.to_caller.id
    until(lambda: call.in_user_space(call.to_caller, "rtcp_packets") == 1)
    for row in (call.plane.row(id), call.plane.counters()[id]):
        assert (row["ssrc"], row["seq"]) == (9, 7)
        assert row["last_packet"] == call.in_user_space(call.to_caller, "last_packet")


def test_a_call_that_only_the_kernel_sees_is_not_silent(call: Call) -> None:
    now = time.monotonic_ns()
    call.caller.sendto(rtp(1), call.caller_side)
    call.callee.recv(2000)
    assert call.in_user_space(call.to_caller, "last_packet") < now
    assert now <= call.count(call.to_caller, "last_packet") <= time.monotonic_ns()


@pytest.mark.parametrize("datagram", [RTCP, DTLS, rtp(1)[:11]], ids=["RTCP", "DTLS", "short"])
def test_what_is_not_rtp_goes_through_user_space(call: Call, datagram: bytes) -> None:
    before = call.plane.kernel_totals()
    call.caller.sendto(datagram, call.caller_side)
    received, source = call.callee.recvfrom(2000)
    assert (received, source[:2]) == (datagram, call.callee_side)
    assert call.plane.kernel_totals() == before


def test_checks_reach_the_agent(call: Call) -> None:
    call.caller.sendto(BINDING, call.caller_side)
    check = Stun(call.to_caller.port, name(call.caller), BINDING)
    until(lambda: check in call.plane.events())


def test_a_stranger_is_left_to_user_space_which_knows_him_as_one(call: Call) -> None:
    with call.lab.a.socket(name(call.caller)[0]) as stranger:
        stranger.sendto(rtp(1), call.caller_side)
        until(lambda: call.count(call.to_caller, "stranger") == 1)
    assert nothing_for(call.callee)


def test_hold_ends_forwarding_before_apply_returns(call: Call) -> None:
    call.plane.apply([replace(call.to_caller, rtp=(), rtcp=())])
    for seq in range(1, 21):
        call.caller.sendto(rtp(seq), call.caller_side)
    until(lambda: call.count(call.to_caller, "no_output") == 20)
    assert nothing_for(call.callee)
    assert not call.plane.given(call.to_caller.id)


def test_a_deleted_stream_is_forwarded_no_more(call: Call) -> None:
    call.plane.apply([Drop(call.to_caller.id), Drop(call.to_callee.id)])
    for seq in range(1, 21):
        call.caller.sendto(rtp(seq), call.caller_side)
    until(lambda: call.plane.totals()["no_rule"] == 20)
    assert nothing_for(call.callee)


def test_a_closed_port_is_forwarded_no_more(call: Call) -> None:
    call.plane.close(call.to_caller.port)
    assert not call.plane.given(call.to_caller.id)
    assert not call.plane.given(call.to_callee.id)
    for seq in range(1, 21):
        call.caller.sendto(rtp(seq), call.caller_side)
    call.callee.sendto(rtp(1), call.callee_side)
    until(lambda: call.count(call.to_callee, "no_peer") == 1)
    assert nothing_for(call.callee)
    assert nothing_for(call.caller)


def test_media_follows_signalling_to_a_new_address(call: Call) -> None:
    with call.lab.b.socket(name(call.callee)[0]) as moved:
        call.plane.apply([replace(call.to_callee, remote=name(moved), generation=1)])
        for seq in range(1, 21):
            call.caller.sendto(rtp(seq), call.caller_side)
        assert [moved.recv(2000) for _ in range(20)] == [rtp(seq) for seq in range(1, 21)]
        assert nothing_for(call.callee)
        until(call.is_half_settled)
        call.caller.sendto(rtp(21), call.caller_side)
        assert moved.recv(2000) == rtp(21)


def test_media_follows_a_peer_that_moves_by_itself(setting: Setting) -> None:
    """The callee sends from behind a NAT, and after a while from where signalling said."""
    with setting.call() as call, call.lab.b.socket(name(call.callee)[0]) as behind_nat:
        call.caller.sendto(rtp(0), call.caller_side)
        call.callee.recv(2000)
        for seq in range(6):
            behind_nat.sendto(rtp(seq), call.callee_side)
            call.caller.recv(2000)
        until(call.is_settled)
        call.caller.sendto(rtp(1), call.caller_side)
        assert behind_nat.recv(2000) == rtp(1)
        call.callee.sendto(rtp(100), call.callee_side)
        call.caller.recv(2000)
        until(lambda: call.plane.peer(call.to_callee.id) == name(call.callee))
        call.plane.events()
        call.caller.sendto(rtp(2), call.caller_side)
        assert call.callee.recv(2000) == rtp(2)


def test_streams_of_ice_peers_settle_with_their_first_packets(setting: Setting) -> None:
    with setting.call() as call:
        ends = ((call.to_caller, call.caller), (call.to_callee, call.callee))
        call.plane.apply([replace(rule, learn=Learn.NOBODY, sources=(name(phone),)) for rule, phone in ends])
        call.settle()
        call.caller.sendto(rtp(1), call.caller_side)
        assert call.callee.recv(2000) == rtp(1)
        assert call.in_user_space(call.to_caller, "rtp_packets") == 1


def test_without_events_a_refresh_finds_that_a_peer_is_unsettled(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has heard the callee when the kernel begins to send to him; then he appears elsewhere."""
    monkeypatch.setattr(tiered, "CHECKED", 0)
    with setting.call() as call, call.lab.b.socket(name(call.callee)[0]) as behind_nat:
        call.caller.sendto(rtp(0), call.caller_side)
        call.callee.recv(2000)
        until(call.is_half_settled)
        behind_nat.sendto(rtp(0), call.callee_side)
        call.caller.recv(2000)
        call.plane.refresh()
        assert not call.plane.given(call.to_caller.id)
        call.caller.sendto(rtp(1), call.caller_side)
        assert behind_nat.recv(2000) == rtp(1)


def test_counters_never_go_back_while_streams_come_and_go(call: Call) -> None:
    seen, sent = [], 0
    for round in range(20):
        for seq in range(10):
            call.caller.sendto(rtp(round * 10 + seq + 1), call.caller_side)
            call.callee.recv(2000)
            sent += 1
            seen.append(call.count(call.to_caller, "rtp_packets"))
        if round % 2:
            call.plane.refresh()
        else:
            call.plane.apply([replace(call.to_caller, hint=f"192.0.2.{round + 10}")])
        seen.append(call.count(call.to_caller, "rtp_packets"))
    assert seen == sorted(seen)
    assert seen[-1] == sent + 1
    assert 0 < call.plane.kernel_totals()["rtp_packets"] < sent + 1


def test_loss_and_jitter_go_on_where_they_were_when_a_stream_changes_planes(call: Call) -> None:
    slow = Track()
    lost = [slow.packet(1, 0, 0, PCMA.rate, 0)]
    for number in range(1, 200):
        if number % 20 == 0:
            call.plane.apply([replace(call.to_caller, hint=f"192.0.2.{number}")])  # user space has it again
        if number % 20 == 5:
            until(call.is_half_settled)
        if number % 7 == 0:
            continue  # lost on the way
        timestamp = 8000 * (number % 2)
        call.caller.sendto(rtp(number, timestamp=timestamp), call.caller_side)
        call.callee.recv(2000)
        lost.append(slow.packet(1, number, timestamp, PCMA.rate, 0))
    until(lambda: call.count(call.to_callee, "sent_packets") == len(lost))
    found = call.plane.counters()[call.to_caller.id]
    assert found["rtp_skipped"] == sum(lost) == 28
    assert (found["rtp_late"], found["clock"]) == (0, PCMA.rate)
    assert int(found["jitter"]) == pytest.approx(slow.jitter, rel=0.05)
    assert call.plane.kernel_totals()["rtp_skipped"] > 10
    assert call.in_user_space(call.to_caller, "rtp_skipped") > 3


def test_a_rule_id_that_is_used_again_starts_at_zero(call: Call) -> None:
    call.caller.sendto(rtp(1), call.caller_side)
    call.callee.recv(2000)
    call.plane.apply([Drop(call.to_caller.id), Drop(call.to_callee.id)])
    for _ in range(3):
        call.plane.refresh()
    assert int(call.plane.row(call.plane.allocate())["rtp_packets"]) == 0
    assert call.plane.kernel_totals()["rtp_packets"] == 1


def test_the_last_hop_of_a_packet_ends_at_the_relay(call: Call) -> None:
    """It would not be forwarded by a router either: user space sends it as its own."""
    v6 = call.caller.family == socket.AF_INET6
    level, option = (
        (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS) if v6 else (socket.IPPROTO_IP, socket.IP_TTL)
    )
    call.caller.setsockopt(level, option, 1)
    before = call.plane.kernel_totals()
    call.caller.sendto(rtp(1), call.caller_side)
    assert call.callee.recv(2000) == rtp(1)
    assert call.plane.kernel_totals() == before


def test_hops_count_down_and_the_class_is_ours(call: Call) -> None:
    v6 = call.caller.family == socket.AF_INET6
    if v6:
        level, hops, klass = socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, socket.IPV6_TCLASS
        wanted = (socket.IPV6_RECVHOPLIMIT, socket.IPV6_RECVTCLASS)
    else:
        level, hops, klass = socket.IPPROTO_IP, socket.IP_TTL, socket.IP_TOS
        wanted = (12, 13)  # IP_RECVTTL, IP_RECVTOS
    call.caller.setsockopt(level, hops, 40)
    call.caller.setsockopt(level, klass, 0xB8)
    for option in wanted:
        call.callee.setsockopt(level, option, 1)
    call.caller.sendto(rtp(1), call.caller_side)
    datagram, told, _, _ = call.callee.recvmsg(2000, 200)
    assert datagram == rtp(1)
    assert sorted(value[0] for _, _, value in told) == [0, 39]


def test_a_packet_that_is_too_large_for_the_way_out_goes_by_user_space(call: Call) -> None:
    out = ("ip", "-n", call.lab.relay.name, "link", "set", "to-b", "mtu")
    run(*out, "1300")
    try:
        before = call.plane.kernel_totals()
        call.caller.sendto(rtp(1, payload=bytes(1380)), call.caller_side)
        assert call.callee.recv(2000) == rtp(1, payload=bytes(1380))
        assert call.plane.kernel_totals() == before
    finally:
        run(*out, "1500")


@pytest.mark.parametrize("v6", [False, True], ids=["IPv4", "IPv6"])
def test_xdp_leaves_packets_without_a_checksum_to_user_space(v6: bool) -> None:
    """From a sender on this machine, which counts on a device to finish them."""
    with lab(checksums=False) as built, Setting(built, Kind.GENERIC).call(v6) as call:
        call.settle()
        for seq in range(1, 21):
            call.caller.sendto(rtp(seq), call.caller_side)
            assert call.callee.recv(2000) == rtp(seq)
        assert call.in_user_space(call.to_caller, "rtp_packets") == 21


def test_reasons_to_stay_in_user_space_are_counted(call: Call) -> None:
    call.plane.apply([replace(call.to_caller, asymmetric=True)])
    call.plane.refresh()
    assert call.plane.declined() == {Why.ASYMMETRIC: 2}


def test_a_stream_whose_route_leaves_elsewhere_is_not_called_the_kernels(setting: Setting) -> None:
    """The callee is told the address on the caller's side, and reached through the device on his own."""
    with setting.call() as call:
        port, side = local_port(call.plane, call.lab.relay, call.caller_side[0])
        call.plane.apply([replace(call.to_callee, port=port)])
        for seq in range(5):
            call.caller.sendto(rtp(seq), call.caller_side)
            datagram, source = call.callee.recvfrom(2000)
            assert (datagram, source[:2]) == (rtp(seq), side)
            call.plane.refresh()
        assert call.plane.given(call.to_caller.id)
        assert not call.plane.carries(call.to_caller.id)
        assert call.plane.declined()[Why.NO_WAY] == 1
        assert call.in_user_space(call.to_caller, "rtp_packets") == 5


def test_a_stream_is_the_kernels_once_it_has_forwarded_a_packet(call: Call) -> None:
    assert not call.plane.carries(call.to_caller.id)
    call.caller.sendto(rtp(1), call.caller_side)
    call.callee.recv(2000)
    assert call.plane.carries(call.to_caller.id)
    assert call.plane.declined() == {Why.NO_WAY: 1}


def test_a_frame_for_another_machine_or_of_another_vlan_is_not_forwarded(setting: Setting) -> None:
    """A card that listens to everything, or a switch, may bring them. User space does not get them either."""
    with lab(checksums=True) as built, Setting(built, setting.kind).call() as call:
        call.settle()
        flow = Flow(call.caller_side, name(call.caller), call.callee_side, name(call.callee), 0, 0)
        with built.a.inside(), Tap("wire") as wire:
            frame = Sent(flow, mac(built.relay, "to-a"), rtp(1)).frame()
            wire.send(frame)
            assert call.callee.recv(2000) == rtp(1)
            before = call.plane.kernel_totals()
            wire.send(b"\x02other" + frame[6:])
            wire.send(frame[:12] + struct.pack("!2H", 0x8100, 100) + frame[12:])
            wire.send(Sent(flow, mac(built.relay, "to-a"), rtp(2)).frame())
        assert call.callee.recv(2000) == rtp(2)
        assert nothing_for(call.callee)
        assert call.plane.kernel_totals()["rtp_packets"] == before["rtp_packets"] + 1
        assert call.in_user_space(call.to_caller, "rtp_packets") == 1


def test_a_device_may_get_another_mac(setting: Setting) -> None:
    with lab(checksums=True) as built, Setting(built, setting.kind).call() as call:
        call.settle()
        run("ip", "-n", built.relay.name, "link", "set", "to-a", "address", "02:00:00:00:00:66")
        run("ip", "-n", built.a.name, "neigh", "flush", "dev", "wire")
        numbers = count(1)

        def is_the_kernels() -> bool:
            """It looks at devices once in ten times."""
            call.plane.refresh()
            before, number = call.plane.kernel_totals()["rtp_packets"], next(numbers)
            call.caller.sendto(rtp(number), call.caller_side)
            assert call.callee.recv(2000) == rtp(number)
            return call.plane.kernel_totals()["rtp_packets"] > before

        until(is_the_kernels)


def test_nothing_is_forwarded_after_stop(setting: Setting) -> None:
    with setting.call() as call:
        call.settle()
        call.caller.connect(call.caller_side)
        call.plane.stop()
        call.caller.send(rtp(1))
        with pytest.raises(ConnectionRefusedError):
            call.caller.recv(2000)
        assert nothing_for(call.callee)
