"""Gates: where datagrams for our addresses enter the machine, and what meets them there.

For each local address one gate. It has a program of ours or not; if not, it
says why, and what to do about it.
"""

from __future__ import annotations

import array
import errno
import fcntl
import ipaddress
import socket
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import ifaddr

from relay.forward.offload.bpf import BpfError
from relay.forward.offload.kernel import Kernel, Kind

CAP_NET_ADMIN, CAP_SYS_ADMIN, CAP_BPF = 12, 21, 39
LOOPBACK, ETHERNET = 772, 1
"""Types of devices (ARPHRD)."""

SIOCGIFHWADDR, SIOCETHTOOL, ETHTOOL_GDRVINFO = 0x8927, 0x8946, 3
BUS_INFO = 4 + 3 * 32
"""Offset in struct ethtool_drvinfo."""

_REASONS = {
    errno.EBUSY: "has an XDP program already; `ip link show` names it",
    errno.EEXIST: "has an XDP program already; `ip link show` names it",
    errno.EOPNOTSUPP: "the driver does not support it",
    errno.EINVAL: "this kernel does not have it",
    errno.EPERM: "not permitted",
}


@dataclass(frozen=True, slots=True)
class Gate:
    """One local address. ``kind`` is None if user space alone forwards what arrives for it."""

    address: str
    device: str
    index: int
    kind: Kind | None
    reason: str = ""
    """Why not, and what to do."""

    def __str__(self) -> str:
        where = f"{self.address} on {self.device}" if self.device else self.address
        if self.kind is not None:
            return f"plane of {where}: ebpf ({self.kind.value})"
        return f"plane of {where}: userspace; no ebpf: {self.reason}"


def missing_capabilities() -> str:
    """What this process lacks to load programs; empty if nothing."""
    status = Path("/proc/self/status").read_text()
    effective = int(next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff")), 16)
    bpf = effective >> CAP_BPF & 1 or effective >> CAP_SYS_ADMIN & 1
    missing = [] if bpf else ["CAP_BPF"]
    return " and ".join(missing if effective >> CAP_NET_ADMIN & 1 else [*missing, "CAP_NET_ADMIN"])


def closed(addresses: Iterable[str], reason: str) -> list[Gate]:
    """Gates without programs, all for one reason."""
    devices = _devices()
    return [Gate(address, *devices.get(address, ("", 0)), None, reason) for address in _each(addresses)]


def for_want_of(gates: Iterable[Gate], reason: str) -> list[Gate]:
    """These gates, with this reason where none was known."""
    return [replace(gate, reason=gate.reason or reason) for gate in gates]


def survey(addresses: Iterable[str]) -> list[Gate]:
    """Gates without programs. ``reason`` is empty where one could be."""
    devices = _devices()
    gates = []
    for address in _each(addresses):
        gate = Gate(address, *devices.get(address, ("", 0)), None)
        gates.append(replace(gate, reason=obstacle(gate)))
    return gates


def obstacle(gate: Gate) -> str:
    """What can be seen to stand in the way without trying, and what to do; empty if nothing."""
    try:
        return (
            _obstacle(gate.address, gate.device)
            if gate.device
            else "the address is on no device of this machine"
        )
    except OSError:
        return f"{gate.device} is gone; start icerelay again once it is back"


def attach(kernel: Kernel, gates: Sequence[Gate], kinds: Sequence[Kind] = ()) -> list[Gate]:
    """Put programs where nothing speaks against it. ``kinds``: to try these, in turn, and not what suits."""
    devices = {gate.index: gate.device for gate in gates if not gate.reason}
    found = {
        index: _attach(kernel, index, kinds or suitable(device, len(devices)))
        for index, device in devices.items()
    }
    return [
        Gate(gate.address, gate.device, gate.index, *found[gate.index]) if not gate.reason else gate
        for gate in gates
    ]


def suitable(device: str, devices: int) -> tuple[Kind, ...]:
    """What to try on a device, the best first. ``devices`` is how many there are in all.

    XDP in the driver is left to real hardware, and to machines where a stream
    leaves through the device that it came by: drivers differ in what they send on
    for another device, and what they do not they drop without a word. With
    TCX every device can send. What a program at generic XDP sees may have no
    checksum yet; it then leaves the packet to user space, TCX does not.
    """
    native = devices == 1 and _is_hardware(device)
    return (Kind.XDP, Kind.TCX, Kind.GENERIC) if native else (Kind.TCX, Kind.GENERIC)


def _attach(kernel: Kernel, index: int, kinds: Sequence[Kind]) -> tuple[Kind | None, str]:
    refused = []
    for kind in kinds:
        try:
            kernel.attach(index, kind)
        except BpfError as error:
            refused.append(f"{kind.value}: {_REASONS.get(error.errno or 0, error.strerror)}")
        else:
            return kind, ""
    return None, "; ".join(refused)


def _each(addresses: Iterable[str]) -> Iterable[str]:
    return dict.fromkeys(addresses)


def _devices() -> dict[str, tuple[str, int]]:
    """Name and index of the device, by numeric address."""
    found = {}
    for adapter in ifaddr.get_adapters():
        index = socket.if_nametoindex(str(adapter.name))
        name = socket.if_indextoname(index)  # an address may have a label in its device's place, eth0:1
        for ip in adapter.ips:
            found[ip.ip if isinstance(ip.ip, str) else ip.ip[0]] = (name, index)
    return found


def _obstacle(address: str, device: str) -> str:
    kind = _type(device)
    if kind == LOOPBACK or ipaddress.ip_address(address).is_loopback:
        return "loopback stays in user space"
    if kind != ETHERNET:
        return f"{device} is not an Ethernet device"
    family = "ipv6" if ":" in address else "ipv4"
    if _sysctl(family, device) != "1":
        return (
            f"the kernel does not forward on {device}, and so gives programs no routes;"
            f" sysctl -w net.{family}.conf.{device.replace('.', '/')}.forwarding=1"
        )
    return ""


def _type(device: str) -> int:
    answer = _ask(device, SIOCGIFHWADDR, bytes(24))
    (kind,) = struct.unpack_from("H", answer, 16)
    return int(kind)


def _is_hardware(device: str) -> bool:
    """Of this machine, or what its hypervisor gives it as such: its driver names a place on a bus."""
    question = array.array("B", struct.pack("I192x", ETHTOOL_GDRVINFO))
    try:
        _ask(device, SIOCETHTOOL, struct.pack("P16x", question.buffer_info()[0]))
    except OSError:
        return False
    return question[BUS_INFO] != 0


def _ask(device: str, what: int, about: bytes) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        return fcntl.ioctl(any_socket, what, struct.pack("16s24s", device.encode(), about))


def _sysctl(family: str, device: str) -> str:
    try:
        return Path(f"/proc/sys/net/{family}/conf/{device}/forwarding").read_text().strip()
    except OSError:
        return ""
