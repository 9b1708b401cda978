"""The files around the code are true: the example works, the documents name what there is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.config import load
from relay.config.options import OPTIONS
from relay.metrics.collector import Snapshot, renderer
from tests.interop.phones import Phones, connect
from tests.interop.process import Process, find_program
from tests.interop.relay import Relay, free_port, start_relay
from tests.interop.talk import assert_names_relay, assert_talk

ROOT = Path(__file__).parent.parent
PROXY = "127.0.0.30"


def operators_page() -> str:
    return (ROOT / "docs/operator.md").read_text()


@pytest.fixture
def relay() -> Iterator[Relay]:
    relay = start_relay()
    yield relay
    relay.stop()


@pytest.fixture
def phones(relay: Relay, tmp_path: Path) -> Iterator[Phones]:
    """Phones at a Kamailio that runs the example, with nothing but the relay's address changed."""
    script = tmp_path / "kamailio.cfg"
    example = (ROOT / "examples/kamailio.cfg").read_text()
    script.write_text(example.replace("udp:127.0.0.1:2223", "udp:{}:{}".format(*relay.ng)))
    proxy = (PROXY, free_port(PROXY))
    kamailio = Process(
        [
            find_program("kamailio"), "-DD", "-E", "-dd", "-f", str(script), "-l", "udp:{}:{}".format(*proxy),
            "-Y", str(tmp_path), "-w", str(tmp_path), "-P", str(tmp_path / "kamailio.pid"),
        ]
    )  # fmt: skip
    kamailio.wait_for_output("found, support for it enabled")
    phones = Phones(proxy)
    yield phones
    phones.close()
    kamailio.stop()


def test_a_call_through_the_example_script_has_media_and_leaves_nothing(phones: Phones, relay: Relay) -> None:
    alice, bob = phones.new("alice", 31), phones.new("bob", 32)
    bob.register()
    outgoing, incoming = connect(alice, bob)
    assert_names_relay(outgoing, incoming)
    assert_talk(outgoing.media, incoming.media, seconds=1.0)
    outgoing.hang_up()
    incoming.wait_for_end()
    relay.wait_for_no_calls()


def test_the_operators_page_lists_exactly_our_options() -> None:
    listed = re.findall(r"^\| `([a-z-]+)` \|", operators_page(), re.MULTILINE)
    assert listed == [option.name for option in OPTIONS]


def test_the_operators_page_names_every_metric_of_ours() -> None:
    _, page = renderer(lambda: Snapshot(0.0, 1, {}, 0, 0, 0, 0, {}, {}, []))("")
    exported = set(re.findall(r"^# TYPE (\w+)", page.decode(), re.MULTILINE))
    assert exported <= set(re.findall(r"\w+", operators_page()))


def test_the_configuration_on_the_operators_page_is_usable(tmp_path: Path) -> None:
    block = re.search(r"```toml\n(.*?)```", operators_page(), re.DOTALL)
    assert block is not None
    file = tmp_path / "icerelay.toml"
    file.write_text(block[1])
    assert load({"config-file": [str(file)]}, []).notices == ()
