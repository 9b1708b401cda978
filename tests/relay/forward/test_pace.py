"""When a worker waits for company, and what it forwards when it does."""

import random
import socket
from collections.abc import Callable

import pytest

from relay.forward._fastpath import NativePlane, Pace
from relay.forward.rule import Address, Learn, Rule

Phones = Callable[[str], socket.socket]
LocalPorts = Callable[[NativePlane, str], tuple[int, Address]]

BOUND = 0.001


def after(rate: float, bound: float = BOUND, seconds: float = 1.0) -> Pace:
    """The pace of a worker to which packets came one by one, evenly, so many per second."""
    pace = Pace(bound)
    for number in range(int(rate * seconds)):
        pace.took(1, number / rate)
    return pace


@pytest.mark.parametrize("rate", [1, 50, 1000, 3900])
def test_a_packet_that_comes_alone_waits_for_nobody(rate: float) -> None:
    assert after(rate).pause(spent=0.0) == 0


@pytest.mark.parametrize("rate", [4100, 10_000, 100_000])
def test_a_busy_worker_begins_its_turns_the_bound_apart(rate: float) -> None:
    for spent in (0.0, 0.0003, 0.0009):
        assert spent + after(rate).pause(spent) == pytest.approx(BOUND)


@pytest.mark.parametrize("spent", [BOUND, 0.0011, 0.5])
def test_a_worker_that_is_behind_does_not_wait(spent: float) -> None:
    assert after(100_000).pause(spent) == 0


def test_nobody_waits_when_it_is_switched_off() -> None:
    assert after(10_000, bound=0).pause(spent=0.0) == 0


def test_a_shorter_bound_needs_more_packets() -> None:
    assert after(6_000, bound=0.0005).pause(spent=0.0) == 0
    assert after(9_000, bound=0.0005).pause(spent=0.0) == pytest.approx(0.0005)


def test_waiting_ends_with_the_first_packet_after_a_silence() -> None:
    pace = after(10_000)
    pace.took(1, 2.0)
    assert pace.pause(spent=0.0) == 0


def test_one_burst_is_not_a_rate() -> None:
    pace = after(50)
    pace.took(20, 1.0)
    assert pace.pause(spent=0.0) == 0


@pytest.mark.parametrize("bound", [-0.001, 0.02, float("nan")])
def test_a_wait_that_would_be_heard_is_refused(bound: float) -> None:
    with pytest.raises(ValueError, match="wait"):
        NativePlane(coalesce=bound)


def test_a_busy_plane_delivers_everything_in_order(phones: Phones, local_ports: LocalPorts) -> None:
    plane = NativePlane(rules=64, coalesce=0.002)
    try:
        streams = []
        for _ in range(8):
            sender, receiver = phones("127.0.0.2"), phones("127.0.0.3")
            (port, entrance), (other_port, _) = (
                local_ports(plane, "127.0.0.1"),
                local_ports(plane, "127.0.0.1"),
            )
            first, second = plane.allocate(), plane.allocate()
            to_sender = Rule(first, port, sender.getsockname(), Learn.WINDOW, rtp=(second,))
            to_receiver = Rule(second, other_port, receiver.getsockname(), Learn.WINDOW, rtp=(first,))
            plane.apply([to_sender, to_receiver])
            streams.append((sender, entrance, receiver))
        rng = random.Random(5)
        for start in range(0, 2000, 20):
            turns = [(stream, seq) for seq in range(start, start + 20) for stream in range(8)]
            for stream, seq in turns:
                sender, entrance, _ = streams[stream]
                sender.sendto(packet(seq, stream, rng.randrange(12, 300)), entrance)
            for stream, seq in turns:
                assert streams[stream][2].recv(2000)[:12] == packet(seq, stream)
    finally:
        plane.stop()


def packet(seq: int, ssrc: int, length: int = 12) -> bytes:
    return (bytes([0x80, 8]) + seq.to_bytes(2, "big") + bytes(4) + ssrc.to_bytes(4, "big")).ljust(
        length, b"v"
    )
