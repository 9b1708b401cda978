"""examples/kamailio.cfg with a real Kamailio: the relay hears which description is the answer."""

import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.interop.phones import Phones, connect
from tests.interop.recipe import Advising, Scripted, Tapped
from tests.interop.talk import assert_names_relay

EXAMPLE = Path(__file__).parents[2] / "examples/kamailio.cfg"


class Site:
    """A relay, a wire on which its commands are read, a proxy, and phones."""

    def __init__(self, directory: Path, opened: ExitStack) -> None:
        self.relay = Advising(directory)
        opened.callback(self.relay.stop)
        self._wire = Tapped(self.relay.ng)
        opened.callback(self._wire.stop)
        host, port = self._wire.address
        proxy = Scripted(directory, EXAMPLE, {"udp:127.0.0.1:2223": f"udp:{host}:{port}"})
        opened.callback(proxy.stop)
        self.phones = Phones(proxy.address)
        opened.callback(self.phones.close)

    @property
    def commands(self) -> list[object]:
        """What the proxy asked for, in order."""
        return [request["command"] for request in self._wire.requests if request["command"] != "ping"]

    def calls(self, state: str) -> int:
        """What the metrics say."""
        host, port = self.relay.http
        text = urllib.request.urlopen(f"http://{host}:{port}/metrics").read().decode()
        name = f'icerelay_calls{{state="{state}"}}'
        (line,) = (line for line in text.splitlines() if line.startswith(name))
        return int(float(line.split()[1]))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as opened:
        yield Site(tmp_path, opened)


def test_the_relay_hears_an_answer_and_counts_the_call_as_answered(site: Site) -> None:
    alice, bob = site.phones.new("alice", 41), site.phones.new("bob", 42)
    bob.register()
    outgoing, incoming = connect(alice, bob)
    assert_names_relay(outgoing, incoming)
    assert (site.calls("offered"), site.calls("answered")) == (0, 1)
    outgoing.hang_up()
    incoming.wait_for_end()
    assert site.commands == ["offer", "answer", "delete"]
    site.relay.wait_for_no_calls()


def test_a_call_on_hold_is_an_offer_and_an_answer_again(site: Site) -> None:
    alice, bob = site.phones.new("alice", 41), site.phones.new("bob", 42)
    bob.register()
    outgoing, incoming = connect(alice, bob)
    outgoing.reinvite("sendonly")
    assert incoming.remote.direction == "sendonly"
    assert site.commands == ["offer", "answer"] * 2
    outgoing.hang_up()
    incoming.wait_for_end()
