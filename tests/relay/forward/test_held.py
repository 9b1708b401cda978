"""A change holds from the moment on at which ``apply`` returns, whatever the worker is at."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from relay.forward._fastpath import NativePlane
from relay.forward.plane import PlaneFull
from relay.forward.rule import Address, Drop, Learn, Rule
from tests.relay.forward.held import PORTS, handle
from tests.relay.forward.test_fastpath import name, rtp, until

Phones = Callable[[str], socket.socket]
LocalPorts = Callable[[NativePlane, str], tuple[int, Address]]

RING = 4096
"""Commands that may wait for a worker."""


@pytest.mark.parametrize("change", ["hold", "delete", "close"])
def test_what_is_sent_after_a_change_goes_by_it_even_if_the_worker_has_a_turn_to_end(
    plane: NativePlane, phones: Phones, local_ports: LocalPorts, change: str
) -> None:
    """In one turn it serves the port that holds it, and then that of the call, which had a packet by then."""
    caller, callee = phones("127.0.0.2"), phones("127.0.0.3")
    (port, side), (other, _) = local_ports(plane, "127.0.0.1"), local_ports(plane, "127.0.0.1")
    one, two = plane.allocate(), plane.allocate()
    to_caller = Rule(one, port, name(caller), Learn.WINDOW, rtp=(two,))
    plane.apply([to_caller, Rule(two, other, name(callee), Learn.WINDOW, rtp=(one,))])
    sent = [0]

    def speak() -> None:
        sent[0] += 1
        caller.sendto(rtp(1), side)

    with handle(plane) as worker:
        worker.hold()
        until(lambda: worker.hold_before(speak))
        match change:
            case "hold":
                plane.apply([replace(to_caller, rtp=())])
            case "delete":
                plane.apply([Drop(one), Drop(two)])
            case "close":
                plane.close(other)
        caller.sendto(rtp(2), side)
        worker.release()
        until(lambda: sum(plane.totals()[end] for end in ("rtp_packets", "no_rule")) == sent[0] + 1)
    assert rtp(2) not in waiting(callee)


def test_when_the_proxy_gets_its_reply_the_worker_has_done_what_was_changed(local_ports: LocalPorts) -> None:
    """It is held when the change comes. The room of an ended rule is free once it has let go of that."""
    plane = NativePlane(rules=PORTS + 1)
    port, _ = local_ports(plane, "127.0.0.1")
    rule = plane.allocate()
    plane.apply([Rule(rule, port, None, Learn.WINDOW)])
    with handle(plane) as worker:
        worker.hold()
        plane.apply([Drop(rule)])
        with pytest.raises(PlaneFull):
            plane.allocate()
        reply = threading.Thread(target=plane.settle)
        reply.start()
        worker.release()
        reply.join()
        assert plane.allocate() == rule
    plane.stop()


def test_a_reply_does_not_wait_long_for_a_worker_that_hangs_and_not_twice(
    plane: NativePlane, local_ports: LocalPorts
) -> None:
    port, _ = local_ports(plane, "127.0.0.1")
    rule = Rule(plane.allocate(), port, ("127.0.0.2", 9), Learn.NOBODY)
    plane.apply([rule])
    with handle(plane) as worker:
        worker.hold()
        for peer in range(10, 1010):  # with a wait for each it were minutes
            plane.apply([replace(rule, remote=("127.0.0.2", peer))])
            plane.settle()
            assert plane.peer(rule.id) is None
        worker.release()
    until(lambda: plane.peer(rule.id) == ("127.0.0.2", 1009))


def test_what_finds_no_room_with_a_worker_that_hangs_is_done_in_order_when_it_goes_on(
    phones: Phones, local_ports: LocalPorts
) -> None:
    closed: list[int] = []
    plane = NativePlane(rules=64, on_close=lambda _, port: closed.append(port))
    (port, _), (other, side) = local_ports(plane, "127.0.0.1"), local_ports(plane, "127.0.0.1")
    rule, ended = Rule(plane.allocate(), port, None, Learn.WINDOW), plane.allocate()
    plane.apply([rule, Rule(ended, other, None, Learn.WINDOW)])
    with handle(plane) as worker, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as late:
        worker.hold()
        assert not plane.is_behind(0)
        for peer in range(1, RING + 101):
            plane.apply([replace(rule, remote=("127.0.0.2", peer))])
        plane.apply([Drop(ended)])
        plane.close(other)
        assert plane.is_behind(0)
        with pytest.raises(PlaneFull, match="worker 0 does not follow"):
            plane.open(late, 0)
        worker.release()
        until(lambda: not plane.events() and closed == [side[1]])
    assert plane.peer(rule.id) == ("127.0.0.2", RING + 100)
    assert not plane.is_behind(0)
    plane.stop()


def waiting(phone: socket.socket) -> list[bytes]:
    found = []
    while select.select([phone], [], [], 0)[0]:
        found.append(phone.recv(2000))
    return found
