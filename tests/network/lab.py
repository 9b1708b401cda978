"""A relay and a browser in a simulated network, and what they told each other in SDP."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from relay.ice.agent import Agent
from relay.ice.credentials import Credentials
from relay.ice.stun import Address
from tests.network.browser import Browser, Interface
from tests.network.leg import Leg
from tests.network.world import Nat, Network, Socket

RELAY: Address = ("192.0.2.1", 30000)
WIFI, LTE, EVIL = "198.51.100.1", "203.0.113.1", "203.0.113.66"
OURS = Credentials("ours", "our-password-of-22-chars")
THEIRS = Credentials("peer", "its-password-of-22-chars")

NatOf = Callable[[Network, str], Nat]


@dataclass
class Lab:
    network: Network
    leg: Leg
    browser: Browser
    wifi: Interface

    def move(self, nat: NatOf = Nat) -> Interface:
        """The browser loses its network and finds itself in another one, of lower priority."""
        self.network.dead.add(WIFI)
        self.browser.leave(self.browser.interfaces[0])
        return self.browser.add(Socket(nat(self.network, LTE)), priority=1)


def lab(
    network: Network | None = None,
    *,
    we_control: bool = False,
    both_claim: bool = False,
    nat: NatOf = Nat,
    answered: bool = True,
    aggressive: bool = False,
    lite: bool = False,
    tie_breaker: int = 1000,
) -> Lab:
    """Everything set up, and nothing sent yet. Our own tie-breaker is 500."""
    network = network or Network()
    leg = Leg(network, RELAY, Agent(OURS, we_control, tie_breaker=500, random=network.random.randbytes))
    controls = we_control if both_claim else not we_control
    peer = Browser(network, THEIRS, controls, aggressive, tie_breaker, lite)
    wifi = peer.add(Socket(nat(network, WIFI)), priority=1000)
    if answered:
        leg.answered(THEIRS)
    return Lab(network, leg, peer, wifi)


def connect(it: Lab, seconds: float = 2.0, talking: bool = True) -> Lab:
    """Let them check each other, and talk if wanted, for a while."""
    it.browser.start(OURS, RELAY)
    if talking:
        it.leg.talk()
        it.browser.talk()
    it.network.run(seconds)
    assert it.leg.connected
    return it
