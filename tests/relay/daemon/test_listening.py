from __future__ import annotations

import pytest

from relay.calls.resources import LocalAddress
from relay.daemon.listening import is_local, serving
from relay.forward.rule import Address

MEDIA = [LocalAddress("nat", "192.0.2.1", "203.0.113.7"), LocalAddress("nat", "2001:db8::1", "2001:db8::1")]


@pytest.mark.parametrize(
    ("listen", "remote", "leads_here"),
    [
        (("192.0.2.9", 2223), ("192.0.2.9", 2223), True),
        (("192.0.2.9", 2223), ("192.0.2.9", 2224), False),
        (("192.0.2.9", 2223), ("192.0.2.8", 2223), False),
        (("192.0.2.9", 2223), ("203.0.113.7", 2223), False),
        (("192.0.2.1", 2223), ("203.0.113.7", 2223), True),
        (("127.0.0.1", 2223), ("127.0.0.2", 2223), False),
        (("2001:db8::9", 2223), ("2001:DB8:0::9", 2223), True),
        (("0.0.0.0", 2223), ("127.0.0.1", 2223), True),
        (("0.0.0.0", 2223), ("127.7.7.7", 2223), True),
        (("0.0.0.0", 2223), ("203.0.113.7", 2223), True),
        (("0.0.0.0", 2223), ("127.0.0.1", 2224), False),
        (("::", 2223), ("::1", 2223), True),
    ],
)
def test_whatever_leads_to_the_ng_socket_is_known(listen: Address, remote: Address, leads_here: bool) -> None:
    assert serving([("192.0.2.77", 1), listen], MEDIA)(remote) is leads_here


@pytest.mark.parametrize("address", ["198.51.100.77", "2001:db8::77", "10.99.99.99"])
def test_a_host_elsewhere_is_not_this_one(address: str) -> None:
    assert not is_local(address)
