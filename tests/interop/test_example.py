"""Our examples with a real Kamailio: the relay hears which description is an offer, and which an answer."""

import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.interop.phones import Phones, connect
from tests.interop.recipe import Advising, Proxy, Scripted, Tapped
from tests.interop.talk import assert_names_relay, assert_talk
from tests.ng import Address

EXAMPLE = Path(__file__).parents[2] / "examples/kamailio.cfg"


def plain(directory: Path, relay: Address, http: Address) -> Scripted:
    """The example for any phone."""
    return Scripted(directory, EXAMPLE, {"udp:127.0.0.1:2223": f"udp:{relay[0]}:{relay[1]}"})


ProxyOf = Callable[[Path, Address, Address], Scripted]


class Site:
    """A relay, a wire on which its commands are read, a proxy, and phones."""

    def __init__(self, directory: Path, opened: ExitStack, proxy_of: ProxyOf) -> None:
        self.relay = Advising(directory)
        opened.callback(self.relay.stop)
        self._wire = Tapped(self.relay.ng)
        opened.callback(self._wire.stop)
        proxy = proxy_of(directory, self._wire.address, self.relay.http)
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


@pytest.fixture(params=[plain, Proxy], ids=["kamailio.cfg", "kamailio-optimize.cfg"])
def site(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    with ExitStack() as opened:
        yield Site(tmp_path, opened, request.param)


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


def test_a_call_whose_invite_has_no_sdp_is_offered_by_the_callee(site: Site) -> None:
    alice, bob = site.phones.new("alice", 41), site.phones.new("bob", 42)
    bob.register()
    outgoing = alice.call(bob.user, late=True)
    incoming = bob.incoming()
    incoming.answer()
    outgoing.wait_for_answer()
    assert_names_relay(outgoing, incoming)
    assert_talk(outgoing.media, incoming.media, seconds=0.5)
    assert site.calls("answered") == 1
    outgoing.hang_up()
    incoming.wait_for_end()
    assert site.commands == ["offer", "answer", "delete"]
