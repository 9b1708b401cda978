"""Frames of every kind in the kernel's programs, beside a slow twin: what leaves, and what is left alone."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.forward.offload.flow import Flow
from relay.forward.offload.kernel import Kernel, Kind
from tests.namespaces.calls import RTCP, rtp
from tests.namespaces.frames import (
    CHECKSUM_COMPLETE,
    FRAGMENT_HEADER,
    IPV4,
    MTU,
    Sent,
    Twin,
    checksum,
    mac,
    run_program,
    udp_sum,
    without_checksums,
    words,
)
from tests.namespaces.lab import lab, run

PASS = {"xdp": {2}, "tc": {0xFFFFFFFF}}
LEAVES = {"xdp": {3, 4}, "tc": {7}}
"""What the programs return: XDP_PASS, TCX_NEXT; XDP_TX, XDP_REDIRECT, TC_ACT_REDIRECT."""

SHORTEST = 14
"""Octets of a frame that the kernel lets a program try."""

SHORTEST_FOR_TC = 54
"""Here the IP header has to be whole."""

PHONES = {
    "192.0.2.3": ("to-a", b"\x02phon3"),
    "198.51.100.2": ("to-b", b"\x02phon2"),
    "2001:db8:2::2": ("to-b", b"\x02phon2"),
}


@dataclass(frozen=True)
class Bench:
    """Both programs, with flows to another network in both families, and one that stays on its own."""

    kernel: Kernel
    twin: Twin
    device: int

    @property
    def flows(self) -> tuple[Flow, ...]:
        return self.twin.flows

    def sent(self, flow: int, payload: bytes = rtp(1)) -> Sent:
        return Sent(self.flows[flow], self.twin.mac, payload)

    def check(self, frame: bytes) -> bool:
        """Both programs do with the frame as the twin does. Whether it leaves."""
        sections = ("xdp", "tc") if len(frame) >= SHORTEST_FOR_TC else ("xdp",)
        return {self._check(section, frame) for section in sections} == {True}

    def _check(self, section: str, frame: bytes) -> bool:
        wanted = replace(self.twin, needs_checksum=section == "xdp").forwards(frame)
        before = self.kernel.counts["packets"].copy()
        said, left = self._run(section, frame)
        counted = self.kernel.counts["packets"] - before
        if wanted is None:
            assert (said in PASS[section], left, counted.sum()) == (True, frame, 0)
            return False
        flow, out = wanted
        assert (said in LEAVES[section], without_checksums(left)) == (True, without_checksums(out))
        assert (counted.sum(), counted[self.flows.index(flow)]) == (1, 1)
        assert_as_right_as_before(frame, left)
        return True

    def _run(self, section: str, frame: bytes) -> tuple[int, bytes]:
        program = self.kernel.program(section)
        if section == "xdp":
            return run_program(program, frame, struct.pack("<6I", 0, len(frame), 0, self.device, 0, 0))
        context = struct.pack("<36x2I148x", self.device, self.device)
        return run_program(program, frame, context, CHECKSUM_COMPLETE)


def assert_as_right_as_before(frame: bytes, left: bytes) -> None:
    """What was damaged on its way stays damaged, and the rest gets checksums that are right."""
    at = 40 if frame[12:14] == struct.pack("!H", IPV4) else 60
    if at == 40:
        assert (words(left[14:34]) - words(frame[14:34])) % 0xFFFF == 0
    if frame[at : at + 2] == bytes(2):
        assert left[at : at + 2] == bytes(2)
    else:
        assert (udp_sum(left) - udp_sum(frame)) % 0xFFFF == 0
        assert left[at : at + 2] != bytes(2)


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with lab() as built, built.relay.inside():
        a, b = socket.if_nametoindex("to-a"), socket.if_nametoindex("to-b")
        own = {name: mac(built.relay, name) for name in ("to-a", "to-b")}
        for address, (device, phone) in PHONES.items():
            about = (address, "dev", device, "lladdr", phone.hex(":"), "nud", "permanent")
            run("ip", "-n", built.relay.name, "neigh", "replace", *about)
        here, there = ("192.0.2.1", 30000), ("198.51.100.1", 30002)
        flows = (
            Flow(here, ("192.0.2.2", 5004), there, ("198.51.100.2", 6004), 0xB8, b),
            Flow(
                *(("2001:db8:1::1", 30000), ("2001:db8:1::2", 5004)),
                *(("2001:db8:2::1", 30002), ("2001:db8:2::2", 6004)),
                *(0xB8, b),
            ),
            Flow(("192.0.2.1", 30004), ("192.0.2.2", 5004), here, ("192.0.2.3", 6004), 0, a),
        )
        kernel = Kernel()
        kernel.attach(a, Kind.GENERIC)
        for slot, flow in enumerate(flows):
            kernel.put(flow.key(), flow.value(slot))
        macs = {address: (phone, own[device]) for address, (device, phone) in PHONES.items()}
        yield Bench(kernel, Twin(flows, own["to-a"], macs, needs_checksum=False), a)
        kernel.close()


EACH_FLOW = pytest.mark.parametrize("flow", [0, 1, 2], ids=["IPv4", "IPv6", "IPv4, same network"])


@EACH_FLOW
def test_rtp_of_the_peer_leaves(bench: Bench, flow: int) -> None:
    assert bench.check(bench.sent(flow).frame())


@EACH_FLOW
@given(payload=st.binary(max_size=80), sequence=st.integers(0, 0xFFFF), tos=st.integers(0, 255))
@settings(max_examples=50, deadline=None)
def test_whatever_the_packet_holds_its_checksums_are_right_behind_the_relay(
    bench: Bench, flow: int, payload: bytes, sequence: int, tos: int
) -> None:
    frame = replace(bench.sent(flow, rtp(sequence, payload=payload)), tos=tos).frame()
    bench.check(frame)


@EACH_FLOW
def test_a_frame_that_is_cut_off_anywhere_is_left_alone(bench: Bench, flow: int) -> None:
    frame = bench.sent(flow).frame()
    for length in range(SHORTEST, len(frame)):
        assert not bench.check(frame[:length])


@EACH_FLOW
def test_what_ethernet_adds_to_a_short_frame_is_no_obstacle(bench: Bench, flow: int) -> None:
    frame = bench.sent(flow, rtp(1, payload=b"")).frame()
    assert bench.check(frame + bytes(60))


@EACH_FLOW
@pytest.mark.parametrize(("ttl", "leaves"), [(0, False), (1, False), (2, True), (255, True)])
def test_the_last_hop_is_here(bench: Bench, flow: int, ttl: int, leaves: bool) -> None:
    assert bench.check(replace(bench.sent(flow), ttl=ttl).frame()) is leaves


@EACH_FLOW
@pytest.mark.parametrize("more", [0, 1])
def test_a_packet_as_long_as_the_way_out_allows_leaves_and_a_longer_one_does_not(
    bench: Bench, flow: int, more: int
) -> None:
    room = MTU - (48 if flow == 1 else 28) - 12
    assert bench.check(bench.sent(flow, rtp(1, payload=bytes(room + more))).frame()) is (more == 0)


@EACH_FLOW
@pytest.mark.parametrize("to", [b"\x02other", b"\xff" * 6, b"\x01\x00\x5e\x00\x00\x01"])
def test_a_frame_for_another_machine_or_for_all_is_left_alone(bench: Bench, flow: int, to: bytes) -> None:
    assert not bench.check(replace(bench.sent(flow), to=to).frame())


@EACH_FLOW
def test_a_frame_of_another_vlan_is_left_alone(bench: Bench, flow: int) -> None:
    frame = bench.sent(flow).frame()
    assert not bench.check(frame[:12] + struct.pack("!2H", 0x8100, 100) + frame[12:])


@EACH_FLOW
@pytest.mark.parametrize(
    "payload", [RTCP + bytes(40), b"\x00\x01" + bytes(40), b"\x16\xfe\xfd" + bytes(40), b""]
)
def test_what_is_not_rtp_is_left_alone(bench: Bench, flow: int, payload: bytes) -> None:
    assert not bench.check(bench.sent(flow, payload).frame())


@EACH_FLOW
@pytest.mark.parametrize("length", [0, 7, 8, 19, 20, 171, 173, 0xFFFF])
def test_two_lengths_that_differ_are_left_alone(bench: Bench, flow: int, length: int) -> None:
    frame = bench.sent(flow).frame()
    udp, ip = (58, 18) if flow == 1 else (38, 16)
    for at in (udp, ip):
        assert not bench.check(frame[:at] + struct.pack("!H", length) + frame[at + 2 :])


@EACH_FLOW
@pytest.mark.parametrize("checksum", [0, 0x1234, 0xFFFF])
def test_a_checksum_that_is_wrong_stays_wrong_and_none_stays_none(
    bench: Bench, flow: int, checksum: int
) -> None:
    """IPv6 has to have one (RFC 8200, section 8.1), so none is left to the stack."""
    at = 60 if flow == 1 else 40
    frame = bench.sent(flow).frame()
    assert bench.check(frame[:at] + struct.pack("!H", checksum) + frame[at + 2 :]) is (
        flow != 1 or checksum != 0
    )


@EACH_FLOW
def test_a_sum_of_zero_is_not_told_as_no_checksum(bench: Bench, flow: int) -> None:
    """RFC 768: an all zero checksum means that there is none."""
    forwarded = bench.twin.forwards(bench.sent(flow, rtp(1, payload=bytes(160))).frame())
    assert forwarded is not None
    _, left = forwarded
    at = 60 if flow == 1 else 40
    rest = udp_sum(left) - int.from_bytes(left[at : at + 2], "big")
    assert bench.check(
        bench.sent(flow, rtp(1, payload=bytes(158) + struct.pack("!H", checksum(rest)))).frame()
    )


@pytest.mark.parametrize("flow", [0, 1])
def test_xdp_leaves_alone_what_a_device_was_to_finish(bench: Bench, flow: int) -> None:
    """Its checksum is the sum of the pseudo-header; ``check`` compares both programs with the twin."""
    frame = bench.sent(flow).frame()
    at, addresses = (60, frame[22:54]) if flow == 1 else (40, frame[26:34])
    total = words(addresses) + 17 + int.from_bytes(frame[at - 2 : at], "big")
    assert not bench.check(frame[:at] + struct.pack("!H", (total - 1) % 0xFFFF + 1) + frame[at + 2 :])


@pytest.mark.parametrize("flow", [0, 2])
def test_ipv4_options_and_fragments_are_left_alone(bench: Bench, flow: int) -> None:
    frame = bench.sent(flow).frame()
    options = bytearray(frame[:34] + bytes([1] * 4) + frame[34:])
    options[14], options[24:26] = 0x46, bytes(2)
    options[16:18] = struct.pack("!H", len(options) - 14)
    options[24:26] = struct.pack("!H", checksum(words(bytes(options[14:38]))))
    assert not bench.check(bytes(options))
    for version_and_length in (0x44, 0x46, 0x4F, 0x55, 0x65):
        assert not bench.check(frame[:14] + bytes([version_and_length]) + frame[15:])
    for fragment in (0x2000, 0x2001, 0x0001, 0x1FFF):
        assert not bench.check(frame[:20] + struct.pack("!H", fragment) + frame[22:])


@pytest.mark.parametrize("version", [0, 4, 5, 7])
def test_ipv6_is_version_6(bench: Bench, version: int) -> None:
    frame = bench.sent(1).frame()
    assert not bench.check(frame[:14] + bytes([version << 4 | frame[14] & 0x0F]) + frame[15:])


@pytest.mark.parametrize("kind", [0, 43, FRAGMENT_HEADER, 60])
def test_ipv6_extension_headers_are_left_alone(bench: Bench, kind: int) -> None:
    frame = bench.sent(1).frame()
    longer = bytearray(frame[:54] + struct.pack("!BB6x", 17, 0) + frame[54:])
    longer[18:20], longer[20] = struct.pack("!H", len(longer) - 54), kind
    assert not bench.check(bytes(longer))


@EACH_FLOW
@given(changes=st.lists(st.tuples(st.integers(0, 80), st.integers(0, 255)), min_size=1, max_size=4))
@settings(max_examples=300, deadline=None)
def test_a_frame_with_any_octets_changed_is_treated_as_the_twin_does(
    bench: Bench, flow: int, changes: list[tuple[int, int]]
) -> None:
    frame = bytearray(bench.sent(flow).frame())
    for at, octet in changes:
        frame[at] = octet
    bench.check(bytes(frame))


@given(frame=st.binary(min_size=SHORTEST, max_size=200))
@settings(max_examples=200, deadline=None)
def test_noise_is_left_alone(bench: Bench, frame: bytes) -> None:
    for kind in (b"\x08\x00", b"\x86\xdd"):
        assert not bench.check(bench.twin.mac + frame[6:12] + kind + frame[14:])
