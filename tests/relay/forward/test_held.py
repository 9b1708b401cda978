"""A change holds from the moment on at which ``apply`` returns, whatever the worker is at."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from dataclasses import replace

import pytest

from relay.forward._fastpath import NativePlane
from relay.forward.rule import Address, Drop, Learn, Rule
from tests.relay.forward.held import handle
from tests.relay.forward.test_fastpath import name, rtp, until

Phones = Callable[[str], socket.socket]
LocalPorts = Callable[[NativePlane, str], tuple[int, Address]]


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


def waiting(phone: socket.socket) -> list[bytes]:
    found = []
    while select.select([phone], [], [], 0)[0]:
        found.append(phone.recv(2000))
    return found
