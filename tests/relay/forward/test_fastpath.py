"""The native plane over real sockets."""

import os
import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest

from relay.forward._fastpath import NativePlane
from relay.forward.plane import COUNTERS, Event, Latched, PlaneFull, Stun
from relay.forward.rule import Address, Drop, Learn, Rule

Phones = Callable[[str], socket.socket]
LocalPorts = Callable[[NativePlane, str], tuple[int, Address]]

BINDING = bytes.fromhex("000100002112a442") + bytes(12)
DTLS = bytes([22, 254, 253]) + bytes(20)
RTCP = bytes([0x80, 200, 0, 1]) + bytes(4)


def rtp(seq: int, ssrc: int = 1, payload: bytes = b"voice") -> bytes:
    return bytes([0x80, 8]) + seq.to_bytes(2, "big") + bytes(4) + ssrc.to_bytes(4, "big") + payload


def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait for what another thread does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came true"
        select.select([], [], [], 0.001)


def events(plane: NativePlane, count: int) -> list[Event]:
    found: list[Event] = []
    while len(found) < count:
        assert select.select([plane.fileno()], [], [], 5.0)[0], "no event"
        found += plane.events()
    return found


def name(sock: socket.socket) -> Address:
    address: Address = sock.getsockname()[:2]
    return address


def value(plane: NativePlane, rule: Rule, field: str) -> int:
    return int(plane.counters()[field][rule.id])


def arrived(sock: socket.socket) -> tuple[bytes, Address]:
    datagram, source = sock.recvfrom(2000)
    return datagram, source[:2]


@dataclass
class Pair:
    """A caller and a callee with a stream between them."""

    plane: NativePlane
    caller: socket.socket
    callee: socket.socket
    to_caller: Rule
    to_callee: Rule
    caller_side: Address
    callee_side: Address


@pytest.fixture
def pair(plane: NativePlane, phones: Phones, local_ports: LocalPorts) -> Pair:
    return connect(plane, phones, local_ports, "127.0.0.2", "127.0.0.3")


def connect(plane: NativePlane, phones: Phones, local_ports: LocalPorts, one: str, other: str) -> Pair:
    caller, callee = phones(one), phones(other)
    (port, caller_side) = local_ports(plane, "::1" if ":" in one else "127.0.0.1")
    (other_port, callee_side) = local_ports(plane, "::1" if ":" in other else "127.0.0.1")
    first, second = plane.allocate(), plane.allocate()
    to_caller = Rule(first, port, name(caller), Learn.WINDOW, rtp=(second,), rtcp=(second,))
    to_callee = Rule(second, other_port, name(callee), Learn.WINDOW, rtp=(first,), rtcp=(first,))
    plane.apply([to_caller, to_callee])
    return Pair(plane, caller, callee, to_caller, to_callee, caller_side, callee_side)


def test_media_goes_both_ways_unchanged(pair: Pair) -> None:
    pair.caller.sendto(rtp(1), pair.caller_side)
    assert arrived(pair.callee) == (rtp(1), pair.callee_side)
    pair.callee.sendto(rtp(9), pair.callee_side)
    assert arrived(pair.caller) == (rtp(9), pair.caller_side)


@pytest.mark.parametrize(("one", "other"), [("::1", "::1"), ("127.0.0.2", "::1"), ("::1", "127.0.0.2")])
def test_media_crosses_address_families(
    plane: NativePlane, phones: Phones, local_ports: LocalPorts, one: str, other: str
) -> None:
    test_media_goes_both_ways_unchanged(connect(plane, phones, local_ports, one, other))


@pytest.mark.parametrize("datagram", [rtp(1), RTCP, DTLS, rtp(1, payload=bytes(9000))])
def test_counters_tell_what_came_and_went(pair: Pair, datagram: bytes) -> None:
    before = time.monotonic_ns()
    pair.caller.sendto(datagram, pair.caller_side)
    assert pair.callee.recv(10000) == datagram
    until(lambda: value(pair.plane, pair.to_callee, "sent_bytes") == len(datagram))
    kind = "rtcp" if datagram == RTCP else "rtp"
    assert value(pair.plane, pair.to_caller, f"{kind}_packets") == 1
    assert value(pair.plane, pair.to_caller, f"{kind}_bytes") == len(datagram)
    assert before <= value(pair.plane, pair.to_caller, "last_packet") <= time.monotonic_ns()


def test_ssrc_sequence_and_payload_type_are_shown(pair: Pair) -> None:
    pair.caller.sendto(rtp(513, ssrc=0xDEADBEEF), pair.caller_side)
    pair.callee.recv(2000)
    shown = [value(pair.plane, pair.to_caller, field) for field in ("ssrc", "seq", "payload_type", "state")]
    assert shown == [0xDEADBEEF, 513, 8, 2]


def test_counters_are_a_view_that_nobody_writes(plane: NativePlane) -> None:
    rows = plane.counters()
    assert rows.dtype == COUNTERS
    assert np.shares_memory(rows, plane.counters())
    with pytest.raises(ValueError, match="read-only"):
        rows["rtp_packets"][0] = 1


def test_rtcp_has_outputs_of_its_own(
    pair: Pair, plane: NativePlane, phones: Phones, local_ports: LocalPorts
) -> None:
    rtcp_phone = phones("127.0.0.3")
    port, side = local_ports(plane, "127.0.0.1")
    demuxed = Rule(plane.allocate(), port, name(rtcp_phone), Learn.WINDOW, rtcp=(pair.to_caller.id,))
    plane.apply([demuxed, replace(pair.to_caller, rtcp=(demuxed.id,))])
    pair.caller.sendto(RTCP, pair.caller_side)
    assert rtcp_phone.recvfrom(2000) == (RTCP, side)
    rtcp_phone.sendto(RTCP, side)
    assert pair.caller.recvfrom(2000) == (RTCP, pair.caller_side)


def test_nat_address_is_learnt_and_told(pair: Pair, phones: Phones) -> None:
    behind_nat = phones("127.0.0.9")
    for seq in range(5):
        behind_nat.sendto(rtp(seq), pair.caller_side)
        pair.callee.recv(2000)
    assert events(pair.plane, 1) == [Latched(pair.to_caller.id, name(behind_nat))]
    assert pair.plane.peer(pair.to_caller.id) == name(behind_nat)
    pair.callee.sendto(rtp(1), pair.callee_side)
    assert behind_nat.recv(2000) == rtp(1)


def test_asymmetric_peer_is_still_sent_to_where_it_said(pair: Pair, phones: Phones) -> None:
    pair.plane.apply([replace(pair.to_caller, asymmetric=True)])
    sender = phones("127.0.0.9")
    sender.sendto(rtp(1), pair.caller_side)
    assert pair.callee.recv(2000) == rtp(1)
    pair.callee.sendto(rtp(2), pair.callee_side)
    assert pair.caller.recv(2000) == rtp(2)


def test_stranger_never_takes_over(pair: Pair, phones: Phones) -> None:
    stranger = phones("127.0.0.66")
    pair.caller.sendto(rtp(1), pair.caller_side)
    for seq in range(50):
        stranger.sendto(rtp(seq, ssrc=6), pair.caller_side)
    pair.caller.sendto(rtp(2), pair.caller_side)
    assert [pair.callee.recv(2000), pair.callee.recv(2000)] == [rtp(1), rtp(2)]
    assert value(pair.plane, pair.to_caller, "stranger") == 50
    assert pair.plane.peer(pair.to_caller.id) == name(pair.caller)


def test_exact_address_wins_over_an_earlier_stranger(pair: Pair, phones: Phones) -> None:
    stranger = phones("127.0.0.66")
    stranger.sendto(rtp(1, ssrc=6), pair.caller_side)
    assert pair.callee.recv(2000) == rtp(1, ssrc=6)
    pair.caller.sendto(rtp(2), pair.caller_side)
    stranger.sendto(rtp(2, ssrc=6), pair.caller_side)
    pair.caller.sendto(rtp(3), pair.caller_side)
    assert [pair.callee.recv(2000), pair.callee.recv(2000)] == [rtp(2), rtp(3)]


def test_new_generation_forgets_what_was_learnt(pair: Pair, phones: Phones) -> None:
    pair.caller.sendto(rtp(1), pair.caller_side)
    pair.callee.recv(2000)
    moved = phones("127.0.0.4")
    pair.plane.apply([replace(pair.to_caller, remote=name(moved), generation=1)])
    assert pair.plane.peer(pair.to_caller.id) == name(moved)
    moved.sendto(rtp(7), pair.caller_side)
    assert pair.callee.recv(2000) == rtp(7)


def test_change_of_the_same_generation_keeps_peer_and_counters(pair: Pair, phones: Phones) -> None:
    pair.caller.sendto(rtp(1), pair.caller_side)
    pair.callee.recv(2000)
    pair.plane.apply([replace(pair.to_caller, remote=("127.0.0.8", 9))])
    assert pair.plane.peer(pair.to_caller.id) == name(pair.caller)
    assert value(pair.plane, pair.to_caller, "rtp_packets") == 1


def test_two_rules_on_one_port_keep_their_phones_apart(
    plane: NativePlane, phones: Phones, local_ports: LocalPorts
) -> None:
    caller, phone, other_phone = phones("127.0.0.2"), phones("127.0.0.3"), phones("127.0.0.4")
    (port, caller_side), (forked, forked_side) = (
        local_ports(plane, "127.0.0.1"),
        local_ports(plane, "127.0.0.1"),
    )
    ids = [plane.allocate() for _ in range(4)]
    plane.apply(
        [
            Rule(ids[0], port, name(caller), Learn.WINDOW, rtp=(ids[1], ids[2])),
            Rule(ids[1], forked, name(phone), Learn.WINDOW, rtp=(ids[0],)),
            Rule(ids[2], forked, name(other_phone), Learn.WINDOW),
        ]
    )
    caller.sendto(rtp(1), caller_side)
    assert phone.recvfrom(2000) == other_phone.recvfrom(2000) == (rtp(1), forked_side)
    other_phone.sendto(rtp(5, ssrc=5), forked_side)
    phone.sendto(rtp(6, ssrc=6), forked_side)
    assert caller.recv(2000) == rtp(6, ssrc=6)
    rows = plane.counters()
    assert [int(rows["rtp_packets"][id]) for id in ids] == [1, 1, 1, 0]
    assert int(rows["no_output"][ids[2]]) == 1


def test_ice_rule_hears_only_validated_sources(pair: Pair, phones: Phones) -> None:
    first, second, stranger = phones("127.0.0.4"), phones("127.0.0.5"), phones("127.0.0.66")
    ice = replace(
        pair.to_caller, learn=Learn.NOBODY, remote=name(second), sources=(name(first), name(second))
    )
    pair.plane.apply([ice])
    stranger.sendto(rtp(1), pair.caller_side)
    first.sendto(rtp(2), pair.caller_side)
    second.sendto(rtp(3), pair.caller_side)
    assert {pair.callee.recv(2000), pair.callee.recv(2000)} == {rtp(2), rtp(3)}
    pair.callee.sendto(rtp(4), pair.callee_side)
    assert second.recv(2000) == rtp(4)
    assert value(pair.plane, ice, "stranger") == 1


def test_stun_goes_up_and_never_latches(pair: Pair, phones: Phones) -> None:
    stranger = phones("127.0.0.66")
    pair.plane.apply([replace(pair.to_caller, stun=True)])
    stranger.sendto(BINDING, pair.caller_side)
    assert events(pair.plane, 1) == [Stun(pair.to_caller.port, name(stranger), BINDING)]
    assert pair.plane.peer(pair.to_caller.id) == name(pair.caller)
    pair.plane.send(pair.to_caller.port, name(stranger), b"answer")
    assert stranger.recvfrom(2000) == (b"answer", pair.caller_side)


def test_stun_without_a_listener_is_counted(pair: Pair) -> None:
    pair.caller.sendto(BINDING, pair.caller_side)
    until(lambda: value(pair.plane, pair.to_caller, "stun") == 1)


def test_opaque_rule_forwards_everything(pair: Pair) -> None:
    pair.plane.apply([replace(pair.to_caller, opaque=True)])
    for datagram in (b"", b"\xff", BINDING, RTCP, DTLS, rtp(1)):
        pair.caller.sendto(datagram, pair.caller_side)
        assert pair.callee.recv(2000) == datagram


@pytest.mark.parametrize(
    "datagram", [b"", b"\x80", b"\x00" * 20, b"\x46" * 40, rtp(1)[:11], DTLS[:12], bytes(20000)]
)
def test_what_is_neither_is_malformed(pair: Pair, datagram: bytes) -> None:
    pair.caller.sendto(datagram, pair.caller_side)
    until(lambda: value(pair.plane, pair.to_caller, "malformed") == 1)


def test_datagram_beyond_the_buffer_is_not_cut(pair: Pair) -> None:
    pair.caller.sendto(rtp(1, payload=bytes(9269)), pair.caller_side)
    pair.caller.sendto(rtp(2), pair.caller_side)
    assert pair.callee.recv(2000) == rtp(2)
    assert value(pair.plane, pair.to_caller, "malformed") == 1


def test_peer_that_is_not_known_yet_is_counted(pair: Pair) -> None:
    pair.plane.apply([replace(pair.to_callee, remote=None, generation=1)])
    assert pair.plane.peer(pair.to_callee.id) is None
    pair.caller.sendto(rtp(1), pair.caller_side)
    until(lambda: value(pair.plane, pair.to_caller, "no_peer") == 1)


def test_port_without_rules_is_counted(plane: NativePlane, phones: Phones, local_ports: LocalPorts) -> None:
    _, side = local_ports(plane, "127.0.0.1")
    phones("127.0.0.2").sendto(rtp(1), side)
    until(lambda: plane.totals()["no_rule"] == 1)


def test_dropped_output_is_counted_and_its_id_never_means_another_call(pair: Pair, phones: Phones) -> None:
    plane = pair.plane
    plane.apply([Drop(pair.to_callee.id)])
    pair.caller.sendto(rtp(1), pair.caller_side)
    until(lambda: value(plane, pair.to_caller, "no_peer") == 1)
    stranger = phones("127.0.0.66")
    again = -1
    while again != pair.to_callee.id:
        plane.events()
        again = plane.allocate()
    plane.apply([Rule(again, pair.to_callee.port, name(stranger), Learn.WINDOW)])
    pair.caller.sendto(rtp(2), pair.caller_side)
    until(lambda: value(plane, pair.to_caller, "no_peer") == 2)
    assert value(plane, replace(pair.to_callee, id=again), "sent_packets") == 0


def test_totals_survive_dropped_rules(pair: Pair) -> None:
    pair.caller.sendto(rtp(1), pair.caller_side)
    pair.callee.recv(2000)
    until(lambda: pair.plane.totals()["sent_packets"] == 1)
    before = pair.plane.totals()
    pair.plane.apply([Drop(pair.to_caller.id), Drop(pair.to_callee.id)])
    assert pair.plane.totals() == before
    until(lambda: pair.plane.events() == [] and value(pair.plane, pair.to_caller, "rtp_packets") == 0)
    assert pair.plane.totals() == before


def test_refused_send_is_counted_and_the_rest_goes_on(pair: Pair) -> None:
    too_large = rtp(1, payload=bytes(70000 - 12))[:9280]
    pair.plane.apply([replace(pair.to_callee, remote=("::1", 9), generation=1)])
    pair.caller.sendto(too_large, pair.caller_side)
    until(lambda: value(pair.plane, pair.to_caller, "send_error") == 1)
    pair.plane.send(pair.to_caller.port, ("::1", 9), b"wrong family")
    pair.plane.send(999, ("127.0.0.1", 9), b"no such port")
    assert pair.plane.totals()["own_send_error"] == 2
    pair.plane.apply([replace(pair.to_callee, generation=2)])
    pair.caller.sendto(rtp(2), pair.caller_side)
    assert pair.callee.recv(2000) == rtp(2)


def test_icmp_errors_do_not_stop_or_spin_a_port(plane: NativePlane, phones: Phones) -> None:
    phone, gone = phones("127.0.0.2"), phones("127.0.0.3")
    nowhere = name(gone)
    gone.close()
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_IP, 11, 1)  # IP_RECVERR: ICMP errors queue up
    sock.bind(("127.0.0.1", 0))
    side = name(sock)
    port = plane.open(sock, 0)
    first, second = plane.allocate(), plane.allocate()
    plane.apply(
        [
            Rule(first, port, name(phone), Learn.WINDOW, rtp=(second, first)),
            Rule(second, port, nowhere, Learn.WINDOW),
        ]
    )
    for seq in range(20):
        phone.sendto(rtp(seq), side)
    until(lambda: int(plane.counters()["rtp_packets"][first]) == 20)
    started = time.process_time()
    select.select([], [], [], 0.3)  # as long as we look at what it costs
    assert time.process_time() - started < 0.15
    phone.sendto(rtp(20), side)
    until(lambda: int(plane.counters()["rtp_packets"][first]) == 21)


def test_batch_with_a_wrong_rule_changes_nothing(pair: Pair) -> None:
    plane = pair.plane
    moved = replace(pair.to_caller, generation=5, remote=("127.0.0.8", 9))
    for wrong in (
        replace(pair.to_callee, port=999),
        replace(pair.to_callee, id=999),
        replace(pair.to_callee, remote=("phone.local", 9)),
        replace(pair.to_callee, sources=tuple(("127.0.0.9", port) for port in range(1, 34))),
        replace(pair.to_callee, rtp=tuple(range(65))),
        Drop(999),
    ):
        with pytest.raises(ValueError, match=r"rule|numeric"):
            plane.apply([moved, wrong])
    assert plane.peer(pair.to_caller.id) == name(pair.caller)


def test_rules_of_a_port_are_limited(plane: NativePlane, local_ports: LocalPorts) -> None:
    port, _ = local_ports(plane, "127.0.0.1")
    rules = [Rule(plane.allocate(), port, None, Learn.WINDOW) for _ in range(65)]
    plane.apply(rules[:64])
    with pytest.raises(ValueError, match="64 rules already"):
        plane.apply(rules[64:])


def test_full_plane_says_so_and_ids_come_back() -> None:
    plane = NativePlane(rules=2)
    try:
        ids = [plane.allocate(), plane.allocate()]
        with pytest.raises(PlaneFull, match="all 2 rules"):
            plane.allocate()
        plane.apply([Drop(ids[0])])
        assert plane.allocate() == ids[0]
    finally:
        plane.stop()


def test_closed_port_is_given_back_after_its_worker_let_go(phones: Phones) -> None:
    closed: list[Address] = []
    plane = NativePlane(rules=16, on_close=lambda address, port: closed.append((address, port)))
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    side = name(sock)
    port = plane.open(sock, 0)
    plane.close(port)
    assert select.select([plane.fileno()], [], [], 5.0)[0]
    assert plane.events() == []
    assert (closed, sock.fileno()) == ([side], -1)
    plane.stop()


def test_ports_of_several_workers_are_closed_together() -> None:
    closed: list[Address] = []
    plane = NativePlane(2, rules=16, on_close=lambda address, port: closed.append((address, port)))
    socks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(6)]
    for sock in socks:
        sock.bind(("127.0.0.1", 0))
    sides = {name(sock) for sock in socks}
    plane.close(*[plane.open(sock, number % 2) for number, sock in enumerate(socks)])
    until(lambda: plane.events() == [] and set(closed) == sides)
    assert [sock.fileno() for sock in socks] == [-1] * 6
    plane.stop()


def test_stop_closes_every_port_and_may_be_repeated() -> None:
    before = len(os.listdir("/proc/self/fd"))
    plane = NativePlane(2)
    socks = [socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) for _ in range(4)]
    for worker, sock in enumerate(socks):
        sock.bind(("::1", 0))
        plane.open(sock, worker % 2)
    plane.close(0)
    plane.stop()
    plane.stop()
    assert len(os.listdir("/proc/self/fd")) == before
    assert plane.events() == []


def test_thousand_ports_leave_no_descriptor_behind(plane: NativePlane, local_ports: LocalPorts) -> None:
    local_ports(plane, "127.0.0.1")  # with the first, what all ports of an address share is opened
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(10):
        handles = [local_ports(plane, "127.0.0.1")[0] for _ in range(100)]
        for handle in handles:
            plane.close(handle)
    until(lambda: plane.events() == [] and len(os.listdir("/proc/self/fd")) == before)


def test_rules_come_and_go_while_media_flows(pair: Pair, local_ports: LocalPorts) -> None:
    plane = pair.plane
    for seq in range(300):
        port, _ = local_ports(plane, "127.0.0.1")
        other = Rule(plane.allocate(), port, ("127.0.0.9", 9), Learn.WINDOW, rtp=(pair.to_callee.id,))
        plane.apply([other, replace(pair.to_caller, rtp=(pair.to_callee.id, other.id))])
        pair.caller.sendto(rtp(seq), pair.caller_side)
        plane.apply([pair.to_caller, Drop(other.id)])
        plane.close(port)
        assert pair.callee.recv(2000) == rtp(seq)
    assert value(plane, pair.to_caller, "rtp_packets") == 300


def test_workers_have_ports_of_their_own(phones: Phones) -> None:
    plane = NativePlane(2, rules=16)
    try:
        socks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
        for sock in socks:
            sock.bind(("127.0.0.1", 0))
        sides, ports = (
            [name(sock) for sock in socks],
            [plane.open(sock, index) for index, sock in enumerate(socks)],
        )
        phone, ids = phones("127.0.0.2"), [plane.allocate(), plane.allocate()]
        plane.apply(
            [
                Rule(ids[0], ports[0], name(phone), Learn.WINDOW, rtp=(ids[0], ids[1])),
                Rule(ids[1], ports[1], name(phone), Learn.WINDOW, rtp=(ids[1],)),
            ]
        )
        for side in sides:
            phone.sendto(rtp(1), side)
            assert phone.recvfrom(2000) == (rtp(1), side)
        until(lambda: int(plane.counters()["no_peer"][ids[0]]) == 1)
        with pytest.raises(ValueError, match="belongs to worker 1"):
            plane.apply([Rule(ids[1], ports[0], None, Learn.WINDOW)])
    finally:
        plane.stop()


FLOOD = 3000
"""Checks: more than the ring of events holds."""


def test_stun_flood_does_not_shut_out_other_ports(
    plane: NativePlane, phones: Phones, local_ports: LocalPorts
) -> None:
    flooded, flooded_side = local_ports(plane, "127.0.0.1")
    quiet, quiet_side = local_ports(plane, "127.0.0.1")
    for port in (flooded, quiet):
        plane.apply([Rule(plane.allocate(), port, None, Learn.NOBODY, stun=True)])
    stranger, phone = phones("127.0.0.66"), phones("127.0.0.2")
    lost = 0
    for _ in range(2):
        for _ in range(FLOOD // 100):
            for _ in range(100):  # what a socket's buffer holds: none of them is lost on the way
                stranger.sendto(BINDING, flooded_side)
            lost += 100
            until(lambda lost=lost: plane.totals()["events_lost"] >= lost - 64)  # type: ignore[misc]
        lost -= 64
        assert plane.totals()["events_lost"] == lost
        phone.sendto(BINDING, quiet_side)
        found = [event for event in events(plane, 65) if isinstance(event, Stun)]
        assert [event.port for event in found] == [flooded] * 64 + [quiet]
