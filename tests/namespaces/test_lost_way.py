"""Streams that the kernel cannot forward any more, though nothing about the calls has changed."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from itertools import count

import pytest

from relay.daemon.planes import told
from relay.forward.offload.kernel import Kind
from relay.forward.offload.tiered import LOOK
from relay.forward.rule import Address, Learn, Rule
from tests.namespaces.calls import Call, Setting, local_port, name, rtp
from tests.namespaces.lab import lab, run

Stream = tuple[socket.socket, Address, socket.socket]
"""Who talks, to which port of ours, and who hears."""

LOOKS = 3 * LOOK
"""Times to talk: one look for what was before, one that finds it otherwise, and one more to be told twice."""


class Talk:
    """Two streams in one direction, by the same two devices."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self._streams = [(call.caller, call.caller_side, call.callee), self._second()]
        self._numbers = count(1)

    def _second(self) -> Stream:
        relay, plane = self.call.lab.relay, self.call.plane
        one, other = self.call.lab.a.socket("192.0.2.2"), self.call.lab.b.socket("198.51.100.2")
        (port, side), (other_port, _) = (
            local_port(plane, relay, host) for host in ("192.0.2.1", "198.51.100.1")
        )
        first, second = plane.allocate(), plane.allocate()
        there = Rule(second, other_port, name(other), Learn.WINDOW, rtp=(first,))
        plane.apply([Rule(first, port, name(one), Learn.WINDOW, rtp=(second,)), there])
        return one, side, other

    def lines(self) -> list[str]:
        """Of the log, while everybody talks."""
        found = []
        with self.call.lab.relay.inside():
            for _ in range(LOOKS):
                number = next(self._numbers)
                for phone, side, other in self._streams:
                    phone.sendto(rtp(number), side)
                    assert other.recv(2000) == rtp(number)
                found += [told(turn) for turn in self.call.plane.refresh()]
        return found

    def close(self) -> None:
        one, _, other = self._streams[1]
        one.close()
        other.close()


@pytest.fixture(params=[Kind.TCX, Kind.GENERIC], ids=lambda kind: kind.name)
def talk(request: pytest.FixtureRequest) -> Iterator[Talk]:
    with lab(checksums=True) as built, Setting(built, request.param).call() as call:
        call.settle()
        made = Talk(call)
        yield made
        made.close()


def test_an_address_whose_streams_all_go_by_user_space_is_told_once_and_that_they_are_back_too(
    talk: Talk,
) -> None:
    """By a rule of routing for what comes from outside, which does not hold for the stack's own packets."""
    relay = talk.call.lab.relay.name
    run("ip", "-n", relay, "route", "add", "prohibit", "198.51.100.0/24", "table", "7")
    assert talk.lines() == []
    run("ip", "-n", relay, "rule", "add", "iif", "to-a", "lookup", "7")
    (line,) = talk.lines()
    assert line.startswith(
        "plane of 192.0.2.1 on to-a: userspace, for ebpf forwards nothing any more: `ip route"
    )
    assert not talk.call.plane.carries(talk.call.to_caller.id)
    run("ip", "-n", relay, "rule", "delete", "iif", "to-a", "lookup", "7")
    (line,) = talk.lines()
    assert line.endswith(" again")
    assert talk.call.plane.carries(talk.call.to_caller.id)
