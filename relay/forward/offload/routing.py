"""What the kernel looks at when it chooses the way of a packet: addresses, or more than those.

Of what a raw socket sends it knows addresses, TOS byte and protocol, but no ports when it looks for a
route. Where ports decide, such packets would take another way than those of the ports' own sockets.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

RTM_NEWRULE, RTM_GETRULE = 32, 34
NLM_F_REQUEST, NLM_F_DUMP = 1, 0x300
NLMSG_ERROR, NLMSG_DONE = 2, 3
FRA_SPORT_RANGE, FRA_DPORT_RANGE = 23, 24
HEADER, RULE = 16, 12
"""Octets of struct nlmsghdr and struct fib_rule_hdr."""

BY_PORTS = ("1", "3")
"""Of ``fib_multipath_hash_policy``: ports, or fields of choice, which may be ports."""

IP_PROTOCOL, MSG_PROBE = 52, 0x10


def ports_matter() -> str:
    """Why the way of a packet depends on its ports in this thread's network; empty if it does not."""
    for family, name in ((socket.AF_INET, "ipv4"), (socket.AF_INET6, "ipv6")):
        with contextlib.suppress(OSError):
            sysctl = f"net/{name}/fib_multipath_hash_policy"
            if (policy := Path("/proc/sys", sysctl).read_text().strip()) in BY_PORTS:
                return f"routes are chosen by port (sysctl {sysctl.replace('/', '.')} = {policy})"
        if any({FRA_SPORT_RANGE, FRA_DPORT_RANGE} & kinds for kinds in _rules(family)):
            return "routes are chosen by port (`ip rule` with sport or dport)"
    return ""


def takes_protocol(raw: socket.socket) -> bool:
    """Whether an IPv4 socket that is given headers can be told the protocol for the route. Sends nothing."""
    told = [(socket.IPPROTO_IP, IP_PROTOCOL, struct.pack("i", socket.IPPROTO_UDP))]
    try:
        raw.sendmsg([bytes([0x45]) + bytes(27)], told, MSG_PROBE, ("127.0.0.1", 0))
    except OSError:
        return False
    return True


def _rules(family: socket.AddressFamily) -> Iterator[set[int]]:
    """The kinds of attributes that each rule of ``ip rule`` has."""
    question = struct.pack("=IHHII", HEADER + RULE, RTM_GETRULE, NLM_F_REQUEST | NLM_F_DUMP, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.send(question + struct.pack("=B11x", family))
        while True:
            answer = kernel.recv(1 << 16)
            while answer:
                length, kind = struct.unpack_from("=IH", answer)
                if kind in (NLMSG_DONE, NLMSG_ERROR):
                    return
                if kind == RTM_NEWRULE:
                    yield set(_attributes(answer[HEADER + RULE : length]))
                answer = answer[_aligned(length) :]


def _attributes(data: bytes) -> Iterator[int]:
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        yield kind
        data = data[_aligned(max(length, 4)) :]


def _aligned(length: int) -> int:
    return (length + 3) & ~3
