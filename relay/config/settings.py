"""The configuration as values. Everything here has been checked."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from relay.ice.policy import Policy


class ConfigError(ValueError):
    """The configuration is unusable. The text names the place and what to write instead."""


@dataclass(frozen=True, slots=True)
class Interface:
    """One local address for media.

    Several addresses with one ``name`` form one logical interface (IPv4 and
    IPv6 side by side). ``address`` is what sockets are bound to, ``advertised``
    what peers are told (the public side of a 1:1 NAT); both are numeric and of
    one family.
    """

    name: str
    address: str
    advertised: str

    @property
    def family(self) -> str:
        """``IP4`` or ``IP6``, as SDP spells it."""
        return "IP6" if ":" in self.address else "IP4"


def available_cores() -> int:
    """Processor cores this process may run on, 1 or more."""
    return len(os.sched_getaffinity(0))


LISTEN_NG = ("127.0.0.1", 2223)
"""Where the relay listens unless it is told otherwise."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the daemon runs with. Names and defaults are rtpengine's; times are seconds."""

    interfaces: tuple[Interface, ...]  # the first one is the default; never empty
    listen_ng: tuple[tuple[str, int], ...] = (LISTEN_NG,)  # numeric host; "::" means IPv6 only
    listen_http: tuple[tuple[str, int], ...] = ()
    port_min: int = 30000
    port_max: int = 39999  # the last port that may be used: 10,000 ports from the default port_min
    timeout: int = 60  # no packet on any stream that may receive
    silent_timeout: int = 3600  # the same for calls on hold
    offer_timeout: int = 3600  # offered, never answered
    final_timeout: int = 0  # age of a call; 0 is no limit
    delete_delay: int = 30  # from the ng delete to the end of the call
    tos: int = 0  # the TOS byte of media packets, 0 .. 255
    policy: tuple[Policy, ...] = ()  # of ICE=optimize, the first that fits counts
    memory: str = "off"  # of networks: a file, or the URL of a Redis
    memory_secret: str = ""  # a file; empty: one beside the memory's
    memory_retention: int = 30  # days
    feedback_token: str = ""  # a file; empty: apps are not listened to
    advice_turn: tuple[str, ...] = ()  # URLs of TURN servers (RFC 7065)
    pidfile: str = ""  # empty: none
    log_level: str = "INFO"  # a name of the logging module
    plane: str = "auto"  # or "userspace", "ebpf"
    range_socket: str = "auto"  # or "off"
    workers: int = field(default_factory=available_cores)  # native forwarding threads
    coalesce_us: int = 1000  # microseconds that a busy worker may wait for more packets; 0 is never
