"""``ICE=optimize`` with real ICE agents: direct where that is near, over the relay where it is not."""

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.interop.ice_pair import ALICE, BOB
from tests.interop.network import Namespace
from tests.interop.process import Process

RELAY = "10.9.0.1"
NG = (RELAY, 2223)
ONE = {"from": "hq", "to": "hq"}
SITE, OTHER_SITE = "198.51.100.7", "203.0.113.9"


@pytest.fixture
def network() -> Iterator[Namespace]:
    """A network in which everybody reaches everybody, with a relay."""
    namespace = Namespace()
    namespace.ip(*(f"addr add {host}/24 dev lo" for host in (RELAY, ALICE, BOB)))
    options = [f"--interface={RELAY}", f"--listen-ng={NG[0]}:{NG[1]}", "--port-min=20000", "--port-max=20099"]
    relay = Process([*namespace.enter, sys.executable, "-m", "relay.cli", "serve", *options])
    relay.wait_for_output("ready")
    yield namespace
    relay.stop()
    namespace.close()


def place_call(
    network: Namespace, legs: dict[str, str], callee: str, blocked: bool = False, late: bool = False
) -> dict[str, str]:
    offer: dict[str, Any] = {"ICE": "optimize", "received-from": ["IP4", SITE], "network-legs": legs}
    answer = {"ICE": "optimize", "received-from": ["IP4", callee]}
    setup = {"ng": NG, "offer": offer, "answer": answer, "blocked": blocked, "late": late}
    agents = Process([*network.enter, sys.executable, "-m", "tests.interop.ice_pair", json.dumps(setup)])
    assert agents.wait(40.0) == 0, agents.output
    (line,) = [line for line in agents.output.splitlines() if line.startswith("RESULT ")]
    found: dict[str, str] = json.loads(line.removeprefix("RESULT "))
    return found


def test_phones_of_one_site_find_the_direct_path(network: Namespace) -> None:
    found = place_call(network, ONE, SITE)
    assert (found["caller"], found["callee"]) == (BOB, ALICE)


def test_phones_of_one_site_find_the_direct_path_by_candidates_that_come_late(network: Namespace) -> None:
    found = place_call(network, ONE, SITE, late=True)
    assert ALICE not in found["offer"].partition("a=")[2]
    assert (found["caller"], found["callee"]) == (BOB, ALICE)


def test_phones_of_different_sites_talk_over_the_relay(network: Namespace) -> None:
    found = place_call(network, {"from": "hq", "to": "branch"}, OTHER_SITE)
    assert (found["caller"], found["callee"]) == (RELAY, RELAY)


def test_where_the_direct_path_is_dead_the_relay_is_there(network: Namespace) -> None:
    found = place_call(network, ONE, SITE, blocked=True)
    assert ALICE in found["offer"]
    assert (found["caller"], found["callee"]) == (RELAY, RELAY)
