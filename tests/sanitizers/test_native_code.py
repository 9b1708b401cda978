"""The tests of the native plane again, with a sanitizer that watches every access of it.

Python itself and libsrtp are not built for it, so what they do is not watched.
"""

from __future__ import annotations

import pytest

from tests.sanitizers.building import Build, build

pytestmark = pytest.mark.timeout(600)

ABOUT_MEMORY = (
    "tests/relay/forward/test_srtp.py::test_opening_and_closing_under_load_loses_no_memory_and_no_descriptors"
)
"""Measures what the process occupies, which a sanitizer that keeps freed memory makes meaningless."""

ABOUT_THE_KERNEL = "tests/relay/forward/offload"
"""Not of native code."""

ABOUT_PACKETS = "tests/relay/forward/test_twins.py"
"""So many packets, one by one: whatever they hold, threads meet in the same places."""

PYTEST = (
    "-m",
    "pytest",
    "-q",
    "-p",
    "no:cacheprovider",
    "--capture=sys",
    "-o",
    "addopts=--import-mode=importlib",
)

PLANE = """
import select, socket, time
from relay.forward import _fastpath
from relay.forward.rule import Learn, Rule

plane = _fastpath.NativePlane(rules=8)
sock, phone = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
sock.bind(("127.0.0.1", 0))
sock.setblocking(False)
to = sock.getsockname()
plane.apply([Rule(plane.allocate(), plane.open(sock, 0), None, Learn.WINDOW)])
phone.sendto(bytes([0x80]) + bytes(19), to)
while not plane.totals()["rtp_packets"]:
    select.select([], [], [], 0.001)
"""


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Build]:
    return build(tmp_path_factory.mktemp("sanitizers"))


@pytest.mark.parametrize(
    ("sanitizer", "left_out"),
    [
        ("address", (ABOUT_MEMORY, ABOUT_THE_KERNEL)),
        ("thread", (ABOUT_MEMORY, ABOUT_THE_KERNEL, ABOUT_PACKETS)),
    ],
    ids=["address", "thread"],
)
def test_the_planes_own_tests_show_it_nothing(
    builds: dict[str, Build], sanitizer: str, left_out: tuple[str, ...]
) -> None:
    without = [f"--deselect={one}" for one in left_out]
    done = builds[sanitizer].python(*PYTEST, "tests/relay/forward", *without, seconds=500)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert " passed" in done.stdout


@pytest.mark.parametrize(
    ("sanitizer", "error", "name"),
    [
        ("address", "read_behind_an_allocation()", "heap-buffer-overflow"),
        ("address", "read_behind_a_datagram(plane, 20)", "use-after-poison"),
        ("address", "look_at_one_ssrc_too_many()", "runtime error: "),
        ("thread", "write_what_is_the_workers(plane)", "data race"),
    ],
)
def test_it_would_have_found_an_error(
    builds: dict[str, Build], sanitizer: str, error: str, name: str
) -> None:
    one = builds[sanitizer]
    sound = one.python("-c", f"{PLANE}\nplane.stop()", seconds=60)
    assert (sound.returncode, sound.stderr) == (0, "")
    broken = one.python("-c", f"{PLANE}\n_fastpath.{error}\nplane.stop()", seconds=60)
    assert broken.returncode != 0
    assert name in broken.stderr
