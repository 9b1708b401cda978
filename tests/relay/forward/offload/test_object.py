"""The object that is installed, and what the loader makes of files that are none."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.resources
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay.forward.offload import elf
from relay.forward.offload.kernel import COUNT, FLOW_SIZE, KEY_SIZE

SOURCES = Path(__file__).parents[4] / "ext"
DATA = importlib.resources.files("relay").joinpath("data")
FILE = DATA.joinpath("offload.bpf.o").read_bytes()


@pytest.mark.parametrize(
    ("program", "names"), [("offload", ("offload.bpf.c", "track.h")), ("steer", ("steer.bpf.c",))]
)
def test_the_object_was_built_from_the_source_beside_it(program: str, names: tuple[str, ...]) -> None:
    source = b"".join((SOURCES / name).read_bytes() for name in names)
    built = elf.parse(DATA.joinpath(f"{program}.bpf.o").read_bytes())
    assert built.source == hashlib.sha256(source).hexdigest(), "run `make bpf`"


def test_tables_are_as_python_writes_and_reads_them() -> None:
    maps = elf.parse(FILE).maps
    assert (maps["flows"].key_size, maps["flows"].value_size) == (KEY_SIZE, FLOW_SIZE)
    assert maps["counts"].value_size == COUNT.itemsize
    assert maps["counts"].entries == maps["flows"].entries


def test_the_licence_lets_programs_look_up_routes() -> None:
    assert elf.parse(FILE).licence == "Dual BSD/GPL"


def test_descriptors_go_where_maps_are_named() -> None:
    program = elf.parse(FILE).programs["xdp"]
    descriptors = {"flows": 0x11, "counts": 0x22, "devices": 0x33}
    linked = program.link(descriptors)
    assert {name for _, name in program.relocations} == set(descriptors)
    for offset, name in program.relocations:
        assert linked[offset + 1] >> 4 == elf.PSEUDO_MAP_FD
        assert int.from_bytes(linked[offset + 4 : offset + 8], "little") == descriptors[name]


@given(st.integers(0, len(FILE) - 1))
def test_a_file_that_was_cut_off_is_refused(length: int) -> None:
    with pytest.raises(elf.ObjectError):
        elf.parse(FILE[:length])


@given(st.integers(0, len(FILE) - 1), st.integers(1, 255))
@example(0x2F, 0x80)  # the table of sections begins beyond 2**63
def test_a_damaged_file_is_read_or_refused(at: int, change: int) -> None:
    damaged = bytearray(FILE)
    damaged[at] ^= change
    with contextlib.suppress(elf.ObjectError):
        elf.parse(bytes(damaged))
