"""Binding local ports, and what it says when it cannot."""

import os
import random
import resource
import socket
from collections.abc import Iterator

import pytest

from relay.forward.sockets import AddressNotBindable, DescriptorLimit, PortPool, PortsTaken, normal, set_tos
from relay.ports import PortError, Ports, PortsExhausted

LOCAL = "127.0.0.1"


def pool(minimum: int, maximum: int, address: str = LOCAL) -> PortPool:
    return PortPool({address: Ports(minimum, maximum, random.Random(1))})


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture
def taken() -> Iterator[int]:
    """An even port that another program holds."""
    while True:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((LOCAL, 0))
        port: int = sock.getsockname()[1]
        if port % 2 == 0:
            break
        sock.close()
    yield port
    sock.close()


def test_a_port_holds_a_large_video_frame() -> None:
    with pool(42000, 42999).open_single(LOCAL, 0) as ours, socket.socket(type=socket.SOCK_DGRAM) as phone:
        for _ in range(150):
            phone.sendto(bytes(1200), ours.getsockname())
        assert [len(ours.recv(2000)) for _ in range(150)] == [1200] * 150


@pytest.mark.parametrize("address", [LOCAL, "::1"])
def test_pair_is_bound_marked_and_non_blocking(address: str) -> None:
    some = pool(42000, 42999, address)
    rtp, rtcp = some.open_pair(address, 0xB8)
    with rtp, rtcp:
        assert rtp.getsockname()[0] == address
        assert rtp.getsockname()[1] % 2 == 0
        assert rtcp.getsockname()[1] == rtp.getsockname()[1] + 1
        assert not rtp.getblocking()
        v6 = rtp.family == socket.AF_INET6
        level, option = (
            (socket.IPPROTO_IPV6, socket.IPV6_TCLASS) if v6 else (socket.IPPROTO_IP, socket.IP_TOS)
        )
        assert rtp.getsockopt(level, option) == 0xB8
        set_tos(rtp, 0)
        assert rtp.getsockopt(level, option) == 0
        assert (some.used(address), some.free(address)) == (2, 998)
        for sock in (rtp, rtcp):
            some.release(address, sock.getsockname()[1])
        assert some.used(address) == 0


def test_ipv6_socket_does_not_take_the_ipv4_port() -> None:
    with pool(42000, 42999, "::1").open_single("::1", 0) as sock:
        assert sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1


def test_port_of_another_program_is_passed_over(taken: int) -> None:
    some = pool(taken, taken + 3)
    rtp, rtcp = some.open_pair(LOCAL, 0)
    with rtp, rtcp:
        assert rtp.getsockname()[1] == taken + 2


def test_pair_is_both_or_nothing(taken: int) -> None:
    before = descriptors()
    with pytest.raises(PortsTaken, match=f"other programs hold 1 ports of {taken}-{taken + 1} on {LOCAL}"):
        pool(taken, taken + 1).open_pair(LOCAL, 0)
    assert descriptors() == before


def test_full_range_says_so() -> None:
    some = pool(42000, 42001)
    rtp, rtcp = some.open_pair(LOCAL, 0)
    with (
        rtp,
        rtcp,
        pytest.raises(PortsExhausted, match=r"no free port in 42000-42001 on 127.0.0.1: 2 in use") as caught,
    ):
        some.open_single(LOCAL, 0)
    assert not isinstance(caught.value, PortsTaken)


def test_address_of_another_machine_is_named() -> None:
    some = pool(42000, 42009, "192.0.2.99")
    before = descriptors()
    with pytest.raises(AddressNotBindable, match=r"192\.0\.2\.99 is not an address of this machine"):
        some.open_pair("192.0.2.99", 0)
    assert descriptors() == before
    assert (some.used("192.0.2.99"), some.free("192.0.2.99")) == (0, 10)


def test_address_without_a_range_is_named() -> None:
    with pytest.raises(AddressNotBindable, match=r"configured for 127\.0\.0\.9"):
        pool(42000, 42009).open_single("127.0.0.9", 0)


def test_descriptor_limit_is_told_apart_and_costs_no_port() -> None:
    some = pool(42000, 42009)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    spare = os.dup(0)
    os.close(spare)
    resource.setrlimit(resource.RLIMIT_NOFILE, (spare + 1, hard))
    try:
        with pytest.raises(DescriptorLimit, match="no file descriptor left"):
            some.open_pair(LOCAL, 0)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (some.used(LOCAL), some.free(LOCAL)) == (0, 10)
    assert os.dup(0) == spare
    os.close(spare)


def test_all_errors_have_one_base() -> None:
    assert all(issubclass(error, PortError) for error in (AddressNotBindable, DescriptorLimit, PortsTaken))


def test_addresses_are_compared_in_one_spelling() -> None:
    assert normal("0:0::1") == "::1"
    with pytest.raises(ValueError, match=r"relay\.example"):
        normal("relay.example")
