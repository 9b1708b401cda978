"""Where we listen for signalling, for somebody who names addresses: whatever leads to our ng socket."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence

from relay.calls.addresses import Scope, host, scope
from relay.calls.resources import LocalAddress
from relay.forward.rule import Address

WILDCARDS = ("0.0.0.0", "::")


def serving(listen: Sequence[Address], addresses: Sequence[LocalAddress]) -> Callable[[Address], bool]:
    """A function that tells whether a datagram to an address would come to one of the sockets ``listen``.

    ``addresses`` are those of media: what they are advertised as leads here as well.
    """

    def serves(remote: Address) -> bool:
        return any(port == remote[1] and _leads_to(remote[0], at, addresses) for at, port in listen)

    return serves


def _leads_to(remote: str, at: str, addresses: Sequence[LocalAddress]) -> bool:
    found = host(remote)
    if at in WILDCARDS:
        return any(found == host(one.advertised) for one in addresses) or is_local(remote)
    return found == host(at) or any(
        found == host(one.advertised) for one in addresses if host(one.address) == host(at)
    )


def is_local(address: str) -> bool:
    """Whether the kernel keeps on this machine what is sent to a numeric address. Nothing is sent.

    It changes as addresses come and go, so it is asked each time. Towards this machine the kernel takes the
    address itself for the sender's, or loopback; towards any other neither.

    >>> is_local("127.0.0.9"), is_local("nobody.example")
    (True, False)
    """
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((address, 9))
            chosen: str = probe.getsockname()[0]
    except OSError:
        return False
    return host(chosen) == host(address) or scope(chosen) is Scope.HOST
