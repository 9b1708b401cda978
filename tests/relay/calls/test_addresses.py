from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.calls.addresses import is_public, number

LOCAL = [
    ipaddress.ip_network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.168.0.0/16", "224.0.0.0/3", "::/8", "fc00::/7", "fe80::/10", "ff00::/8"),
    )
]
EDGES = [edge for one in LOCAL for edge in (one.network_address, one.broadcast_address)]
BESIDE = [
    edge + step for edge in EDGES for step in (-1, 0, 1) if 0 <= int(edge) + step < 1 << edge.max_prefixlen
]
ADDRESSES = st.ip_addresses() | st.sampled_from(BESIDE)
ALMOST = st.text("0123456789.:af%", max_size=15)


@given(ADDRESSES)
def test_only_addresses_that_mean_the_same_everywhere_are_public(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    assert is_public(str(address)) is not any(address in network for network in LOCAL)


@given(ADDRESSES.map(str) | ALMOST)
def test_an_address_is_read_as_pythons_library_reads_it(text: str) -> None:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        assert number(text) is None
    else:
        assert number(text) == (None if "%" in text else (found.version, int(found)))


@pytest.mark.parametrize("text", ["", "host.local", "192.0.2.1.", "192.0.2.01", "192.0.2.256", "١٢٧.0.0.1"])
def test_what_is_no_address_is_neither_read_nor_public(text: str) -> None:
    assert number(text) is None
    assert not is_public(text)
