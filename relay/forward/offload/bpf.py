"""bpf(2), as far as we need it. Every call returns a descriptor or nothing, and raises ``BpfError``.

The descriptors close when the process ends, however it ends, and with the one
of a link goes what it had attached.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct

from relay.forward.offload.elf import Map

_NUMBER = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "loongarch64": 280}
"""Of the system call, by machine; little-endian ones only."""

MAP_CREATE, MAP_UPDATE, MAP_DELETE, PROG_LOAD, LINK_CREATE = 0, 2, 3, 5, 28

SCHED_CLS, XDP, SK_LOOKUP = 3, 6, 30
"""Types of programs."""

ATTACH_SK_LOOKUP, ATTACH_XDP, ATTACH_TCX_INGRESS = 36, 37, 46

GENERIC_MODE, NATIVE_MODE = 2, 4
"""Flags of an XDP link."""

LOG_BYTES = 1 << 18
LOG_LINES = 12
"""Of the verifier's account, the last ones: there it says what it does not like."""

_libc = ctypes.CDLL(None, use_errno=True)


class BpfError(OSError):
    """The kernel refused. ``log`` is the end of the verifier's account, if it wrote one."""

    def __init__(self, number: int, what: str, log: str = "") -> None:
        super().__init__(number, f"{what}: {os.strerror(number)}")
        self.log = log


def create_map(name: str, wanted: Map) -> int:
    """The descriptor of a new map."""
    attributes = struct.pack(
        "<5I8x16s", wanted.type, wanted.key_size, wanted.value_size, wanted.entries, wanted.flags, _name(name)
    )
    return _call(MAP_CREATE, attributes, f"map {name}")


def update(map_fd: int, key: bytes, value: bytes) -> None:
    """Put an element, in the place of one that may be there."""
    _call(MAP_UPDATE, struct.pack("<I4xQQQ", map_fd, _at(key), _at(value), 0), "map update")


def delete(map_fd: int, key: bytes) -> None:
    """Take an element away, if it is there."""
    try:
        _call(MAP_DELETE, struct.pack("<I4xQ", map_fd, _at(key)), "map delete")
    except BpfError as error:
        if error.errno != errno.ENOENT:
            raise


def load_program(name: str, type: int, code: bytes, licence: str, place: int = 0) -> int:
    """The descriptor of a verified program. ``place`` is where it will be attached; some types need it."""
    terms = licence.encode() + b"\0"

    def attributes(level: int, log: ctypes.Array[ctypes.c_char] | None) -> bytes:
        size, where = (len(log), ctypes.addressof(log)) if log is not None else (0, 0)
        head = struct.pack("<2I2Q2IQ", type, len(code) // 8, _at(code), _at(terms), level, size, where)
        return head + struct.pack("<8x16s4xI", _name(name), place)

    try:
        return _call(PROG_LOAD, attributes(0, None), f"program {name}")
    except BpfError as refused:
        account = ctypes.create_string_buffer(LOG_BYTES)
        try:
            return _call(PROG_LOAD, attributes(1, account), f"program {name}")
        except BpfError:
            lines = account.value.decode(errors="replace").splitlines()
            raise BpfError(refused.errno or 0, f"program {name}", "\n".join(lines[-LOG_LINES:])) from None


def attach(program: int, target: int, where: int, flags: int = 0) -> int:
    """The descriptor of a link between a program and a device, or a network namespace (its descriptor)."""
    return _call(LINK_CREATE, struct.pack("<4I16x", program, target, where, flags), "attaching the program")


def _name(name: str) -> bytes:
    return name.encode()[:15]


def _at(data: bytes) -> int:
    """Where the bytes are; the caller keeps them alive during the call."""
    return ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value or 0


def _call(command: int, attributes: bytes, what: str) -> int:
    number = _NUMBER.get(platform.machine())
    if number is None:
        raise BpfError(errno.ENOSYS, f"{what}: no eBPF on {platform.machine()}")
    block = ctypes.create_string_buffer(attributes, len(attributes))
    result: int = _libc.syscall(number, command, block, len(attributes))
    if result < 0:
        raise BpfError(ctypes.get_errno(), what)
    return result
