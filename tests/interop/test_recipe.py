"""examples/kamailio-optimize.cfg with a real Kamailio: networks of apps, advice for them, either relay."""

import json
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from sdp.session import Session
from tests.interop.phone import Call
from tests.interop.phones import connect
from tests.interop.recipe import TOKEN, TURN, Advising, App, Proxy, Tapped
from tests.interop.relay import Relay, Rtpengine
from tests.interop.talk import assert_names_relay, assert_talk
from tests.ng import Reply

UNKNOWN = {
    "wait-gathering": "no", "stun": "no", "turn": [TURN], "transports": ["udp", "tcp"],
    "policy": "relay", "ttl": 3600,
}  # fmt: skip
AGENT = "App/1.0"


class Site:
    """A relay, a proxy, and apps whose names are new for every test."""

    def __init__(self, directory: Path, relay: Relay, http: tuple[str, int]) -> None:
        self.relay, self.wire = relay, Tapped(relay.ng)
        self.proxy = Proxy(directory, self.wire.address, http)
        self._apps: list[App] = []
        self._tests = 0

    def app(self, user: str, device: int, network: str | None = None) -> App:
        app = App(f"{user}-{self._tests}", device, self.proxy.address, network)
        self._apps.append(app)
        return app

    def offer_of_a_call(self, caller: App, callee: App) -> Reply:
        """What the relay is asked for when one calls the other, who answers; both talk."""
        outgoing, incoming = self.call(caller, callee)
        self.hang_up(outgoing, incoming)
        return self.wire.offers()[-1]

    def call(self, caller: App, callee: App) -> tuple[Call, Call]:
        outgoing, incoming = connect(caller, callee)
        assert_names_relay(outgoing, incoming)
        return outgoing, incoming

    def hang_up(self, outgoing: Call, incoming: Call) -> None:
        outgoing.hang_up()
        incoming.wait_for_end()
        self.relay.wait_for_no_calls()

    def next_test(self) -> None:
        for app in self._apps:
            app.close()
        self._apps.clear()
        self.wire.requests.clear()
        self.relay.forget_calls()
        self._tests += 1


@contextmanager
def open_site(directory: Path, relay: Relay, http: tuple[str, int]) -> Iterator[Site]:
    """Whatever becomes of the test, nothing of it goes on."""
    with ExitStack() as opened:
        opened.callback(relay.stop)
        site = Site(directory, relay, http)
        opened.callback(site.wire.stop)
        opened.callback(site.proxy.stop)
        opened.callback(site.next_test)
        yield site


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    relay = Advising(tmp_path_factory.mktemp("memory"))
    with open_site(tmp_path_factory.mktemp("kamailio"), relay, relay.http) as site:
        yield site


@pytest.fixture
def site(running: Site) -> Iterator[Site]:
    yield running
    print("--- kamailio:\n" + running.proxy.log[-20_000:])
    running.next_test()


def networks(offer: Reply) -> dict[str, object]:
    """What an offer says of networks, and nothing else of the sender may have got in."""
    assert offer["ICE"] == "force"
    assert offer["sip-transport"] == "udp"
    assert offer["flags"] == ["ICE-optimize"]
    assert offer["replace"] == ["origin"]
    return {key: offer[key] for key in ("network", "network-legs", "user-agent") if key in offer}


def candidates(told: str) -> list[str]:
    return Session.parse(told).medias[0].attributes("candidate")


# Advice.


def test_an_app_is_advised_before_its_first_call(site: Site) -> None:
    app = site.app("alice", 41, "cafe")
    app.register()
    assert app.advice == UNKNOWN


def test_a_phone_that_names_no_network_is_advised_as_well(site: Site) -> None:
    app = site.app("alice", 41)
    app.register()
    assert app.advice == UNKNOWN


def test_a_registration_is_answered_without_advice_when_the_relay_is_down(tmp_path: Path) -> None:
    with open_site(tmp_path, Relay(), ("127.0.0.10", 1)) as site:
        app = site.app("alice", 41, "cafe")
        app.register()
        app.register()
        assert app.advised == ["", ""]


def test_a_relay_that_hangs_is_asked_once_and_phones_register(tmp_path: Path) -> None:
    silent = socket.create_server(("127.0.0.10", 0))
    with silent, open_site(tmp_path, Relay(), silent.getsockname()) as site:
        app = site.app("alice", 41, "cafe")
        for _ in range(3):
            app.register()
        assert set(app.advised) == {""}
        with silent.accept()[0] as asked:
            question = json.loads(asked.recv(4096).partition(b"\r\n\r\n")[2])
        expected = {"network": "cafe", "user-agent": AGENT, "received-from": app.address[0]}
        assert question == {**expected, "sip-transport": "udp"}
        silent.setblocking(False)
        with pytest.raises(BlockingIOError):
            silent.accept()


# Networks.


def test_the_relay_is_told_the_networks_of_both(site: Site) -> None:
    alice, bob = site.app("alice", 41, "lte:26201"), site.app("bob", 42, "hq-5d41402a")
    alice.register()
    bob.register()
    offer = site.offer_of_a_call(alice, bob)
    expected = {"network": "lte:26201", "network-legs": "lte:26201,hq-5d41402a", "user-agent": AGENT}
    assert networks(offer) == expected
    assert bob.invites[0].get("X-Network") == ""


def test_the_network_of_one_of_them_may_be_unknown(site: Site) -> None:
    alice, bob, carol = site.app("alice", 41), site.app("bob", 42, "hq"), site.app("carol", 43)
    for app in (alice, bob, carol):
        app.register()
    assert networks(site.offer_of_a_call(alice, bob)) == {"network-legs": ",hq"}
    assert networks(site.offer_of_a_call(bob, alice)) == {"network": "hq", "user-agent": AGENT}
    assert networks(site.offer_of_a_call(alice, carol)) == {}


def test_a_phone_that_answers_is_known_by_the_same_words_as_when_it_calls(site: Site) -> None:
    alice, bob = site.app("alice", 41), site.app("bob", 42, "hq")
    alice.register()
    bob.register()
    site.offer_of_a_call(alice, bob)
    (answer,) = [request for request in site.wire.requests if request["command"] == "answer"]
    assert (answer["sip-transport"], answer["user-agent"]) == ("udp", AGENT)


def test_each_device_of_a_user_has_a_network_of_its_own(site: Site) -> None:
    alice, desk, mobile = site.app("alice", 41, "hq"), site.app("bob", 42, "hq"), site.app("bob", 43, "lte:1")
    for app in (alice, desk, mobile):
        app.register()
    outgoing = alice.call(desk.user)
    at_desk, on_mobile = desk.incoming(), mobile.incoming()
    at_desk.answer()
    outgoing.wait_for_answer()
    on_mobile.wait_for_cancel()
    site.hang_up(outgoing, at_desk)
    assert {str(offer["network-legs"]) for offer in site.wire.offers()} == {"hq,hq", "hq,lte:1"}


def test_a_phone_that_moved_says_so_when_it_calls_or_registers_again(site: Site) -> None:
    alice, bob = site.app("alice", 41, "hq"), site.app("bob", 42, "hq")
    alice.register()
    bob.register()
    alice.network = "cafe"
    assert networks(site.offer_of_a_call(alice, bob))["network-legs"] == "cafe,hq"
    bob.network = None
    bob.register()
    assert "network-legs" not in networks(site.offer_of_a_call(alice, bob))


def test_a_phone_that_moves_in_mid_call_says_so_when_it_offers_again(site: Site) -> None:
    alice, bob = site.app("alice", 41, "hq"), site.app("bob", 42, "hq")
    alice.register()
    bob.register()
    outgoing, incoming = site.call(alice, bob)
    alice.network = "cafe"
    outgoing.reinvite()
    assert site.wire.offers()[-1]["network"] == "cafe"
    site.hang_up(outgoing, incoming)


@pytest.mark.parametrize(
    "said",
    [
        "",
        "hq ICE=remove",
        "hq,lab",
        "hq=1",
        "hq\tasymmetric",
        "hq\n ICE=remove",
        "[hq]",
        '"hq"',
        "x" * 65,
        "h\xe4",
    ],
)
def test_what_is_no_plain_id_gets_nowhere(site: Site, said: str) -> None:
    alice, bob = site.app("alice", 41, said), site.app("bob", 42, said)
    alice.register()
    bob.register()
    assert alice.advice == UNKNOWN
    assert networks(site.offer_of_a_call(alice, bob)) == {"user-agent": AGENT}


def test_a_stranger_is_not_believed(site: Site) -> None:
    stranger, bob = site.app("mallory", 41, "hq"), site.app("bob", 42, "hq")
    bob.register()
    assert networks(site.offer_of_a_call(stranger, bob)) == {"network-legs": ",hq", "user-agent": AGENT}


def test_what_comes_through_another_proxy_is_not_believed(site: Site) -> None:
    alice, bob = site.app("alice", 41, "hq"), site.app("bob", 42, "lab")
    alice.register()
    alice.behind_another_proxy = bob.behind_another_proxy = True
    bob.register()
    assert networks(site.offer_of_a_call(alice, bob)) == {"user-agent": AGENT}


def test_an_app_that_registered_says_over_http_how_its_call_was(site: Site) -> None:
    alice, bob = site.app("alice", 41, "cafe"), site.app("bob", 42, "hq")
    alice.register()
    bob.register()
    outgoing, incoming = site.call(alice, bob)
    site.hang_up(outgoing, incoming)
    assert isinstance(site.relay, Advising)
    body = {"call-id": outgoing.id, "tag": outgoing.tag, "ok": True, "kind": "udp"}
    request = urllib.request.Request(
        "http://{}:{}/v1/ice/feedback".format(*site.relay.http),
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {TOKEN}"},
    )
    with urllib.request.urlopen(request, timeout=3.0) as response:
        assert json.load(response) == {"result": "ok"}


# Either relay.


def test_media_flows_where_the_relay_is_icerelay_and_the_optimizer_decides(site: Site) -> None:
    alice, bob = site.app("alice", 41, "hq"), site.app("bob", 42, "hq")
    alice.register()
    bob.register()
    outgoing, incoming = site.call(alice, bob)
    assert_talk(outgoing.media, incoming.media, seconds=1.0)
    site.hang_up(outgoing, incoming)
    assert f"ice decided call-id={outgoing.id} result=relay" in site.relay.log


def test_the_same_script_forces_ice_where_the_relay_is_rtpengine(tmp_path: Path) -> None:
    with open_site(tmp_path, Rtpengine(), ("127.0.0.10", 1)) as site:
        alice, bob = site.app("alice", 41, "hq"), site.app("bob", 42, "hq")
        alice.register()
        bob.register()
        outgoing, incoming = site.call(alice, bob)
        assert_talk(outgoing.media, incoming.media, seconds=1.0)
        assert len(candidates(incoming.told[0].text)) == 2
        outgoing.reinvite()
        site.hang_up(outgoing, incoming)
