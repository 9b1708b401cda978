"""What we keep in the kernel: the tables, the programs, and their links to devices.

Structs as in ext/offload.bpf.c.
"""

from __future__ import annotations

import enum
import importlib.resources
import mmap
import os
import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relay.forward.offload import bpf, elf
from relay.forward.offload.netlink import Netlink

COUNT = np.dtype(
    {
        "names": [
            *("packets", "bytes", "last", "ssrc", "seq", "payload_type"),
            *("skipped", "late", "track", "jitter", "clock", "hop"),
        ],
        "formats": ["u8", "u8", "u8", "u4", "u2", "u1", "u8", "u8", "V24", "u4", "u4", "V24"],
        "offsets": [0, 8, 16, 24, 28, 30, 32, 40, 48, 56, 60, 72],
        "itemsize": 96,
    }
)
"""struct count; ``last`` is CLOCK_MONOTONIC in ns, ``jitter`` and ``clock`` are parts of ``track``. ``hop``
is the neighbour: address, family, and the device's index."""

KEY_SIZE, FLOW_SIZE = 20, 88


class Kind(enum.Enum):
    """Where on its way into the machine a datagram meets the program."""

    XDP = "XDP"
    """In the driver, before the kernel has made a packet of it."""
    TCX = "TCX"
    """Where traffic control is, kernel 6.6 or newer."""
    GENERIC = "generic XDP"
    """As XDP, and after the driver."""


@dataclass(frozen=True, slots=True)
class _Way:
    section: str
    attach: int
    flags: int


_WAYS = {
    Kind.XDP: _Way("xdp", bpf.ATTACH_XDP, bpf.NATIVE_MODE),
    Kind.TCX: _Way("tc", bpf.ATTACH_TCX_INGRESS, 0),
    Kind.GENERIC: _Way("xdp", bpf.ATTACH_XDP, bpf.GENERIC_MODE),
}
_TYPES = {"xdp": bpf.XDP, "tc": bpf.SCHED_CLS}


class Kernel:
    """Tables and two programs, loaded. Raises ``BpfError``.

    Devices and neighbours are those of the network namespace in which it was made.
    """

    def __init__(self) -> None:
        self._descriptors: list[int] = []
        self._programs: dict[str, int] = {}
        self._macs: dict[int, bytes | None] = {}  # by device
        self._netlink = Netlink()
        file = importlib.resources.files("relay").joinpath("data/offload.bpf.o").read_bytes()
        parsed = elf.parse(file)
        try:
            self._load(parsed)
        except BaseException:
            self.close()
            raise

    def _load(self, parsed: elf.Object) -> None:
        maps = {name: self._keep(bpf.create_map(name, wanted)) for name, wanted in parsed.maps.items()}
        for name, program in parsed.programs.items():
            code = program.link(maps)
            self._programs[name] = self._keep(
                bpf.load_program(f"icerelay_{name}", _TYPES[name], code, parsed.licence)
            )
        self._flows, self._devices = maps["flows"], maps["devices"]
        self.slots = parsed.maps["counts"].entries
        """Elements of ``counts``, and of the table of flows."""
        memory = mmap.mmap(maps["counts"], self.slots * COUNT.itemsize)
        self.counts: NDArray[np.void] = np.frombuffer(memory, COUNT)
        """Live. The programs write it, and user space the ``track`` of a stream that both have."""

    def _keep(self, descriptor: int) -> int:
        self._descriptors.append(descriptor)
        return descriptor

    def program(self, section: str) -> int:
        """The descriptor of a program, ``xdp`` or ``tc``."""
        return self._programs[section]

    def attach(self, device: int, kind: Kind) -> None:
        """Put a program in the way of what arrives at a device (its index). Raises ``BpfError``."""
        way = _WAYS[kind]
        self._keep(bpf.attach(self._programs[way.section], device, way.attach, way.flags))
        self._macs[device] = None
        self.look_at_devices()

    def look_at_devices(self) -> None:
        """Tell the programs which frames are for this machine; a device may be given another address."""
        for device, before in self._macs.items():
            mac = self._netlink.mac(device)
            if mac is not None and mac != before:
                bpf.update(self._devices, struct.pack("=I", device), mac + bytes(2))
                self._macs[device] = mac

    def confirm(self, hop: bytes) -> None:
        """Keep the kernel's knowledge of a neighbour fresh; see ``Netlink.confirm``."""
        self._netlink.confirm(hop)

    def put(self, key: bytes, flow: bytes) -> None:
        """Forward from now on. Raises ``BpfError``."""
        bpf.update(self._flows, key, flow)

    def remove(self, key: bytes) -> None:
        """Do not forward any more."""
        bpf.delete(self._flows, key)

    def close(self) -> None:
        """Detach, and forget everything but ``counts``."""
        for descriptor in reversed(self._descriptors):
            os.close(descriptor)
        self._descriptors.clear()
        self._netlink.close()
