"""Devices: XDP in a driver, addresses with labels."""

from __future__ import annotations

import socket

from relay.forward._fastpath import NativePlane
from relay.forward.offload import gates
from relay.forward.offload.kernel import Kernel, Kind
from relay.forward.offload.tiered import TieredPlane
from relay.forward.rule import Learn, Rule
from tests.namespaces.calls import local_port, name, rtp, until
from tests.namespaces.lab import lab, run


def test_an_address_with_a_label_is_on_the_device_it_is_on() -> None:
    with lab() as built:
        label = ("label", "to-a:x")
        run("ip", "-n", built.relay.name, "address", "add", "192.0.2.9/24", "dev", "to-a", *label)
        with built.relay.inside():
            (gate,) = gates.survey(["192.0.2.9"])
    assert (gate.device, gate.reason) == ("to-a", "")


def test_xdp_in_the_driver_forwards_between_phones_on_one_network() -> None:
    with lab(checksums=True) as built:
        run("ip", "-n", built.a.name, "address", "add", "192.0.2.3/24", "dev", "wire")
        below = NativePlane(rules=16)
        with built.relay.inside():
            kernel = Kernel()
            found = gates.attach(kernel, gates.survey(["192.0.2.1"]), [Kind.XDP])
        with built.a.inside():  # this driver takes frames from XDP where XDP is at the other end too
            kernel.attach(socket.if_nametoindex("wire"), Kind.XDP)
        plane = TieredPlane(below, kernel, found)
        with built.a.socket("192.0.2.2") as caller, built.a.socket("192.0.2.3") as callee:
            port, caller_side = local_port(plane, built.relay, "192.0.2.1")
            other, callee_side = local_port(plane, built.relay, "192.0.2.1")
            one, two = plane.allocate(), plane.allocate()
            plane.apply(
                [
                    Rule(one, port, name(caller), Learn.WINDOW, rtp=(two,), rtcp=(two,)),
                    Rule(two, other, name(callee), Learn.WINDOW, rtp=(one,), rtcp=(one,)),
                ]
            )
            caller.sendto(rtp(0), caller_side)
            callee.recv(2000)

            def is_settled() -> bool:
                plane.refresh()
                return plane.given(one)

            until(is_settled)
            for seq in range(1, 51):
                caller.sendto(rtp(seq), caller_side)
            received = [callee.recvfrom(2000) for _ in range(50)]
            assert received == [(rtp(seq), callee_side) for seq in range(1, 51)]
            assert int(below.row(one)["rtp_packets"]) == 1
        plane.stop()
