"""The options: their names, what may be written, and what it means.

A parser takes the text and the machine's addresses, and raises ``ValueError``
with a sentence that says what to write instead.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ifaddr

from relay.config.policies import parse_policy
from relay.config.settings import Interface, available_cores

Machine = Sequence[tuple[str, str]]
"""Addresses of this machine: (device, numeric address without scope)."""

Listen = tuple[str, int]


def machine_addresses() -> list[tuple[str, str]]:
    """Every address of every device, link-local ones left out: no peer could name them."""
    return [
        (str(adapter.name), address)
        for adapter in ifaddr.get_adapters()
        for ip in adapter.ips
        if not ipaddress.ip_address(address := ip.ip if isinstance(ip.ip, str) else ip.ip[0]).is_link_local
    ]


def outward(machine: Machine) -> list[str]:
    """The addresses that others can reach."""
    return [address for _, address in machine if not ipaddress.ip_address(address).is_loopback]


def suggestion(machine: Machine) -> str:
    """An address to show in an error: one of this machine if it has any."""
    return next(iter(outward(machine)), "192.0.2.1")


def parse_interface(text: str, machine: Machine) -> tuple[Interface, ...]:
    """``[NAME/]IP[!ADVERTISED]``; a device name or ``any`` in place of IP stands for all its addresses.

    >>> parse_interface("public/10.0.0.5!192.0.2.7", [])
    (Interface(name='public', address='10.0.0.5', advertised='192.0.2.7'),)
    """
    name, slash, rest = text.partition("/")
    if not slash:
        name, rest = "default", text
    if not name or set(name) & set(":=!"):
        raise ValueError(
            f"interface names are plain words, no groups or aliases; write public/{rest or name}"
        )
    local, bang, told = rest.partition("!")
    advertised = _advertised(told, local) if bang else None
    interfaces = [Interface(name, address, advertised or address) for address in _local(local, machine)]
    fitting = tuple(found for found in interfaces if (":" in found.address) == (":" in found.advertised))
    if not fitting:
        raise ValueError(f"{told} is of another family than {local}; write two IPv4 or two IPv6 addresses")
    return fitting


def _advertised(text: str, local: str) -> str:
    try:
        return _peer_address(text)
    except ValueError as error:
        raise ValueError(
            f"{error}; after the ! write the address that peers see: {local}!192.0.2.7"
        ) from None


def _local(local: str, machine: Machine) -> list[str]:
    if local == "any" and outward(machine):
        return outward(machine)
    if devices := [address for device, address in machine if device == local]:
        return devices
    try:
        return [_peer_address(local)]
    except ValueError as error:
        mine = ", ".join(outward(machine)) or "none but loopback"
        raise ValueError(f"{error}; write an address of this machine ({mine})") from None


def _peer_address(text: str) -> str:
    """A numeric address that can stand in an SDP."""
    try:
        address = ipaddress.ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        raise ValueError(f"{text or 'nothing'} is not an IP address") from None
    if address.is_unspecified or address.is_multicast or (address.version == 6 and address.is_link_local):
        raise ValueError(f"no peer can send to {text}")
    return str(address)


def parse_listen(text: str, machine: Machine) -> tuple[Listen, ...]:
    """``[ADDR:]PORT``; a port alone is every address, a host name its first IPv4 (else IPv6) address.

    >>> parse_listen("[::1]:2223", [])
    (('::1', 2223),)
    """
    host, _, digits = text.rpartition(":")
    if not digits.isascii() or not digits.isdigit() or not 1 <= int(digits) <= 65535:
        raise ValueError(
            f"{digits or 'nothing'} is not a port (1 to 65535); write for example 127.0.0.1:2223"
        )
    port = int(digits)
    if not host:
        return _wildcards(port, machine)
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise ValueError(f"an IPv6 address stands in brackets; write [{host}]:{port}")
    return ((_numeric(host.strip("[]")), port),)


def _wildcards(port: int, machine: Machine) -> tuple[Listen, ...]:
    has_ipv6 = any(":" in address for _, address in machine)
    return (("0.0.0.0", port), ("::", port)) if has_ipv6 else (("0.0.0.0", port),)


def _numeric(host: str) -> str:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError):
        raise ValueError(
            f"the host {host} has no address; write a numeric one, 127.0.0.1 for example"
        ) from None
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    return str(found[0][4][0])


def parse_memory(text: str, _machine: Machine) -> str:
    """``off``, a file, or a URL that redis-py understands.

    >>> parse_memory("/var/lib/icerelay/memory.db", [])
    '/var/lib/icerelay/memory.db'
    """
    scheme, found, _ = text.partition("://")
    if found and scheme not in ("redis", "rediss", "unix"):
        raise ValueError("write redis://HOST:PORT/NUMBER, rediss://..., unix:///PATH, or a file")
    if not text:
        raise ValueError("write a file such as /var/lib/icerelay/memory.db, a Redis URL, or off")
    return text


def parse_file(text: str, _machine: Machine) -> str:
    """A path, which is only read when it is needed."""
    if not text:
        raise ValueError("write the path of a file")
    return text


def parse_turn(text: str, _machine: Machine) -> tuple[str, ...]:
    """A TURN URL (RFC 7065).

    >>> parse_turn("turns:turn.example.org:443?transport=tcp", [])
    ('turns:turn.example.org:443?transport=tcp',)
    """
    if not text.startswith(("turn:", "turns:")) or not text.isascii() or len(text) > 256:
        raise ValueError("write for example turn:turn.example.org:443?transport=tcp")
    return (text,)


LEVELS = ("CRITICAL", "CRITICAL", "CRITICAL", "ERROR", "WARNING", "INFO", "INFO", "DEBUG")
"""syslog's levels 0 .. 7, which rtpengine's option counts in, as names of the logging module."""


def parse_log_level(text: str, _machine: Machine) -> str:
    """0 .. 7 or a name; numbers beyond mean the nearest, as in rtpengine.

    >>> parse_log_level("6", []), parse_log_level("8", [])
    ('INFO', 'DEBUG')
    """
    if _WHOLE.fullmatch(text):
        return LEVELS[min(max(int(text), 0), len(LEVELS) - 1)]
    if text.upper() in LEVELS:
        return text.upper()
    raise ValueError(
        "write 0 to 7 (3 errors, 4 warnings, 6 calls, 7 everything) or error, warning, info, debug"
    )


PLANES = ("auto", "userspace", "ebpf")


def parse_range_socket(text: str, _machine: Machine) -> str:
    """``auto`` or ``off``."""
    if text not in ("auto", "off"):
        raise ValueError("write auto or off")
    return text


def parse_plane(text: str, _machine: Machine) -> str:
    """Who forwards media."""
    if text not in PLANES:
        raise ValueError("write auto, userspace or ebpf")
    return text


_WHOLE = re.compile(r"-?[0-9]{1,18}")


def _number(
    what: str, low: int, high: int, hint: str, below: Callable[[], int] | None = None
) -> Callable[[str, Machine], int]:
    """``below``: what a number below ``low`` stands for, where rtpengine starts with such a number."""

    def parse(text: str, _machine: Machine) -> int:
        if not _WHOLE.fullmatch(text):
            raise ValueError(f"not a whole number; {hint}")
        if below is not None and int(text) < low:
            return below()
        if not low <= int(text) <= high:
            raise ValueError(f"{what} go from {low} to {high}; {hint}")
        return int(text)

    return parse


def _seconds(low: int, below: int, hint: str) -> Callable[[str, Machine], int]:
    return _number("seconds", low, 2**31 - 1, f"write seconds, {hint}", lambda: below)


@dataclass(frozen=True, slots=True)
class Option:
    """One option; its key in ``Settings`` is ``name`` with underscores."""

    name: str
    metavar: str
    parse: Callable[[str, Machine], Any]
    help: str
    many: bool = False  # may be repeated, and ``;`` separates several; parse returns a tuple
    short: str = ""  # rtpengine's one-letter form
    alias: str = ""


OPTIONS = (
    Option(
        "interface",
        "[NAME/]IP[!ADVERTISED]",
        parse_interface,
        "Address for media, and after ! the one that peers are told. Repeatable; the first is the default.",
        many=True,
        short="i",
    ),
    Option(
        "listen-ng",
        "[ADDR:]PORT",
        parse_listen,
        "UDP address of the ng control protocol. Repeatable. [127.0.0.1:2223]",
        many=True,
        short="n",
    ),
    Option(
        "listen-http",
        "[ADDR:]PORT",
        parse_listen,
        "TCP address of /ping and /metrics. Repeatable. [off]",
        many=True,
    ),
    Option(
        "port-min",
        "PORT",
        _number("ports", 1, 65535, "write a number below port-max (39999 if you do not set it)"),
        "First media port. [30000]",
        short="m",
    ),
    Option(
        "port-max",
        "PORT",
        _number("ports", 1, 65535, "write a number above port-min (30000 if you do not set it)"),
        "Last media port. [39999]",
        short="M",
    ),
    Option(
        "timeout",
        "SECONDS",
        _seconds(1, 60, "60 for example"),
        "A call ends when no stream received anything for so long; 0 means the default. [60]",
        short="o",
    ),
    Option(
        "silent-timeout",
        "SECONDS",
        _seconds(1, 3600, "3600 for example"),
        "The same for calls on hold. [3600]",
        short="s",
    ),
    Option(
        "offer-timeout",
        "SECONDS",
        _seconds(1, 3600, "3600 for example"),
        "The same for calls that were never answered. [3600]",
    ),
    Option(
        "final-timeout",
        "SECONDS",
        _seconds(0, 0, "0 for no limit"),
        "Longest life of a call, 0 for no limit. [0]",
        short="a",
    ),
    Option(
        "delete-delay",
        "SECONDS",
        _seconds(0, 0, "30 for example"),
        "From the proxy's delete to the end of a call. [30]",
        short="d",
    ),
    Option(
        "tos",
        "BYTE",
        _number("TOS bytes", 0, 255, "write 184 for expedited forwarding, 0 for none"),
        "TOS byte of media packets, DSCP times 4. [0]",
        short="T",
    ),
    Option(
        "policy",
        "NAME [KEY=VALUE]...",
        parse_policy,
        "What ICE=optimize may do for some legs. Repeatable; the first that fits counts.",
        many=True,
    ),
    Option(
        "memory",
        "off|FILE|URL",
        parse_memory,
        "Where to remember what worked in which network: an SQLite file, or redis://... [off]",
    ),
    Option(
        "memory-secret",
        "FILE",
        parse_file,
        "File with the secret of the hashes that stand for networks. [beside the memory's file]",
    ),
    Option(
        "memory-retention",
        "DAYS",
        _number("days", 1, 3650, "write days, 30 for example"),
        "A network that nobody was in for so long is forgotten. [30]",
    ),
    Option(
        "feedback-token",
        "FILE",
        parse_file,
        "File with the token for POST /v1/ice/feedback and /v1/ice/advice of listen-http. [off]",
    ),
    Option(
        "advice-turn",
        "URL",
        parse_turn,
        "TURN server that apps are advised to have ready. Repeatable. [none]",
        many=True,
    ),
    Option(
        "pidfile", "FILE", parse_file, "File for the number of the process while it runs. [off]", short="p"
    ),
    Option("log-level", "LEVEL", parse_log_level, "0 to 7, or error, warning, info, debug. [6]", short="L"),
    Option(
        "plane",
        "auto|userspace|ebpf",
        parse_plane,
        "Who forwards media: eBPF programs where they can be had, never, or nobody starts without. [auto]",
    ),
    Option(
        "workers",
        "N",
        _number("workers", 1, 256, "write the number of cores, or leave it out", available_cores),
        "Threads that forward media; 0 means the default. [one per core]",
        alias="num-threads",
    ),
    Option(
        "range-socket",
        "auto|off",
        parse_range_socket,
        "Whether streams share a socket per thread where that can be had, or never. [auto]",
    ),
    Option(
        "coalesce-us",
        "MICROSECONDS",
        _number("microseconds", 0, 10000, "write 1000 for one millisecond, 0 for never"),
        "How long a thread with much to do may wait for more packets, to take them together. [1000]",
    ),
)

BY_NAME = {option.name: option for option in OPTIONS} | {
    option.alias: option for option in OPTIONS if option.alias
}
