"""The Ethernet addresses to which the kernel's programs send stay those of the neighbours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count

import pytest

from relay.forward.offload.kernel import Kind
from tests.namespaces.calls import Call, Setting, name, nothing_for, rtp, until
from tests.namespaces.lab import lab, run

NEW_MAC = "02:00:00:00:00:77"

QUICK = {"base_reachable_time_ms": "1000", "retrans_time_ms": "100", "delay_first_probe_time": "0"}
"""It takes half a second to a second and a half, not 15 to 45, until the stack doubts what it knows."""


@pytest.fixture(params=[False, True], ids=["IPv4", "IPv6"])
def one_way(request: pytest.FixtureRequest) -> Iterator[Call]:
    """A call that the kernel forwards, and in which the callee says nothing."""
    with lab(checksums=True) as built:
        for family in ("ipv4", "ipv6"):
            for setting, value in QUICK.items():
                built.relay.sysctl(f"net/{family}/neigh/to-b/{setting}", value)
        with Setting(built, Kind.GENERIC).call(v6=request.param) as call:
            call.caller.sendto(rtp(0), call.caller_side)
            call.callee.recv(2000)
            until(call.is_half_settled)
            call.caller.sendto(rtp(1), call.caller_side)
            call.callee.recv(2000)
            assert call.plane.carries(call.to_caller.id)
            yield call


def neighbour(call: Call) -> dict[str, object]:
    """The callee, as the relay's stack knows him."""
    shown = run(
        "ip", "-json", "-n", call.lab.relay.name, "neigh", "show", "dev", "to-b", name(call.callee)[0]
    )
    (entry,) = json.loads(shown)
    assert isinstance(entry, dict)
    return entry


def set_neighbour(call: Call, *what: str) -> None:
    about = (name(call.callee)[0], "dev", "to-b", "lladdr", str(neighbour(call)["lladdr"]))
    run("ip", "-n", call.lab.relay.name, "neigh", "replace", *about, *what)


def test_a_phone_that_only_listens_is_heard_again_after_it_got_another_mac(one_way: Call) -> None:
    run("ip", "-n", one_way.lab.b.name, "link", "set", "wire", "address", NEW_MAC)
    numbers = count(2)

    def arrives() -> bool:
        one_way.caller.sendto(rtp(next(numbers) & 0xFFFF), one_way.caller_side)
        one_way.plane.refresh()
        return not nothing_for(one_way.callee)

    until(arrives, timeout=60.0)
    before = one_way.plane.kernel_totals()["rtp_packets"]
    until(lambda: arrives() and one_way.plane.kernel_totals()["rtp_packets"] > before)
    assert neighbour(one_way)["lladdr"] == NEW_MAC


def test_what_an_administrator_said_of_a_neighbour_stays(one_way: Call) -> None:
    set_neighbour(one_way, "nud", "permanent")
    for number in range(2, 62):
        one_way.caller.sendto(rtp(number), one_way.caller_side)
        one_way.plane.refresh()
    assert neighbour(one_way)["state"] == ["PERMANENT"]
    assert one_way.plane.carries(one_way.to_caller.id)


def test_what_another_program_said_of_a_neighbour_stays(one_way: Call) -> None:
    set_neighbour(one_way, "nud", "stale", "extern_learn")
    numbers = count(2)

    def is_confirmed() -> bool:
        one_way.caller.sendto(rtp(next(numbers)), one_way.caller_side)
        one_way.plane.refresh()
        return neighbour(one_way)["state"] == ["REACHABLE"]

    until(is_confirmed)
    assert "extern_learn" in neighbour(one_way)
