"""The networks that phones are in: two gateways, what they translate and what they let through."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Literal

from bench.ice_lab.namespaces import Namespace, connect

CALLER_GATEWAY, CALLEE_GATEWAY, SERVER = "203.0.113.1", "203.0.113.2", "203.0.113.53"
CALLER_PUBLIC, CALLEE_PUBLIC = "192.0.2.10", "192.0.2.20"
CALLER_PRIVATE, CALLEE_PRIVATE = "192.168.1.10", "192.168.2.20"
LAN = "192.168.1.0/24"

PEER_DELAY, RELAY_DELAY = 0.025, 0.010
"""Seconds, one way, from a phone or a server to the middle of the net."""

CALLER_MOVED = "192.0.2.11"
"""Where the caller is reached as well; it takes the address when it moves."""
CALLER_SECOND, SECOND_GATEWAY = "192.0.2.130", "203.0.113.3"
IDLE = ("10.8.0.2", "172.17.0.1", "10.99.1.2", "198.18.200.2")
"""Addresses of interfaces that lead nowhere: VPNs, containers, a hotspot."""

Translation = Literal["none", "port-restricted", "symmetric"]
Blocked = Literal["nothing", "udp-except-443", "udp"]


@dataclass(frozen=True)
class Network:
    """``blocked`` is what the caller's gateway keeps back; the callee's lets everything out.

    ``turn`` is how a phone that can have one TURN server only reaches it. ``many``: both phones have
    IDLE interfaces beside the one that works, and the caller a second one that works.
    """

    name: str
    words: str
    translation: Translation = "none"
    blocked: Blocked = "nothing"
    shared: bool = False
    turn: tuple[int, Literal["udp", "tcp"]] = (3478, "udp")
    many: bool = False
    peer_delay: float = PEER_DELAY
    relay_delay: float = RELAY_DELAY

    @property
    def sites(self) -> tuple[str, str]:
        """What a proxy takes for the places of caller and callee."""
        return ("home", "home") if self.shared else ("home", "away")

    @property
    def seen(self) -> tuple[str, str]:
        """The addresses that the phones' signalling comes from."""
        if self.shared:
            return CALLER_GATEWAY, CALLER_GATEWAY
        if self.translation == "none":
            return CALLER_PUBLIC, CALLEE_PUBLIC
        return CALLER_GATEWAY, CALLEE_GATEWAY


NETWORKS = {
    network.name: network
    for network in (
        Network("open", "public addresses, no NAT"),
        Network("nat", "both behind NATs that keep the port and filter by port", "port-restricted"),
        Network("symmetric", "both behind NATs with a new port for each destination", "symmetric"),
        Network("same-lan", "both behind one NAT", "port-restricted", shared=True),
        Network(
            "udp-443", "caller's UDP only to port 443", "port-restricted", "udp-except-443", turn=(443, "udp")
        ),
        Network("no-udp", "caller has no UDP at all", "port-restricted", "udp", turn=(443, "tcp")),
        Network(
            "far-relay",
            "public addresses; the phones near each other, the relay 120 ms away",
            peer_delay=0.016,
            relay_delay=0.120,
        ),
        Network("many", "public addresses; a second interface, and four that lead nowhere", many=True),
    )
}


@dataclass(frozen=True)
class Reached:
    """A namespace on the wire: ``delay`` in seconds, one way; the first of ``addresses`` is its own."""

    namespace: Namespace
    delay: float
    addresses: tuple[str, ...]


class Site:
    """Everything of one network, as long as it is open: two phones' namespaces, and what the wire reaches."""

    def __init__(self, network: Network, servers: dict[str, str], stack: ExitStack, kind: str) -> None:
        """``servers`` are the names and addresses of further namespaces; ``kind`` is that of the phones."""
        self._stack, self._kind = stack, kind
        self.servers = {name: self._make(name) for name in servers}
        self.caller, self.callee = self._make("caller"), self._make("callee")
        reached = [
            Reached(self.servers[name], network.relay_delay, (address,)) for name, address in servers.items()
        ]
        reached += self._shared(network) if network.shared else self._apart(network)
        stack.enter_context(_wire(reached))

    def _make(self, words: str) -> Namespace:
        namespace = Namespace(f"{self._kind}-{words}")
        self._stack.callback(namespace.remove)
        return namespace

    def _apart(self, network: Network) -> list[Reached]:
        public = network.translation == "none"
        addresses = (CALLER_PUBLIC, CALLEE_PUBLIC) if public else (CALLER_PRIVATE, CALLEE_PRIVATE)
        sides: tuple[tuple[Namespace, str, str, str, Blocked], ...] = (
            (self.caller, "gw-caller", CALLER_GATEWAY, addresses[0], network.blocked),
            (self.callee, "gw-callee", CALLEE_GATEWAY, addresses[1], "nothing"),
        )
        found = []
        for phone, name, outside, inside, blocked in sides:
            gateway = self._make(name)
            connect(gateway, "lan", phone, "net")
            attach(phone, gateway, "lan", inside)
            gateway.filter(rules(network.translation, blocked))
            found.append(Reached(gateway, network.peer_delay, (outside, inside) if public else (outside,)))
        if public:
            found[0].namespace.ip("route", "replace", f"{CALLER_MOVED}/32", "dev", "lan")
            found[0] = replace(found[0], addresses=(*found[0].addresses, CALLER_MOVED))
        if network.many:
            found.append(self._second_uplink(network))
            for phone in (self.caller, self.callee):
                self._idle_interfaces(phone)
        return found

    def _second_uplink(self, network: Network) -> Reached:
        """What the caller sends from its second address leaves by its second interface."""
        gateway = self._make("gw-second")
        connect(gateway, "lan", self.caller, "net2")
        self.caller.ip("addr", "add", f"{CALLER_SECOND}/32", "dev", "net2")
        _route_from(self.caller, CALLER_SECOND, "net2", 100)
        gateway.ip("addr", "replace", "192.0.2.129/32", "dev", "lan")
        gateway.ip("route", "replace", f"{CALLER_SECOND}/32", "dev", "lan")
        return Reached(gateway, network.peer_delay, (SECOND_GATEWAY, CALLER_SECOND))

    def _idle_interfaces(self, phone: Namespace) -> None:
        """Interfaces that take everything and deliver nothing, without a word: nobody reads their files."""
        for index, address in enumerate(IDLE):
            self._stack.callback(os.close, phone.open_tun(f"idle{index}"))
            phone.ip("addr", "add", f"{address}/32", "dev", f"idle{index}")
            _route_from(phone, address, f"idle{index}", 101 + index)

    def _shared(self, network: Network) -> list[Reached]:
        gateway = self._make("gw-shared")
        gateway.ip("link", "add", "lan", "type", "bridge")
        gateway.ip("link", "set", "lan", "up")
        for number, (phone, address) in enumerate(
            ((self.caller, CALLER_PRIVATE), (self.callee, CALLER_PRIVATE.replace(".10", ".11")))
        ):
            connect(gateway, f"port{number}", phone, "net")
            gateway.ip("link", "set", f"port{number}", "master", "lan")
            attach(phone, gateway, "lan", address)
        gateway.filter(rules(network.translation, network.blocked))
        return [Reached(gateway, network.peer_delay, (CALLER_GATEWAY,))]


def _route_from(phone: Namespace, address: str, interface: str, table: int) -> None:
    phone.ip("link", "set", interface, "up")
    phone.ip("route", "add", "default", "dev", interface, "table", str(table))
    phone.ip("rule", "add", "from", address, "lookup", str(table))


def attach(phone: Namespace, gateway: Namespace, interface: str, address: str) -> None:
    """Gives a phone its address and its gateway one beside it."""
    router = address.rpartition(".")[0] + ".1"
    phone.ip("addr", "add", f"{address}/24", "dev", "net")
    phone.ip("route", "add", "default", "via", router)
    gateway.ip("addr", "replace", f"{router}/32", "dev", interface)
    gateway.ip("route", "replace", f"{address}/32", "dev", interface)
    gateway.set("net.ipv4.ip_forward", 1)
    gateway.set(f"net.ipv4.conf.{interface}.proxy_arp", 1)
    gateway.set(f"net.ipv4.neigh.{interface}.proxy_delay", 0)  # else up to 0.8 s for the first packet


def rules(translation: Translation, blocked: Blocked) -> str:
    """The gateway's nftables.

    Linux' masquerade keeps the port where it can, and lets in only whom was sent to: a
    port-restricted NAT. What comes unasked is dropped before it leaves a trace; else
    it would take the port from the phone that sends there a moment later.
    """
    unsent = {
        "nothing": "",
        "udp-except-443": 'iifname "lan" oifname "wan" meta l4proto udp udp dport != 443 drop',
        "udp": 'iifname "lan" oifname "wan" meta l4proto udp drop',
    }[blocked]
    masquerade = {"none": "", "port-restricted": "masquerade", "symmetric": "masquerade fully-random"}[
        translation
    ]
    unasked = "" if translation == "none" else 'iifname "wan" ct state new drop'
    translate = f'oifname "wan" {masquerade}' if masquerade else ""
    return f"""
table ip lab {{
  chain in {{
    type filter hook input priority 0; policy accept
    {unasked}
  }}
  chain through {{
    type filter hook forward priority 0; policy accept
    {unasked}
    {unsent}
  }}
  chain out {{
    type nat hook postrouting priority 100; policy accept
    {translate}
  }}
}}
"""


def _wire(reached: list[Reached]) -> ExitStack:
    """Starts the wire between the namespaces; what it returns ends it."""
    stack = ExitStack()
    sites = []
    for end in reached:
        file = end.namespace.open_tun("wan")
        stack.callback(os.close, file)
        sites.append((file, end.delay, end.addresses))
        end.namespace.ip("addr", "add", f"{end.addresses[0]}/32", "dev", "wan")
        end.namespace.ip("link", "set", "wan", "up")
        end.namespace.ip("route", "add", "default", "dev", "wan")
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.ice_lab.wire", json.dumps({"sites": sites})],
        stdin=subprocess.PIPE,
        pass_fds=[file for file, _, _ in sites],
    )

    def end_it() -> None:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(5.0)

    stack.callback(end_it)
    return stack
