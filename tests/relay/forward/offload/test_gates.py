"""Where programs of ours can be, on the machine that the tests run on."""

from __future__ import annotations

from relay.forward.offload.gates import closed, suitable, survey
from relay.forward.offload.kernel import Kind


def test_loopback_stays_in_user_space() -> None:
    (gate,) = survey(["127.0.0.1", "127.0.0.1"])
    assert (gate.device, gate.kind, gate.reason) == ("lo", None, "loopback stays in user space")


def test_an_address_of_another_machine_is_on_no_device() -> None:
    assert [gate.reason for gate in survey(["203.0.113.9"])] == [
        "the address is on no device of this machine"
    ]


def test_a_closed_gate_says_why() -> None:
    assert [str(gate) for gate in closed(["127.0.0.1"], "told so")] == [
        "plane of 127.0.0.1 on lo: userspace; no ebpf: told so"
    ]


def test_xdp_in_the_driver_is_for_hardware() -> None:
    assert Kind.XDP not in suitable("lo", devices=1)
