"""An object file for BPF, read as far as our own needs it (64 bits, little-endian).

``maps`` is a section of definitions, five 32-bit numbers each. Programs are
sections that hold code; where they name a map there is a relocation, and the
loader puts the map's descriptor there.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

PROGRAMS = ("xdp", "tc")
"""Sections with a program each."""

R_BPF_64_64 = 1
"""Relocation of the 64-bit load of a map, 16 bytes long."""

LOAD_64 = 0x18
PSEUDO_MAP_FD = 1
"""In the source register of such a load: the number is a map's descriptor."""


class ObjectError(ValueError):
    """The file is not an object we can load."""


@dataclass(frozen=True, slots=True)
class Map:
    """A table as the program declares it; the numbers are the kernel's."""

    type: int
    key_size: int
    value_size: int
    entries: int
    flags: int


@dataclass(frozen=True, slots=True)
class Program:
    """Instructions of 8 bytes, and where which map is named."""

    code: bytes
    relocations: tuple[tuple[int, str], ...]  # offset in code, name of the map

    def link(self, maps: dict[str, int]) -> bytes:
        """The code with the descriptors of the maps in their places."""
        linked = bytearray(self.code)
        for offset, name in self.relocations:
            if linked[offset] != LOAD_64:
                raise ObjectError(f"no 64-bit load at {offset}")
            linked[offset + 1] = linked[offset + 1] & 0x0F | PSEUDO_MAP_FD << 4
            struct.pack_into("<i", linked, offset + 4, maps[name])
        return bytes(linked)


@dataclass(frozen=True, slots=True)
class Object:
    """What the file holds. ``source`` is the SHA-256 of the source it was built from, in hex."""

    programs: dict[str, Program]
    maps: dict[str, Map]
    licence: str
    source: str


@dataclass(frozen=True, slots=True)
class _Section:
    name: str
    data: bytes


def parse(file: bytes) -> Object:
    """Raises ``ObjectError``."""
    try:
        sections = _sections(file)
        by_name = {section.name: section for section in sections}
        symbols = _symbols(by_name[".symtab"].data, by_name[".strtab"].data)
        maps = {
            name: Map(*struct.unpack_from("<5I", by_name["maps"].data, value))
            for name, section, value in symbols
            if name and sections[section % len(sections)].name == "maps"
        }
        programs = {
            name: Program(by_name[name].data, _relocations(by_name[f".rel{name}"].data, symbols))
            for name in PROGRAMS
        }
        return Object(programs, maps, _text(by_name["license"].data), _text(by_name["source"].data))
    except (struct.error, KeyError, IndexError, OverflowError, UnicodeDecodeError) as error:
        raise ObjectError(f"not an object file of ours: {error}") from error


def _sections(file: bytes) -> list[_Section]:
    if file[:6] != b"\x7fELF\x02\x01":
        raise ObjectError("not a little-endian ELF file of 64 bits")
    (start,) = struct.unpack_from("<Q", file, 0x28)
    size, count, names = struct.unpack_from("<3H", file, 0x3A)
    headers = [struct.unpack_from("<2I4Q2I2Q", file, start + size * index) for index in range(count)]
    where = headers[names][4]
    return [
        _Section(_text(file[where + name :]), file[offset : offset + length])
        for name, _, _, _, offset, length, *_ in headers
    ]


def _symbols(table: bytes, names: bytes) -> list[tuple[str, int, int]]:
    """Name, index of the section, offset in it."""
    return [
        (_text(names[name:]), section, value)
        for name, _, _, section, value, _ in struct.iter_unpack("<IBBHQQ", table)
    ]


def _relocations(table: bytes, symbols: list[tuple[str, int, int]]) -> tuple[tuple[int, str], ...]:
    found = []
    for offset, info in struct.iter_unpack("<QQ", table):
        if info & 0xFFFFFFFF != R_BPF_64_64:
            raise ObjectError(f"a relocation of kind {info & 0xFFFFFFFF}")
        found.append((offset, symbols[info >> 32][0]))
    return tuple(found)


def _text(data: bytes) -> str:
    return data.split(b"\0", 1)[0].decode("ascii")
