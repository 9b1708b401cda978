"""Datagrams that the relay itself sent to its ng socket, because somebody made it."""

from __future__ import annotations

import pytest

from relay.calls.commands import Outcome
from relay.calls.resources import LocalAddress
from relay.control.ng import NgServer
from relay.daemon.machine import Machine
from relay.ng.request import Request

PING = b"1 d7:command4:pinge"
AT = LocalAddress("default", "127.0.1.40", "127.0.1.40")


def answer(_request: Request) -> Outcome:
    return Outcome({"result": "pong"})


def test_a_command_from_an_open_media_port_of_ours_is_dropped_and_nobody_is_answered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    machine = Machine([AT], 41000, 41003)
    ng = NgServer(answer, is_own=machine.holds)
    sock = machine.pool.open_single(AT.address, 0)
    source = sock.getsockname()
    for _ in range(3):
        assert ng.datagram(PING, source) is None
    assert (ng.own, len(caplog.records)) == (3, 1)
    sock.close()
    machine.pool.release(*source)
    assert ng.datagram(PING, source) == b"1 d6:result4:ponge"
    assert ng.own == 3


def test_a_proxy_on_this_host_whose_port_lies_in_the_range_is_answered() -> None:
    machine = Machine([AT], 41000, 41003)
    sock = machine.pool.open_single(AT.address, 0)
    with sock:
        others = [port for port in range(41000, 41004) if port != sock.getsockname()[1]]
        ng = NgServer(answer, is_own=machine.holds)
        sources = [(AT.address, port) for port in others] + [("127.0.0.1", sock.getsockname()[1])]
        assert all(ng.datagram(PING, source) for source in sources)
        assert ng.own == 0
